//! Bitfinex's account, asked with an API key.
//!
//! # How a history is walked
//! There is no list of everything. A walk goes through these stages, each by time from the newest to the oldest, 500 rows
//! a question:
//! 1. *Trades* (`POST /v2/auth/r/trades/hist`), of all pairs at once.
//! 2. *Movements*: deposits and withdrawals, by when they last changed.
//! 3. The *ledger*, of those categories only that are neither of the above: interest, staking, rebates, what positions
//!    cost or bring. Bitfinex keeps it for six years.
//!
//! A walk fixes its `end` when it begins, so that what comes in meanwhile does not shift the pages; a question goes on at
//! the time of the oldest row, which is given once more. The next walk starts an hour before that end. A movement that
//! was under way then is seen when it changes.
//!
//! Every call needs a nonce that is higher than all before it and fits into 53 bits: microseconds. Bitfinex blocks an
//! address for a minute that asks an endpoint too often (90 times a minute or less); an account's calls are counted along
//! here and kept at 60. Answers are arrays without names; troubles are `["error", code, "text"]`, mostly with status 500.
//!
//! Facts: docs.bitfinex.com ("Authenticated endpoints", "Trades", "Movements", "Ledgers", "Key permissions",
//! "Requirements and limitations", "Abbreviations glossary"). Bitfinex says `apikey: invalid` both of unknown keys and of
//! those that may not do what was asked (reported by other clients).

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::digest::hex;
use shared::egress::Upstream;

use super::loose::Loose;
use super::signing::{Hash, hmac};
use crate::model::{Amount, Category, Quantity, Record, RecordKind};
use crate::providers::{Account, Checked, Cursor, Entry, Fetched, Field, Next, Outside, Source, Trouble};

const NAME: &str = "Bitfinex";
/// The exchange opened in 2012.
const OPENED: i64 = 1_325_376_000_000;
/// What changed so shortly before a walk may not be listed yet; the next walk looks at it again.
const OVERLAP: i64 = 3_600_000;
/// So many rows an answer; every list gives as many.
const LIMIT: usize = 500;
/// So many questions a page.
const STEPS: usize = 4;
/// So many calls a minute for one account.
const CALLS_A_MINUTE: i64 = 60;
/// For so long Bitfinex blocks an address that asked too often.
const BLOCKED: Duration = Duration::from_secs(60);
/// The categories of the ledger that are in no other list, and what they are.
const CATEGORIES: &[(u32, RecordKind)] = &[
    // Interest on what was lent, trading rebates, affiliates' shares, staking, shares of a profit.
    (28, RecordKind::Reward),
    (202, RecordKind::Reward),
    (241, RecordKind::Reward),
    (262, RecordKind::Reward),
    (907, RecordKind::Reward),
    // What borrowing for a position cost.
    (27, RecordKind::Fee),
    // A position changed or ended, funding of derivatives, settlements, adjustments.
    (22, RecordKind::Ledger),
    (29, RecordKind::Ledger),
    (31, RecordKind::Ledger),
    (401, RecordKind::Ledger),
];

/// Bitfinex in the catalogue.
pub static ENTRY: Entry = Entry {
    id: "bitfinex",
    public_name: NAME,
    category: Category::Exchange,
    logo_url: "https://assets.coingecko.com/markets/images/4/large/BItfinex.png",
    sources: &[&Bitfinex],
    chains: &[],
    takes_csv: false,
    instructions: "On Bitfinex open API keys, Create new key. Under Account history and Wallets, and under Account info if \
        you like, switch on the reading; switch nothing on that creates, changes, transfers or withdraws. Do not restrict \
        IP addresses, and use the key for this service only, because each call must carry a higher number than the one \
        before. Copy the API key and the API key secret, which is shown once. Entries of derivatives, claimed positions and \
        over-the-counter trades are not read.",
};

const FIELDS: &[Field] = &[
    Field::secret("apiKey", "API key", "Shown in the list of API keys."),
    Field::secret("apiSecret", "API key secret", "Shown once, when the key is created."),
];

/// Bitfinex's account.
pub struct Bitfinex;

#[async_trait::async_trait]
impl Source for Bitfinex {
    fn name(&self) -> &'static str {
        "bitfinex"
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn accepted(&self) -> &'static str {
        "an API key of Bitfinex"
    }

    async fn check(&self, account: &Account, outside: &Outside<'_>) -> Result<Checked, Trouble> {
        let rows: Vec<Scope> = call(account, outside, "permissions", json!({})).await?;
        let may =
            Permissions(rows.into_iter().map(|Scope(name, read, write)| (name, (read != 0, write != 0))).collect());
        if !may.read("history") {
            return Err(Trouble::InsufficientPermissions(
                "The API key may not read the account's history. Make one that may read Account history and Wallets."
                    .into(),
            ));
        }
        let mut account_id = None;
        if may.read("account") {
            let user: Vec<Loose> = call(account, outside, "info/user", json!({})).await?;
            account_id = user.first().and_then(Loose::text);
        }
        Ok(Checked { account_id, warnings: may.warnings(), is_contract: false })
    }

    async fn page(
        &self,
        account: &Account,
        cursor: Option<&Cursor>,
        outside: &Outside<'_>,
    ) -> Result<Fetched, Trouble> {
        let mut walk = match cursor.and_then(Cursor::read::<Position>) {
            Some(Position::Walking(walk)) => walk,
            Some(Position::Done { until }) => Walk::new(until.saturating_sub(OVERLAP), outside),
            None => Walk::new(OPENED, outside),
        };
        let mut records = Vec::new();
        for _ in 0..STEPS {
            if walk.stage == Stage::Over || records.len() >= LIMIT {
                break;
            }
            records.extend(walk.step(account, outside).await?);
        }
        let next = if walk.stage == Stage::Over {
            Next::End(Some(Cursor::of(&Position::Done { until: walk.end })))
        } else {
            Next::More(Cursor::of(&Position::Walking(walk)))
        };
        Ok(Fetched { records, next, expected: None })
    }
}

/// What a cursor holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Position {
    /// In the middle of a walk.
    Walking(Walk),
    /// At the end of one that saw everything until this millisecond.
    Done { until: i64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    Trades,
    Movements,
    /// One category of the ledger.
    Ledger(u32),
    Over,
}

impl Stage {
    fn next(self) -> Self {
        let categories = || CATEGORIES.iter().map(|(category, _)| *category);
        let next = match self {
            Self::Trades => return Self::Movements,
            Self::Movements => categories().next(),
            Self::Ledger(category) => categories().skip_while(|one| *one != category).nth(1),
            Self::Over => None,
        };
        next.map_or(Self::Over, Self::Ledger)
    }

    fn method(self) -> &'static str {
        match self {
            Self::Trades => "trades/hist",
            Self::Movements => "movements/hist",
            Self::Ledger(_) | Self::Over => "ledgers/hist",
        }
    }

    /// Which column holds the time that questions go by.
    fn time_column(self) -> usize {
        match self {
            Self::Trades => 2,
            Self::Movements => 6,
            Self::Ledger(_) | Self::Over => 3,
        }
    }

    fn record(self, row: &Row) -> Option<Record> {
        match self {
            Self::Trades => row.trade(),
            Self::Movements => row.movement(),
            Self::Ledger(category) => {
                let kind = CATEGORIES.iter().find(|(one, _)| *one == category).map(|(_, kind)| *kind)?;
                row.entry(kind)
            }
            Self::Over => None,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Walk {
    stage: Stage,
    /// Milliseconds; what is older was seen before.
    start: i64,
    /// Milliseconds; what is newer is left for the next walk.
    end: i64,
    /// Milliseconds; what is newer was read in this stage.
    to: i64,
}

impl Walk {
    fn new(start: i64, outside: &Outside<'_>) -> Self {
        let end = outside.provider_now().as_millisecond();
        Self { stage: Stage::Trades, start, end, to: end }
    }

    /// Reads the next rows of the present stage.
    async fn step(&mut self, account: &Account, outside: &Outside<'_>) -> Result<Vec<Record>, Trouble> {
        let stage = self.stage;
        let mut body = json!({ "start": self.start, "end": self.to, "limit": LIMIT });
        if let (Stage::Ledger(category), Some(body)) = (stage, body.as_object_mut()) {
            body.insert("category".to_owned(), category.into());
        }
        let rows: Vec<Row> = call(account, outside, stage.method(), body).await?;
        let oldest = rows.iter().filter_map(|row| row.at(stage.time_column())?.whole()).min();
        match oldest.filter(|_| rows.len() >= LIMIT) {
            // Rows of the same time may be on both pages; where a whole page has but one time, it is passed by.
            Some(oldest) => self.to = oldest.min(self.to - 1),
            None => (self.stage, self.to) = (stage.next(), self.end),
        }
        Ok(rows.iter().filter_map(|row| stage.record(row)).collect())
    }
}

/// One row of a list: columns without names.
#[derive(Deserialize)]
struct Row(Vec<Loose>);

impl Row {
    fn at(&self, column: usize) -> Option<&Loose> {
        self.0.get(column)
    }

    /// `ID, SYMBOL, MTS, ORDER_ID, EXEC_AMOUNT, EXEC_PRICE, ORDER_TYPE, ORDER_PRICE, MAKER, FEE, FEE_CURRENCY`. Amounts
    /// are negative for what was sold, fees for what was paid.
    fn trade(&self) -> Option<Record> {
        let mut record = Record::new(RecordKind::Trade, self.at(0)?.text()?, self.at(2)?.milliseconds()?);
        let (base, quote) = pair(self.at(1)?.as_str())?;
        let amount = self.at(4)?.quantity()?;
        let cost = self.at(4)?.at_price(self.at(5)?);
        let is_sale = amount.is_negative();
        let (base, quote) = (Amount::of(amount, base), cost.and_then(|cost| Amount::of(cost, quote)));
        (record.sent, record.received) = if is_sale { (base, quote) } else { (quote, base) };
        let fee = self.at(9).and_then(Loose::quantity).filter(Quantity::is_negative);
        record.fee = fee.and_then(|fee| Amount::of(fee, self.at(10)?.text()?));
        Some(record)
    }

    /// `ID, CURRENCY, …, [5] STARTED, [6] UPDATED, …, [9] STATUS, …, [12] AMOUNT, [13] FEES, …, [20] TRANSACTION_ID`.
    /// Amounts are negative for withdrawals.
    fn movement(&self) -> Option<Record> {
        if self.at(9)?.as_str() != "COMPLETED" {
            return None;
        }
        let amount = self.at(12)?.quantity()?;
        let kind = if amount.is_negative() { RecordKind::Withdrawal } else { RecordKind::Deposit };
        let mut record = Record::new(kind, self.at(0)?.text()?, self.at(5)?.milliseconds()?);
        let currency = self.at(1)?.text()?;
        record.fee = self.at(13).and_then(Loose::quantity).and_then(|fee| Amount::of(fee, currency.clone()));
        let amount = Amount::of(amount, currency);
        (record.sent, record.received) = if kind == RecordKind::Withdrawal { (amount, None) } else { (None, amount) };
        record.tx_hash = self.at(20).and_then(Loose::text);
        Some(record)
    }

    /// `ID, CURRENCY, WALLET, MTS, …, [5] AMOUNT, [6] BALANCE, …, [8] DESCRIPTION`.
    fn entry(&self, kind: RecordKind) -> Option<Record> {
        let mut record = Record::new(kind, self.at(0)?.text()?, self.at(3)?.milliseconds()?);
        let amount = self.at(5)?.quantity()?;
        let is_out = amount.is_negative();
        let amount = Amount::of(amount, self.at(1)?.text()?);
        (record.sent, record.received) = if is_out { (amount, None) } else { (None, amount) };
        Some(record)
    }
}

/// The coins of a pair: `tBTCUSD`, or `tDUSK:USD` where one has more than three letters.
fn pair(symbol: &str) -> Option<(&str, &str)> {
    let pair = symbol.strip_prefix('t').unwrap_or(symbol);
    pair.split_once(':').or_else(|| pair.split_at_checked(pair.len().checked_sub(3)?))
}

/// `SCOPE, READ, WRITE`.
#[derive(Deserialize)]
struct Scope(String, u8, u8);

/// Which scopes a key may read and write.
struct Permissions(BTreeMap<String, (bool, bool)>);

impl Permissions {
    fn read(&self, scope: &str) -> bool {
        self.0.get(scope).is_some_and(|(read, _)| *read)
    }

    fn warnings(&self) -> Vec<String> {
        let write = |scopes: &[&str]| scopes.iter().any(|scope| self.0.get(*scope).is_some_and(|(_, write)| *write));
        [
            (write(&["withdraw", "ui_withdraw", "bfxpay"]), "withdraw funds"),
            (write(&["wallets"]), "transfer funds between wallets"),
            (write(&["orders", "positions", "funding"]), "trade"),
            (write(&["account", "settings"]), "change settings"),
        ]
        .into_iter()
        .filter(|(may, _)| *may)
        .map(|(_, what)| format!("This key may {what}. Make one that may only read Account history and Wallets."))
        .collect()
    }
}

/// Calls a method that reads.
async fn call<T: DeserializeOwned>(
    account: &Account,
    outside: &Outside<'_>,
    method: &str,
    body: Value,
) -> Result<T, Trouble> {
    count(outside)?;
    let path = format!("/v2/auth/r/{method}");
    let nonce = outside.nonce(u64::try_from(outside.now().as_microsecond()).unwrap_or_default()).to_string();
    let body = body.to_string();
    let (key, secret) = (account.secret("apiKey"), account.secret("apiSecret"));
    let none = SecretString::default();
    let request = outside
        .request(Method::POST, Upstream::Bitfinex, &path)
        .secret_header("bfx-apikey", key.unwrap_or(&none))
        .header("bfx-nonce", &nonce)
        .header("bfx-signature", &sign(secret.unwrap_or(&none), &format!("/api{path}{nonce}{body}")))
        .body("application/json", body.into());
    let answer = outside.send(NAME, request).await?;
    let value: Value = answer.json().unwrap_or_default();
    if let Some(trouble) = refusal(&value) {
        return Err(trouble);
    }
    if !answer.is_success() {
        return Err(Trouble::of_answer(NAME, &answer));
    }
    serde_json::from_value(value).map_err(|_| Trouble::unreadable(NAME))
}

/// HMAC-SHA384 in hexadecimal.
fn sign(secret: &SecretString, message: &str) -> String {
    hex(&hmac(Hash::Sha384, secret, message.as_bytes()))
}

/// Counts the calls of this minute; waits for the next one where there were enough.
fn count(outside: &Outside<'_>) -> Result<(), Trouble> {
    let now = outside.now();
    let minute = now.as_second().div_euclid(60);
    let before = outside.note("calls").and_then(|note| {
        let (calls, of) = note.split_once('@')?;
        (of.parse::<i64>().ok()? == minute).then(|| calls.parse::<i64>().ok())?
    });
    let calls = before.unwrap_or_default() + 1;
    if calls > CALLS_A_MINUTE {
        let left = ((minute + 1) * 60_000).saturating_sub(now.as_millisecond());
        let for_ = Duration::from_millis(u64::try_from(left).unwrap_or_default());
        return Err(Trouble::Wait { provider: NAME, for_ });
    }
    outside.set_note("calls", format!("{calls}@{minute}"));
    Ok(())
}

/// What an answer says is wrong: `["error", code, text]`, or `{"error": "ERR_RATE_LIMIT"}`.
fn refusal(answer: &Value) -> Option<Trouble> {
    if answer.get("error").and_then(Value::as_str) == Some("ERR_RATE_LIMIT") {
        return Some(Trouble::Wait { provider: NAME, for_: BLOCKED });
    }
    let [Value::String(word), code, rest @ ..] = answer.as_array()?.as_slice() else { return None };
    let text = rest.first().and_then(Value::as_str).unwrap_or_default();
    (word == "error").then(|| trouble(code.as_i64().unwrap_or_default(), text))
}

fn trouble(code: i64, text: &str) -> Trouble {
    match code {
        10_100 if text.contains("digest") => wrong_secret(),
        10_111..=10_113 => wrong_secret(),
        10_100 => Trouble::InvalidCredentials(
            "Bitfinex refuses this API key: it is mistyped, was deleted, may not read Account history and Wallets, or is \
             restricted to other IP addresses. Correct that, or make a new key."
                .into(),
        ),
        10_114 => Trouble::NonceTooLow(NAME),
        11_010 => Trouble::Wait { provider: NAME, for_: BLOCKED },
        11_000 | 20_051..=20_061 => {
            Trouble::ProviderDown("Bitfinex has trouble of its own, or is being maintained.".into())
        }
        _ => Trouble::Unexpected(format!("Bitfinex refused the request in an unexpected way (code {code}).")),
    }
}

fn wrong_secret() -> Trouble {
    Trouble::of_field("apiSecret", "The API key secret does not belong to this API key. Copy both again.")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use fakes::exchanges::bitfinex::{Bitfinex as Fake, BitfinexKey};

    use super::*;
    use crate::providers::Given;
    use crate::providers::testing::World;

    const NOW: i64 = 1_780_000_000_000;
    const DAY: i64 = 86_400_000;

    fn account(key: &str, secret: &str) -> Account {
        let credentials = json!({ "apiKey": key, "apiSecret": secret }).as_object().unwrap().clone();
        Bitfinex.account(&Given { credentials, ..Given::default() }).unwrap()
    }

    async fn start() -> (Fake, World, Account) {
        let fake = Fake::start().await.unwrap();
        fake.add_key(BitfinexKey::reading("k", "s"));
        let world = World::of(&[("BITFINEX", fake.host.origin())]);
        (fake, world, account("k", "s"))
    }

    fn amount(quantity: &str, asset: &str) -> Option<Amount> {
        Amount::of(Quantity::parse(quantity).unwrap(), asset)
    }

    /// From the tests of a client of Bitfinex's WebSocket, which is signed in the same way.
    #[test]
    fn a_published_signature_comes_out() {
        assert_eq!(
            sign(&SecretString::from("api_secret"), "AUTH123456000"),
            "cbe5ac2d70f8bb8246e31906d872408c29097df8c97a935ce367a93f57e47af51e033939a07cd5ecf1e078e7f7c9a344"
        );
    }

    #[test]
    fn pairs_are_split() {
        for (symbol, expected) in
            [("tBTCUSD", ("BTC", "USD")), ("tDUSK:USD", ("DUSK", "USD")), ("tBTCF0:USTF0", ("BTCF0", "USTF0"))]
        {
            assert_eq!(pair(symbol), Some(expected));
        }
        assert_eq!(pair("tX"), None);
    }

    #[tokio::test]
    async fn a_key_is_judged() {
        let (fake, world, good) = start().await;
        let checked = Bitfinex.check(&good, &world.outside()).await.unwrap();
        assert_eq!((checked.account_id.is_some(), checked.warnings.len()), (true, 0));
        fake.add_key(BitfinexKey {
            scopes: vec![("history", true, false), ("orders", true, true), ("withdraw", false, true)],
            ..BitfinexKey::reading("rich", "s")
        });
        let checked = Bitfinex.check(&account("rich", "s"), &world.outside()).await.unwrap();
        assert_eq!((checked.account_id, checked.warnings.len()), (None, 2));
        fake.add_key(BitfinexKey { scopes: vec![("wallets", true, false)], ..BitfinexKey::reading("poor", "s") });
        let trouble = Bitfinex.check(&account("poor", "s"), &world.outside()).await.unwrap_err();
        assert!(matches!(trouble, Trouble::InsufficientPermissions(_)), "{trouble}");
        for (wrong, word) in [(account("unknown", "s"), "mistyped"), (account("k", "wrong"), "secret")] {
            let trouble = Bitfinex.check(&wrong, &world.outside()).await.unwrap_err();
            assert!(trouble.is_invalid() && trouble.to_string().contains(word), "{trouble}");
        }
    }

    #[tokio::test]
    async fn a_whole_history_is_walked_and_then_only_what_is_new() {
        let (fake, world, account) = start().await;
        for number in 0..1_203 {
            // Three trades each millisecond, so that pages end between trades of one time.
            fake.trade("k", NOW - 900 * DAY + number / 3, "tBTCUSD", ("0.5", "20000"), ("-0.001", "BTC"));
        }
        fake.trade("k", NOW - DAY, "tDUSK:USD", ("-10", "0.25"), ("-0.005", "USD"));
        fake.movement("k", NOW - 2 * DAY, "BTC", ("1.5", "0"), "COMPLETED");
        let waiting = fake.movement("k", NOW - DAY, "UST", ("-20", "-0.5"), "PENDING");
        fake.movement("k", NOW - DAY, "ETH", ("-1", "0"), "CANCELED");
        fake.ledger_entry("k", NOW - 3 * DAY, 28, "USD", "0.75");
        fake.ledger_entry("k", NOW - 3 * DAY, 27, "USD", "-0.1");
        // Trades and what they cost are in the ledger too, in other categories.
        fake.ledger_entry("k", NOW - DAY, 5, "DUSK", "-10");
        fake.ledger_entry("k", NOW - DAY, 201, "USD", "-0.005");
        let (records, end) = world.walk(&Bitfinex, &account, None).await.unwrap();
        let ids = |kind| {
            let own = records.iter().filter(|record| record.kind == kind);
            own.map(|record| record.provider_id.as_str()).collect::<HashSet<_>>().len()
        };
        assert_eq!((ids(RecordKind::Trade), ids(RecordKind::Deposit), ids(RecordKind::Withdrawal)), (1_204, 1, 0));
        assert_eq!((ids(RecordKind::Reward), ids(RecordKind::Fee), ids(RecordKind::Ledger)), (1, 1, 0));
        let sale = records.iter().find(|record| record.sent == amount("10", "DUSK")).unwrap();
        assert_eq!((&sale.received, &sale.fee), (&amount("2.5", "USD"), &amount("0.005", "USD")));
        let purchase = records.iter().find(|record| record.received == amount("0.5", "BTC")).unwrap();
        assert_eq!((&purchase.sent, &purchase.fee), (&amount("10000", "USD"), &amount("0.001", "BTC")));
        let deposit = records.iter().find(|record| record.kind == RecordKind::Deposit).unwrap();
        assert!(deposit.received == amount("1.5", "BTC") && deposit.tx_hash.is_some(), "{deposit:?}");
        world.clock.advance(jiff::SignedDuration::from_hours(4));
        fake.settle(&waiting, NOW + 3 * 3_600_000);
        fake.trade("k", NOW + 3_600_000, "tBTCUSD", ("0.5", "20000"), ("-0.001", "BTC"));
        let (records, _) = world.walk(&Bitfinex, &account, end).await.unwrap();
        assert_eq!(records.len(), 2, "{records:?}");
        let withdrawal = records.iter().find(|record| record.kind == RecordKind::Withdrawal).unwrap();
        assert_eq!((&withdrawal.sent, &withdrawal.fee), (&amount("20", "UST"), &amount("0.5", "UST")));
    }

    #[tokio::test]
    async fn more_of_one_time_than_a_page_holds_does_not_stop_a_walk() {
        let (fake, world, account) = start().await;
        for _ in 0..LIMIT + 1 {
            fake.ledger_entry("k", NOW - DAY, 28, "USD", "0.01");
        }
        fake.ledger_entry("k", NOW - 2 * DAY, 28, "USD", "7");
        let (records, _) = world.walk(&Bitfinex, &account, None).await.unwrap();
        assert!(records.iter().any(|record| record.received == amount("7", "USD")));
    }

    #[tokio::test]
    async fn what_comes_in_during_a_walk_shifts_nothing_and_is_seen_by_the_next() {
        let (fake, world, account) = start().await;
        for number in 0..600 {
            fake.trade("k", NOW - DAY + number, "tBTCUSD", ("0.5", "20000"), ("0", "BTC"));
        }
        let first = world.page(&Bitfinex, &account, None).await.unwrap();
        let Next::More(cursor) = first.next else { panic!("a page holds 500") };
        for _ in 0..200 {
            fake.trade("k", NOW + 1, "tBTCUSD", ("0.5", "20000"), ("0", "BTC"));
        }
        let (rest, end) = world.walk(&Bitfinex, &account, Some(cursor)).await.unwrap();
        let ids: HashSet<String> = first.records.into_iter().chain(rest).map(|record| record.provider_id).collect();
        assert_eq!(ids.len(), 600);
        world.clock.advance(jiff::SignedDuration::from_secs(60));
        let (records, _) = world.walk(&Bitfinex, &account, end).await.unwrap();
        assert_eq!(records.len(), 200);
    }

    #[tokio::test]
    async fn troubles_are_told_apart() {
        let (fake, world, account) = start().await;
        let wait = Trouble::Wait { provider: NAME, for_: BLOCKED };
        fake.throttle(1);
        assert_eq!(world.page(&Bitfinex, &account, None).await.unwrap_err(), wait);
        fake.refuse_next(11_010, "ratelimit: error");
        assert_eq!(world.page(&Bitfinex, &account, None).await.unwrap_err(), wait);
        fake.refuse_next(20_060, "maintenance");
        let trouble = world.page(&Bitfinex, &account, None).await.unwrap_err();
        assert!(matches!(trouble, Trouble::ProviderDown(_)), "{trouble}");
        fake.refuse_next(10_020, "limit: invalid");
        let trouble = world.page(&Bitfinex, &account, None).await.unwrap_err();
        assert!(matches!(trouble, Trouble::Unexpected(_)), "{trouble}");
        fake.revoke("k");
        assert!(world.page(&Bitfinex, &account, None).await.unwrap_err().is_final());
    }

    #[tokio::test]
    async fn a_nonce_that_is_too_low_heals_once() {
        let (fake, world, account) = start().await;
        fake.refuse_next(10_114, "nonce: small");
        world.page(&Bitfinex, &account, None).await.unwrap();
        fake.see_nonce("k", 9_007_199_254_740_990);
        let trouble = world.page(&Bitfinex, &account, None).await.unwrap_err();
        assert!(matches!(&trouble, Trouble::Unexpected(told) if told.contains("another program")), "{trouble}");
    }

    #[tokio::test]
    async fn no_more_calls_are_made_in_a_minute_than_are_good() {
        let (fake, world, account) = start().await;
        let outside = world.outside();
        let mut trouble = None;
        while trouble.is_none() {
            trouble = Bitfinex.page(&account, None, &outside).await.err();
        }
        assert!(matches!(trouble, Some(Trouble::Wait { for_, .. }) if for_ <= Duration::from_secs(60)), "{trouble:?}");
        assert_eq!(fake.host.calls("auth/r"), 60);
        world.clock.advance(jiff::SignedDuration::from_secs(60));
        Bitfinex.page(&account, None, &outside).await.unwrap();
    }
}
