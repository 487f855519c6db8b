//! Gemini's account, asked with an API key.
//!
//! # How a history is walked
//! First the *trades* of all pairs (`POST /v1/mytrades`, 500 a page), then the *transfers* (`POST /v2/transfers`, 50 a
//! page): deposits, withdrawals, rewards, corrections. Both give what follows a time, and of it the oldest part, newest row
//! first; a question goes on a millisecond before the newest row, which is given once more. Transfers that wait or are
//! advanced are not taken, so the next walk looks at the last fortnight's again. Staking and the closed Earn programme
//! are not in these lists.
//!
//! Nothing says of which coins a pair is made; fees are paid in the coin that a pair is priced in, which tells it.
//!
//! Every call needs a nonce, and keys are of two kinds. Most want any number that rises, for which milliseconds are
//! taken. Those made with "time based nonce" want seconds, not more than thirty off; Gemini says so when it refuses the
//! other kind, and it is remembered. Its clock is then taken from the `Date` of an answer.
//!
//! A master key reaches several accounts and must say which one. Transfers may be asked for once in five seconds. Too many
//! requests are 429 without a word on how long to wait.
//!
//! Facts: developer.gemini.com ("Private API invocation", "Roles", "Error codes", "Rate limit") and Gemini's OpenAPI
//! document ("List past trades", "List past transfers", "Roles", "Get account detail").

use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::digest::hex;
use shared::egress::{Answer, Upstream};
use shared::http::FieldProblem;

use super::loose::Loose;
use super::pace::wait_until;
use super::signing::{Hash, base64, hmac};
use crate::model::{Amount, Category, Record, RecordKind};
use crate::providers::{Account, Checked, Cursor, Entry, Fetched, Field, Given, Next, Outside, Source, Trouble};

const NAME: &str = "Gemini";
/// So many rows an answer.
const TRADES: usize = 500;
const TRANSFERS: usize = 50;
/// A transfer that waits is done, or not, by then.
const OVERLAP: i64 = 14 * 86_400_000;
const BETWEEN_TRANSFERS: i64 = 5_000;
/// How far a nonce of seconds may run ahead of Gemini's clock: well under the thirty that it takes.
const AHEAD: i64 = 20;
/// Coins that pairs are priced in, for trades without a fee's coin; the longer of two endings comes first.
const QUOTES: &[&str] = &["GUSD", "USDT", "USDC", "USD", "EUR", "GBP", "SGD", "BTC", "ETH", "DAI"];

/// Gemini in the catalogue.
pub static ENTRY: Entry = Entry {
    id: "gemini",
    public_name: NAME,
    category: Category::Exchange,
    logo_url: "https://assets.coingecko.com/markets/images/50/large/gemini.png",
    sources: &[&Gemini],
    chains: &[],
    takes_csv: false,
    instructions: "On Gemini open Settings, API, Create a new API key, and choose your account as its scope. Give it the \
        role Auditor, which can only read, and neither Trader nor Fund Manager. Leave the trusted IP addresses \
        unrestricted. Whether it requires a heartbeat or uses a time based nonce does not matter. Copy the API key and the \
        API secret, which is shown once.",
};

const FIELDS: &[Field] = &[
    Field::secret("apiKey", "API key", "Begins with account- or, for a whole group of accounts, with master-."),
    Field::secret("apiSecret", "API secret", "Shown once, when the key is created."),
    Field::optional("account", "Account", "For master keys only: the account's short name, such as primary."),
];

/// Gemini's account.
pub struct Gemini;

#[async_trait::async_trait]
impl Source for Gemini {
    fn name(&self) -> &'static str {
        "gemini"
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn accepted(&self) -> &'static str {
        "an API key of Gemini"
    }

    fn account(&self, given: &Given) -> Result<Account, Vec<FieldProblem>> {
        let mut account = given.credentials(FIELDS)?;
        let key = account.secret("apiKey").map_or("", ExposeSecret::expose_secret);
        match account.setting("account") {
            None if key.starts_with("master-") => {
                let message = "is missing: a master key needs an account's short name, such as primary";
                Err(vec![FieldProblem::new("credentials.account", "required", message)])
            }
            None => Ok(account),
            // One master key may stand for several accounts.
            Some(of) => {
                account.identities = vec![format!("key:{key}:{of}")];
                Ok(account)
            }
        }
    }

    async fn check(&self, account: &Account, outside: &Outside<'_>) -> Result<Checked, Trouble> {
        let roles: Roles = call(account, outside, "/v1/roles", json!({})).await?;
        if !roles.is_auditor && !roles.is_trader {
            return Err(cannot_read());
        }
        let detail: Detail = call(account, outside, "/v1/account", json!({})).await?;
        Ok(Checked { account_id: detail.memo_reference_code, warnings: roles.warnings(), is_contract: false })
    }

    async fn page(
        &self,
        account: &Account,
        cursor: Option<&Cursor>,
        outside: &Outside<'_>,
    ) -> Result<Fetched, Trouble> {
        let mut walk = match cursor.and_then(Cursor::read::<Position>) {
            Some(Position::Walking(walk)) => walk,
            Some(Position::Done(known)) => Walk { stage: Stage::Trades, from: known.trades, known },
            None => Walk { stage: Stage::Trades, from: 0, known: Known::default() },
        };
        let records = match walk.stage {
            Stage::Trades => walk.trades(account, outside).await?,
            Stage::Transfers | Stage::Over => walk.transfers(account, outside).await?,
        };
        let next = if walk.stage == Stage::Over {
            Next::End(Some(Cursor::of(&Position::Done(walk.known))))
        } else {
            Next::More(Cursor::of(&Position::Walking(walk)))
        };
        Ok(Fetched { records, next, expected: None })
    }

    /// The `Date` of any answer.
    async fn server_time(&self, outside: &Outside<'_>) -> Result<Timestamp, Trouble> {
        let answer = outside.send(NAME, outside.get(Upstream::Gemini, "/v1/symbols")).await?;
        let date = answer.header("date").and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        date.map(|date| date.timestamp()).ok_or_else(|| Trouble::unreadable(NAME))
    }
}

/// What a cursor holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Position {
    /// In the middle of a walk.
    Walking(Walk),
    /// At the end of one.
    Done(Known),
}

/// Until when each list was seen, in milliseconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Known {
    trades: i64,
    transfers: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    Trades,
    Transfers,
    Over,
}

#[derive(Debug, Serialize, Deserialize)]
struct Walk {
    stage: Stage,
    /// Milliseconds; what the next question of the present stage asks for follows it.
    from: i64,
    known: Known,
}

impl Walk {
    async fn trades(&mut self, account: &Account, outside: &Outside<'_>) -> Result<Vec<Record>, Trouble> {
        let fields = json!({ "timestamp": self.from, "limit_trades": TRADES });
        let rows: Vec<Trade> = call(account, outside, "/v1/mytrades", fields).await?;
        let is_last = self.took(rows.iter().map(|row| &row.timestampms), TRADES);
        if is_last {
            self.known.trades = self.from;
            (self.stage, self.from) = (Stage::Transfers, self.known.transfers.saturating_sub(OVERLAP).max(0));
        }
        Ok(rows.into_iter().filter_map(Trade::record).collect())
    }

    async fn transfers(&mut self, account: &Account, outside: &Outside<'_>) -> Result<Vec<Record>, Trouble> {
        let now = outside.now().as_millisecond();
        let last: i64 = outside.note("transfers_asked").and_then(|at| at.parse().ok()).unwrap_or_default();
        wait_until(NAME, last.saturating_add(BETWEEN_TRANSFERS), outside)?;
        outside.set_note("transfers_asked", now.to_string());
        let fields = json!({
            "timestamp": self.from,
            "limit_transfers": TRANSFERS,
            "show_completed_deposit_advances": false,
        });
        let rows: Vec<Transfer> = call(account, outside, "/v2/transfers", fields).await?;
        let is_last = self.took(rows.iter().map(|row| &row.timestampms), TRANSFERS);
        if is_last {
            self.known.transfers = self.known.transfers.max(self.from);
            self.stage = Stage::Over;
        }
        Ok(rows.into_iter().filter_map(Transfer::record).collect())
    }

    /// Goes on after an answer with rows of these times; true if it was the last one.
    fn took<'row>(&mut self, times: impl ExactSizeIterator<Item = &'row Loose>, limit: usize) -> bool {
        let is_last = times.len() < limit;
        if let Some(newest) = times.filter_map(Loose::whole).max() {
            // Whether a question's own time is included is told in two ways, so the one before is asked for. Where a
            // whole page has but one time, it is passed by.
            self.from = (newest - 1).max(if is_last { self.from } else { self.from + 1 });
        }
        is_last
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Roles {
    is_auditor: bool,
    is_trader: bool,
    is_fund_manager: bool,
    is_account_admin: bool,
}

impl Roles {
    fn warnings(&self) -> Vec<String> {
        [
            (self.is_fund_manager, "withdraw and transfer funds"),
            (self.is_trader, "trade"),
            (self.is_account_admin, "manage accounts"),
        ]
        .into_iter()
        .filter(|(may, _)| *may)
        .map(|(_, what)| format!("This key may {what}. Make one that has only the role Auditor."))
        .collect()
    }
}

#[derive(Deserialize)]
struct Detail {
    /// What bank transfers to the account are marked with: each account has its own.
    memo_reference_code: Option<String>,
}

#[derive(Deserialize)]
struct Trade {
    tid: Loose,
    timestampms: Loose,
    /// `Buy` or `Sell`.
    #[serde(rename = "type")]
    side: String,
    /// Such as `BTCUSD`, or `BTCGUSDPERP`.
    #[serde(default)]
    symbol: String,
    price: Loose,
    amount: Loose,
    #[serde(default)]
    fee_currency: String,
    #[serde(default)]
    fee_amount: Loose,
    /// How a trade was taken back; one that was `full`y is as if it had never been.
    #[serde(rename = "break", default)]
    broken: Option<String>,
}

impl Trade {
    fn record(self) -> Option<Record> {
        if self.broken.as_deref() == Some("full") {
            return None;
        }
        let mut record = Record::new(RecordKind::Trade, self.tid.text()?, self.timestampms.milliseconds()?);
        let amount = self.amount.quantity()?;
        let cost = self.amount.at_price(&self.price);
        if let Some((base, quote)) = pair(&self.symbol, &self.fee_currency) {
            let (base, quote) = (Amount::of(amount, base), cost.and_then(|cost| Amount::of(cost, quote)));
            let is_sale = self.side.eq_ignore_ascii_case("sell");
            (record.sent, record.received) = if is_sale { (base, quote) } else { (quote, base) };
        }
        record.fee = self.fee_amount.quantity().and_then(|fee| Amount::of(fee, self.fee_currency));
        Some(record)
    }
}

/// The coins of a pair.
fn pair(symbol: &str, fee_currency: &str) -> Option<(String, String)> {
    let symbol = symbol.to_ascii_uppercase();
    let coins = symbol.strip_suffix("PERP").unwrap_or(&symbol);
    let fee_currency = fee_currency.to_ascii_uppercase();
    let quotes = std::iter::once(fee_currency.as_str()).chain(QUOTES.iter().copied());
    let mut pairs = quotes.filter(|quote| !quote.is_empty()).filter_map(|quote| {
        let base = coins.strip_suffix(quote).filter(|base| !base.is_empty())?;
        Some((base.to_owned(), quote.to_owned()))
    });
    pairs.next()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Transfer {
    eid: Loose,
    timestampms: Loose,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    status: String,
    currency: String,
    amount: Loose,
    #[serde(default)]
    fee_amount: Loose,
    fee_currency: Option<String>,
    #[serde(default)]
    tx_hash: Loose,
}

impl Transfer {
    fn record(self) -> Option<Record> {
        if self.status != "Complete" {
            return None;
        }
        let kind = match self.kind.as_str() {
            "Deposit" => RecordKind::Deposit,
            "Withdrawal" => RecordKind::Withdrawal,
            "Reward" => RecordKind::Reward,
            _ => RecordKind::Ledger,
        };
        let mut record = Record::new(kind, self.eid.text()?, self.timestampms.milliseconds()?);
        let fee_currency = self.fee_currency.unwrap_or_else(|| self.currency.clone());
        record.fee = self.fee_amount.quantity().and_then(|fee| Amount::of(fee, fee_currency));
        let amount = self.amount.quantity()?;
        let is_out = amount.is_negative() || matches!(self.kind.as_str(), "Withdrawal" | "AdminDebit");
        let amount = Amount::of(amount, self.currency);
        (record.sent, record.received) = if is_out { (amount, None) } else { (None, amount) };
        record.tx_hash = self.tx_hash.text();
        Some(record)
    }
}

/// Calls a private method. What it says is in a header, base64 of JSON; there is no body.
async fn call<T: DeserializeOwned>(
    account: &Account,
    outside: &Outside<'_>,
    path: &str,
    mut payload: Value,
) -> Result<T, Trouble> {
    if let Some(fields) = payload.as_object_mut() {
        fields.insert("request".to_owned(), path.into());
        fields.insert("nonce".to_owned(), nonce(outside)?.into());
        if let Some(name) = account.setting("account") {
            fields.insert("account".to_owned(), name.into());
        }
    }
    let payload = base64(payload.to_string().as_bytes());
    let (key, secret) = (account.secret("apiKey"), account.secret("apiSecret"));
    let none = SecretString::default();
    let request = outside
        .request(Method::POST, Upstream::Gemini, path)
        .secret_header("x-gemini-apikey", key.unwrap_or(&none))
        .header("x-gemini-payload", &payload)
        .header("x-gemini-signature", &sign(secret.unwrap_or(&none), &payload))
        .header("cache-control", "no-cache")
        // Of a body that is empty nothing is said otherwise.
        .header("content-length", "0")
        .body("text/plain", String::new().into());
    read(&outside.send(NAME, request).await?, outside)
}

/// HMAC-SHA384 of the payload as it is sent, in hexadecimal.
fn sign(secret: &SecretString, payload: &str) -> String {
    hex(&hmac(Hash::Sha384, secret, payload.as_bytes()))
}

/// The next nonce, of the kind that the key wants.
fn nonce(outside: &Outside<'_>) -> Result<u64, Trouble> {
    let Some(last) = outside.note("seconds").and_then(|last| last.parse::<i64>().ok()) else {
        return Ok(outside.nonce(u64::try_from(outside.now().as_millisecond()).unwrap_or_default()));
    };
    let now = outside.provider_now().as_second();
    let next = now.max(last.saturating_add(1));
    if let Ok(left @ 1..) = u64::try_from(next - now - AHEAD) {
        return Err(Trouble::Wait { provider: NAME, for_: Duration::from_secs(left) });
    }
    outside.set_note("seconds", next.to_string());
    Ok(u64::try_from(next).unwrap_or_default())
}

fn read<T: DeserializeOwned>(answer: &Answer, outside: &Outside<'_>) -> Result<T, Trouble> {
    if answer.is_success() {
        return answer.json().ok_or_else(|| Trouble::unreadable(NAME));
    }
    let refusal: Refusal = answer.json().unwrap_or_default();
    Err(match refusal.reason.as_str() {
        // "Nonce '…' is not within 30 seconds of server time '…'": the key wants seconds, or a better clock.
        "InvalidNonce" if refusal.message.contains("within") => {
            // What was used before the clock was put right may be far ahead of it.
            outside.set_note("seconds", "0");
            Trouble::ClockSkew(NAME)
        }
        "InvalidNonce" => Trouble::NonceTooLow(NAME),
        "InvalidSignature" => {
            Trouble::of_field("apiSecret", "The API secret does not belong to this API key. Copy both again.")
        }
        "InvalidApiKey" => Trouble::InvalidCredentials(
            "Gemini does not know this API key: it is mistyped or was deleted. Make a new one.".into(),
        ),
        "AccountClosed" => Trouble::InvalidCredentials("Gemini has closed the account of this API key.".into()),
        "MissingRole" => cannot_read(),
        "MissingAccounts" | "MissingAccount" | "AccountNotOnGroup" | "NotGroupApiCompatible" => Trouble::of_field(
            "account",
            "Gemini finds no account of this name with the API key. A master key needs an account's short name, such \
                 as primary; other keys need none.",
        ),
        "ApiKeyIpFilteringFailure" | "RemoteAddressForbidden" => Trouble::IpNotAllowed(
            "The API key may be used from trusted IP addresses only. In Gemini's settings leave them unrestricted."
                .into(),
        ),
        "System" | "Maintenance" => {
            Trouble::ProviderDown("Gemini has trouble of its own, or is being maintained.".into())
        }
        _ => Trouble::of_answer(NAME, answer),
    })
}

fn cannot_read() -> Trouble {
    Trouble::InsufficientPermissions(
        "The API key may not read trades and transfers. Make one that has the role Auditor.".into(),
    )
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    reason: String,
    message: String,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use fakes::exchanges::gemini::{Gemini as Fake, GeminiKey};
    use jiff::SignedDuration;

    use super::*;
    use crate::model::Quantity;
    use crate::providers::testing::World;

    const NOW: i64 = 1_780_000_000_000;
    const DAY: i64 = 86_400_000;

    fn given(credentials: &Value) -> Given {
        Given { credentials: credentials.as_object().unwrap().clone(), ..Given::default() }
    }

    fn account(key: &str, secret: &str) -> Account {
        Gemini.account(&given(&json!({ "apiKey": key, "apiSecret": secret }))).unwrap()
    }

    async fn start() -> (Fake, World, Account) {
        let fake = Fake::start().await.unwrap();
        fake.set_clock(NOW);
        fake.add_key(GeminiKey::reading("k", "s"));
        let world = World::of(&[("GEMINI", fake.host.origin())]);
        (fake, world, account("k", "s"))
    }

    /// Walks and waits when asked to.
    async fn walk(
        fake: &Fake,
        world: &World,
        account: &Account,
        mut cursor: Option<Cursor>,
    ) -> (Vec<Record>, Option<Cursor>) {
        let (outside, mut records) = (world.outside(), Vec::new());
        loop {
            match crate::providers::page(&Gemini, account, cursor.as_ref(), &outside).await {
                Ok(fetched) => {
                    records.extend(fetched.records);
                    match fetched.next {
                        Next::More(next) => cursor = Some(Cursor::stored(next.as_str())),
                        Next::End(next) => {
                            pass(fake, world, 60);
                            return (records, next);
                        }
                    }
                }
                Err(Trouble::Wait { for_, .. }) => pass(fake, world, for_.as_secs() + 1),
                Err(trouble) => panic!("{trouble}"),
            }
        }
    }

    /// Lets time pass, here and there.
    fn pass(fake: &Fake, world: &World, seconds: u64) {
        world.clock.advance(SignedDuration::from_secs(i64::try_from(seconds).unwrap()));
        fake.set_clock(world.outside().now().as_millisecond());
    }

    fn amount(quantity: &str, asset: &str) -> Option<Amount> {
        Amount::of(Quantity::parse(quantity).unwrap(), asset)
    }

    /// The example of Gemini's documentation.
    #[test]
    fn a_documented_signature_comes_out() {
        let payload =
            "{\n    \"request\": \"/v1/order/status\",\n    \"nonce\": 123456,\n\n    \"order_id\": 18834\n}\n";
        assert_eq!(
            sign(&SecretString::from("1234abcd"), &base64(payload.as_bytes())),
            "337cc8b4ea692cfe65b4a85fcc9f042b2e3f702ac956fd098d600ab15705775017beae402be773ceee10719ff70d710f"
        );
    }

    #[test]
    fn pairs_are_split() {
        for ((symbol, fee), expected) in [
            (("BTCUSD", "USD"), ("BTC", "USD")),
            (("stgusd", "USD"), ("STG", "USD")),
            (("BTCGUSD", "GUSD"), ("BTC", "GUSD")),
            (("ETHBTC", "BTC"), ("ETH", "BTC")),
            (("BTCGUSDPERP", "GUSD"), ("BTC", "GUSD")),
            (("LINKEUR", ""), ("LINK", "EUR")),
        ] {
            assert_eq!(pair(symbol, fee), Some((expected.0.to_owned(), expected.1.to_owned())), "{symbol}");
        }
        assert_eq!(pair("", "USD"), None);
    }

    #[test]
    fn a_master_key_must_say_which_account_is_meant() {
        let problems = Gemini.account(&given(&json!({ "apiKey": "master-k", "apiSecret": "s" }))).unwrap_err();
        assert_eq!(problems[0].field, "credentials.account");
        let of = |name: &str| json!({ "apiKey": "master-k", "apiSecret": "s", "account": name });
        let (one, other) = (Gemini.account(&given(&of("primary"))), Gemini.account(&given(&of("custody"))));
        assert_ne!(one.unwrap().identities, other.unwrap().identities);
    }

    #[tokio::test]
    async fn a_key_is_judged() {
        let (fake, world, good) = start().await;
        let checked = Gemini.check(&good, &world.outside()).await.unwrap();
        assert_eq!((checked.account_id.is_some(), checked.warnings.len()), (true, 0));
        fake.add_key(GeminiKey { roles: vec!["Trader", "FundManager"], ..GeminiKey::reading("rich", "s") });
        let checked = Gemini.check(&account("rich", "s"), &world.outside()).await.unwrap();
        assert_eq!(checked.warnings.len(), 2);
        fake.add_key(GeminiKey { roles: vec!["FundManager"], ..GeminiKey::reading("poor", "s") });
        let trouble = Gemini.check(&account("poor", "s"), &world.outside()).await.unwrap_err();
        assert!(matches!(trouble, Trouble::InsufficientPermissions(_)), "{trouble}");
        fake.add_key(GeminiKey { is_restricted: true, ..GeminiKey::reading("tied", "s") });
        let trouble = Gemini.check(&account("tied", "s"), &world.outside()).await.unwrap_err();
        assert!(matches!(trouble, Trouble::IpNotAllowed(_)), "{trouble}");
        for (wrong, word) in [(account("unknown", "s"), "mistyped"), (account("k", "wrong"), "secret")] {
            let trouble = Gemini.check(&wrong, &world.outside()).await.unwrap_err();
            assert!(trouble.is_invalid() && trouble.to_string().contains(word), "{trouble}");
        }
    }

    #[tokio::test]
    async fn a_master_key_is_asked_for_one_account() {
        let (fake, world, _) = start().await;
        fake.add_key(GeminiKey { accounts: vec!["primary"], ..GeminiKey::reading("master-k", "s") });
        let of = |name: &str| {
            Gemini.account(&given(&json!({ "apiKey": "master-k", "apiSecret": "s", "account": name }))).unwrap()
        };
        let outside = world.outside();
        Gemini.check(&of("primary"), &outside).await.unwrap();
        let trouble = Gemini.check(&of("elsewhere"), &outside).await.unwrap_err();
        assert!(matches!(&trouble, Trouble::InvalidField { field: "account", .. }), "{trouble}");
    }

    #[tokio::test]
    async fn a_whole_history_is_walked_and_then_only_what_is_new() {
        let (fake, world, account) = start().await;
        for number in 0..1_203 {
            // Three trades each millisecond, so that pages end between trades of one time.
            fake.trade("k", NOW - 900 * DAY + number / 3, "BTCUSD", "Buy", ("0.5", "20000"), ("25", "USD"));
        }
        fake.trade("k", NOW - 20 * DAY, "ETHBTC", "Sell", ("2", "0.05"), ("0.0001", "BTC"));
        for number in 0..120 {
            fake.transfer("k", NOW - 700 * DAY + number, "Deposit", ("10", "USD"), "Complete");
        }
        fake.transfer("k", NOW - 30 * DAY, "Reward", ("0.001", "ETH"), "Complete");
        let waiting = fake.transfer("k", NOW - 3 * DAY, "Withdrawal", ("1.5", "BTC"), "Pending");
        fake.transfer("k", NOW - 2 * DAY, "Deposit", ("100", "USD"), "Advanced");
        fake.transfer("k", NOW - DAY, "AdminDebit", ("1", "USD"), "Complete");
        let (records, end) = walk(&fake, &world, &account, None).await;
        let ids = |kind| {
            let own = records.iter().filter(|record| record.kind == kind);
            own.map(|record| record.provider_id.as_str()).collect::<HashSet<_>>().len()
        };
        assert_eq!((ids(RecordKind::Trade), ids(RecordKind::Deposit), ids(RecordKind::Withdrawal)), (1_204, 120, 0));
        assert_eq!((ids(RecordKind::Reward), ids(RecordKind::Ledger)), (1, 1));
        let sale = records.iter().find(|record| record.sent == amount("2", "ETH")).unwrap();
        assert_eq!((&sale.received, &sale.fee), (&amount("0.1", "BTC"), &amount("0.0001", "BTC")));
        let debit = records.iter().find(|record| record.kind == RecordKind::Ledger).unwrap();
        assert_eq!(debit.sent, amount("1", "USD"));
        fake.settle(&waiting);
        fake.trade("k", NOW + 1, "BTCUSD", "Buy", ("0.5", "20000"), ("25", "USD"));
        let (records, end) = walk(&fake, &world, &account, end).await;
        let known: HashSet<String> = records.into_iter().map(|record| record.provider_id).collect();
        assert!(known.contains(&waiting) && known.len() <= 4, "what was under way is seen when it is done: {known:?}");
        fake.host.forget_requests();
        let (again, same) = walk(&fake, &world, &account, end.clone()).await;
        assert!(again.iter().all(|record| known.contains(&record.provider_id)), "{again:?}");
        assert_eq!((same, fake.host.requests().len()), (end, 2), "and nothing moves where nothing is new");
    }

    #[tokio::test]
    async fn more_of_one_time_than_a_page_holds_does_not_stop_a_walk() {
        let (fake, world, account) = start().await;
        for _ in 0..TRANSFERS + 1 {
            fake.transfer("k", NOW - 2 * DAY, "Reward", ("1", "USD"), "Complete");
        }
        fake.transfer("k", NOW - DAY, "Reward", ("7", "USD"), "Complete");
        let (records, _) = walk(&fake, &world, &account, None).await;
        assert!(records.iter().any(|record| record.received == amount("7", "USD")));
    }

    #[tokio::test]
    async fn what_comes_in_during_a_walk_shifts_nothing() {
        let (fake, world, account) = start().await;
        for number in 0..600 {
            fake.trade("k", NOW - DAY + number, "BTCUSD", "Buy", ("0.5", "20000"), ("25", "USD"));
        }
        let first = world.page(&Gemini, &account, None).await.unwrap();
        let Next::More(cursor) = first.next else { panic!("a page holds 500") };
        for _ in 0..10 {
            fake.trade("k", NOW + 1, "BTCUSD", "Buy", ("0.5", "20000"), ("25", "USD"));
        }
        pass(&fake, &world, 1);
        let (rest, _) = walk(&fake, &world, &account, Some(cursor)).await;
        let ids: HashSet<String> = first.records.into_iter().chain(rest).map(|record| record.provider_id).collect();
        assert_eq!(ids.len(), 610);
    }

    #[tokio::test]
    async fn a_key_with_time_based_nonces_is_found_out_and_a_clock_that_is_off_heals() {
        let (fake, world, _) = start().await;
        fake.set_clock(NOW + 3_600_000);
        fake.add_key(GeminiKey { is_time_based: true, ..GeminiKey::reading("timed", "s") });
        let (timed, outside) = (account("timed", "s"), world.outside());
        crate::providers::check(&Gemini, &timed, &outside).await.unwrap();
        assert_eq!(outside.tempo().clock_offset_ms, 3_600_000);
        // It is remembered with the rest.
        fake.host.forget_requests();
        crate::providers::page(&Gemini, &timed, None, &outside).await.unwrap();
        assert_eq!(fake.host.requests().len(), 1);
        // Calls in the same second take seconds that are to come, and not too many of them.
        let mut trouble = None;
        while trouble.is_none() {
            trouble = crate::providers::check(&Gemini, &timed, &outside).await.err();
        }
        assert!(matches!(trouble, Some(Trouble::Wait { for_, .. }) if for_ <= Duration::from_secs(2)), "{trouble:?}");
        assert!(fake.host.requests().len() >= 15);
    }

    #[tokio::test]
    async fn a_nonce_that_is_too_low_heals_once() {
        let (fake, world, account) = start().await;
        // A worker that died has used a nonce and not stored it.
        fake.see_nonce("k", u64::try_from(NOW).unwrap());
        world.page(&Gemini, &account, None).await.unwrap();
        fake.see_nonce("k", u64::MAX);
        let trouble = world.page(&Gemini, &account, None).await.unwrap_err();
        assert!(matches!(&trouble, Trouble::Unexpected(told) if told.contains("another program")), "{trouble}");
    }

    #[tokio::test]
    async fn limits_are_kept() {
        let (fake, world, account) = start().await;
        fake.throttle(1);
        let trouble = world.page(&Gemini, &account, None).await.unwrap_err();
        assert!(matches!(trouble, Trouble::Wait { .. }), "{trouble}");
        for _ in 0..TRANSFERS {
            fake.transfer("k", NOW - DAY, "Reward", ("1", "USD"), "Complete");
        }
        let outside = world.outside();
        let mut cursor = None;
        let trouble = loop {
            match Gemini.page(&account, cursor.as_ref(), &outside).await {
                Ok(Fetched { next: Next::More(next), .. }) => cursor = Some(next),
                Ok(fetched) => panic!("it does not wait: {fetched:?}"),
                Err(trouble) => break trouble,
            }
        };
        assert_eq!(trouble, Trouble::Wait { provider: NAME, for_: Duration::from_secs(5) });
        assert_eq!(fake.host.calls("transfers"), 1);
        fake.revoke("k");
        assert!(world.page(&Gemini, &account, None).await.unwrap_err().is_final());
    }
}
