//! OKX's funding and trading accounts, asked with an API key (version 5).
//!
//! # How a history is walked
//! A walk goes through four stages, each from the newest row back to where the last walk ended:
//! 1. *Deposits*, *withdrawals* and *conversions*, the whole history, 100 rows an answer, going on before the time of the
//!    oldest row. Rows may share a millisecond, so the oldest ones are asked for once more.
//! 2. The *bills* of the trading account, of which three months are told, 100 an answer, going on before the oldest bill.
//!    Whoever wants older trades imports them from a file. Conversions are left out there.
//!
//! A spot trade has two bills, one for each coin. They share instrument, order and trade and are one record; see
//! [`legs`](super::legs). What comes in during a walk is newer than all that is still to be read, so pages do not shift.
//! The next walk goes back to three days before this one began, because what was under way then may be done now.
//!
//! Each request carries the HMAC-SHA256, in base64, of time, method and path with query, and the passphrase as it is. A
//! time more than 30 seconds off is refused. Limits are kept by path and account (five bills in two seconds); an answer
//! does not say when there are more.
//!
//! Facts: okx.com/docs-v5 ("REST authentication", "Get account configuration", "Get bills details (last 3 months)", "Get
//! deposit history", "Get withdrawal history", "Get convert history", "Error code").

use std::time::Duration;

use jiff::Timestamp;
use rust_decimal::Decimal;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared::egress::{Answer, Upstream};
use shared::http::FieldProblem;

use super::legs::{Kept, Leg};
use super::signing::{Hash, base64, hmac};
use super::stages::{self, Stages};
use crate::model::{Amount, Category, Quantity, Record, RecordKind};
use crate::providers::{Account, Checked, Cursor, Entry, Fetched, Field, Given, Outside, Source, Trouble};

const NAME: &str = "OKX";
const DAY: i64 = 86_400_000;
const OVERLAP: i64 = 3 * DAY;
/// So many rows an answer.
const LIMIT: usize = 100;
/// So many answers a page, if they are empty.
const STEPS: usize = 4;

/// OKX in the catalogue.
pub static ENTRY: Entry = Entry {
    id: "okx",
    public_name: NAME,
    category: Category::Exchange,
    logo_url: "https://assets.coingecko.com/markets/images/96/large/WeChat_Image_20220117220452.png",
    sources: &[&Okx],
    chains: &[],
    takes_csv: false,
    instructions: "On OKX open Profile, API, Create API key, with the purpose API trading. Choose a passphrase, leave only \
        Read ticked (neither Trade nor Withdraw), and name no IP addresses. Copy the API key and the secret key. OKX tells \
        trades of the last three months only: import older ones from a file.",
};

const FIELDS: &[Field] = &[
    Field::secret("apiKey", "API key", "Shown under API: 36 characters with dashes."),
    Field::secret("apiSecret", "Secret key", "Shown when the key is created: 32 letters and digits."),
    Field::secret("passphrase", "Passphrase", "The one that you chose when you created the key, not your password."),
];

/// OKX's accounts.
pub struct Okx;

#[async_trait::async_trait]
impl Source for Okx {
    fn name(&self) -> &'static str {
        "okx"
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn accepted(&self) -> &'static str {
        "an API key of OKX"
    }

    fn account(&self, given: &Given) -> Result<Account, Vec<FieldProblem>> {
        given.credentials(FIELDS)
    }

    async fn check(&self, account: &Account, outside: &Outside<'_>) -> Result<Checked, Trouble> {
        let configs: Vec<Config> = signed(account, outside, "/api/v5/account/config").await?;
        let config = configs.into_iter().next().ok_or_else(|| Trouble::unreadable(NAME))?;
        if !config.permissions().any(|permission| permission == "read_only") {
            return Err(Trouble::InsufficientPermissions("The API key may not read. Tick Read.".into()));
        }
        let warnings = config.warnings();
        Ok(Checked { account_id: Some(config.uid), warnings, is_contract: false })
    }

    async fn page(
        &self,
        account: &Account,
        cursor: Option<&Cursor>,
        outside: &Outside<'_>,
    ) -> Result<Fetched, Trouble> {
        stages::page::<Walk>(account, cursor, outside).await
    }

    async fn server_time(&self, outside: &Outside<'_>) -> Result<Timestamp, Trouble> {
        #[derive(Deserialize)]
        struct Time {
            ts: String,
        }
        let answer = outside.send(NAME, outside.get(Upstream::Okx, "/api/v5/public/time")).await?;
        let times: Vec<Time> = read(&answer)?;
        times.first().and_then(|time| at(&time.ts)).ok_or_else(|| Trouble::unreadable(NAME))
    }
}

/// A moment that is told in milliseconds, as text.
fn at(milliseconds: &str) -> Option<Timestamp> {
    Timestamp::from_millisecond(milliseconds.parse().ok()?).ok()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    Deposits,
    Withdrawals,
    Conversions,
    Bills,
    Over,
}

impl Stage {
    fn next(self) -> Self {
        match self {
            Self::Deposits => Self::Withdrawals,
            Self::Withdrawals => Self::Conversions,
            Self::Conversions => Self::Bills,
            Self::Bills | Self::Over => Self::Over,
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Deposits => "/api/v5/asset/deposit-history",
            Self::Withdrawals => "/api/v5/asset/withdrawal-history",
            Self::Conversions => "/api/v5/asset/convert/history",
            Self::Bills | Self::Over => "/api/v5/account/bills-archive",
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Walk {
    stage: Stage,
    /// Milliseconds; what is older was seen before.
    start: i64,
    /// Milliseconds; when the walk began.
    began: i64,
    /// Before which time, or bill, the stage goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    /// Legs of events that may have more on the next page.
    #[serde(default, skip_serializing_if = "Kept::is_empty")]
    kept: Kept,
}

#[async_trait::async_trait]
impl Stages for Walk {
    const QUESTIONS: usize = STEPS;

    fn begin(until: Option<i64>, outside: &Outside<'_>) -> Self {
        let began = outside.provider_now().as_millisecond();
        let start = until.map_or(0, |until| until.saturating_sub(OVERLAP));
        Self { stage: Stage::Deposits, start, began, before: None, kept: Kept::default() }
    }

    async fn step(&mut self, account: &Account, outside: &Outside<'_>) -> Result<Vec<Record>, Trouble> {
        match self.stage {
            Stage::Deposits => self.read(account, outside, Deposit::record).await,
            Stage::Withdrawals => self.read(account, outside, Withdrawal::record).await,
            Stage::Conversions => self.read(account, outside, Conversion::record).await,
            Stage::Bills => self.bills(account, outside).await,
            Stage::Over => Ok(Vec::new()),
        }
    }

    fn done(&self) -> Option<i64> {
        (self.stage == Stage::Over).then_some(self.began)
    }
}

impl Walk {
    /// The next rows of the stage, of which the oldest tells whether and where it goes on.
    async fn rows<T: DeserializeOwned + Row>(
        &mut self,
        account: &Account,
        outside: &Outside<'_>,
    ) -> Result<Vec<T>, Trouble> {
        let before = self.before.as_ref().map(|before| format!("&after={before}")).unwrap_or_default();
        let rows: Vec<T> = signed(account, outside, &format!("{}?limit={LIMIT}{before}", self.stage.path())).await?;
        let oldest = rows.iter().filter_map(|row| row.time().parse::<i64>().ok()).min();
        let next = rows.last().and_then(|last| last.before(self.before.as_deref()));
        if rows.len() < LIMIT || oldest.is_none_or(|oldest| oldest < self.start) || next.is_none() {
            (self.stage, self.before) = (self.stage.next(), None);
        } else {
            self.before = next;
        }
        Ok(rows)
    }

    async fn read<T: DeserializeOwned + Row>(
        &mut self,
        account: &Account,
        outside: &Outside<'_>,
        record: fn(T) -> Option<Record>,
    ) -> Result<Vec<Record>, Trouble> {
        Ok(self.rows(account, outside).await?.into_iter().filter_map(record).collect())
    }

    async fn bills(&mut self, account: &Account, outside: &Outside<'_>) -> Result<Vec<Record>, Trouble> {
        let rows: Vec<Bill> = self.rows(account, outside).await?;
        let legs = rows.into_iter().filter(|row| !row.is_conversion()).map(Bill::leg);
        self.kept.take_in(legs, self.stage == Stage::Over).ok_or_else(|| Trouble::unreadable(NAME))
    }
}

/// What is told newest first.
trait Row {
    /// When it happened, in milliseconds.
    fn time(&self) -> &str;

    /// Before what the rows after this one are, if those before `asked` were asked for. By time that is a millisecond
    /// later, so that what shares it is not lost, unless that was asked for already.
    fn before(&self, asked: Option<&str>) -> Option<String> {
        let time: i64 = self.time().parse().ok()?;
        let later = (time + 1).to_string();
        Some(if asked == Some(later.as_str()) { time.to_string() } else { later })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Deposit {
    #[serde(default)]
    dep_id: String,
    ccy: String,
    amt: String,
    state: String,
    #[serde(default)]
    tx_id: String,
    ts: String,
}

impl Row for Deposit {
    fn time(&self) -> &str {
        &self.ts
    }
}

impl Deposit {
    /// 2 is done; 1 is booked but may not be withdrawn yet.
    fn record(self) -> Option<Record> {
        if !matches!(self.state.as_str(), "1" | "2") {
            return None;
        }
        let id = if self.dep_id.is_empty() { format!("{}:{}:{}", self.ts, self.ccy, self.tx_id) } else { self.dep_id };
        let mut record = Record::new(RecordKind::Deposit, id, at(&self.ts)?);
        record.received = Amount::of(Quantity::parse(&self.amt)?, self.ccy);
        record.tx_hash = (!self.tx_id.is_empty()).then_some(self.tx_id);
        Some(record)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Withdrawal {
    wd_id: String,
    ccy: String,
    amt: String,
    #[serde(default)]
    fee: String,
    #[serde(default)]
    fee_ccy: String,
    state: String,
    #[serde(default)]
    tx_id: String,
    ts: String,
}

impl Row for Withdrawal {
    fn time(&self) -> &str {
        &self.ts
    }
}

impl Withdrawal {
    /// 2 is done.
    fn record(self) -> Option<Record> {
        if self.state != "2" {
            return None;
        }
        let mut record = Record::new(RecordKind::Withdrawal, self.wd_id, at(&self.ts)?);
        let fee_asset = if self.fee_ccy.is_empty() { self.ccy.clone() } else { self.fee_ccy };
        record.fee = Quantity::parse(&self.fee).and_then(|fee| Amount::of(fee, fee_asset));
        record.sent = Amount::of(Quantity::parse(&self.amt)?, self.ccy);
        record.tx_hash = (!self.tx_id.is_empty()).then_some(self.tx_id);
        Some(record)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Conversion {
    trade_id: String,
    state: String,
    base_ccy: String,
    quote_ccy: String,
    side: String,
    fill_base_sz: String,
    fill_quote_sz: String,
    ts: String,
}

impl Row for Conversion {
    fn time(&self) -> &str {
        &self.ts
    }
}

impl Conversion {
    fn record(self) -> Option<Record> {
        if self.state != "fullyFilled" {
            return None;
        }
        let mut record = Record::new(RecordKind::Conversion, self.trade_id, at(&self.ts)?);
        let base = Amount::of(Quantity::parse(&self.fill_base_sz)?, self.base_ccy);
        let quote = Amount::of(Quantity::parse(&self.fill_quote_sz)?, self.quote_ccy);
        (record.sent, record.received) = if self.side == "buy" { (quote, base) } else { (base, quote) };
        Some(record)
    }
}

/// A change of the trading account's balance.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bill {
    bill_id: String,
    #[serde(rename = "type")]
    kind: String,
    ccy: String,
    /// With the fee as a part of it.
    bal_chg: String,
    /// Below nothing if it was paid, above if it is a rebate.
    #[serde(default)]
    fee: String,
    #[serde(default)]
    inst_id: String,
    #[serde(default)]
    ord_id: String,
    #[serde(default)]
    trade_id: String,
    ts: String,
}

impl Row for Bill {
    fn time(&self) -> &str {
        &self.ts
    }

    fn before(&self, _asked: Option<&str>) -> Option<String> {
        Some(self.bill_id.clone())
    }
}

impl Bill {
    /// True for what the stage of conversions tells.
    fn is_conversion(&self) -> bool {
        self.kind == "27"
    }

    fn record_kind(&self) -> RecordKind {
        match self.kind.as_str() {
            // Trade, delivery, liquidation, automatic reduction, hedging, block, spread, simple, moved position.
            "2" | "3" | "5" | "9" | "13" | "14" | "24" | "30" | "32" => RecordKind::Trade,
            // A system's conversion, an easy one, repayment with one click.
            "11" | "28" | "29" => RecordKind::Conversion,
            // Interest, a share of profits for a lead trader.
            "7" | "250" => RecordKind::Fee,
            "251" | "381" => RecordKind::Reward,
            _ => RecordKind::Ledger,
        }
    }

    fn leg(self) -> Option<Leg> {
        let number = |text: &str| if text.is_empty() { Some(Decimal::ZERO) } else { Quantity::parse(text)?.decimal() };
        let (change, fee) = (number(&self.bal_chg)?, -number(&self.fee)?);
        let kind = self.record_kind();
        let is_shared = matches!(kind, RecordKind::Trade | RecordKind::Conversion)
            && !self.ord_id.is_empty()
            && !self.trade_id.is_empty();
        let reference =
            if is_shared { format!("{}:{}:{}", self.inst_id, self.ord_id, self.trade_id) } else { self.bill_id };
        Some(Leg::of_change((kind, reference), at(&self.ts)?, self.ccy, change, fee))
    }
}

#[derive(Deserialize)]
struct Config {
    uid: String,
    /// Such as `read_only,trade`.
    #[serde(default)]
    perm: String,
}

impl Config {
    fn permissions(&self) -> impl Iterator<Item = &str> {
        self.perm.split(',').map(str::trim)
    }

    fn warnings(&self) -> Vec<String> {
        let warn = |permission: &str, what: &str| {
            let may = self.permissions().any(|one| one == permission);
            may.then(|| format!("This key may {what}. Make one with only Read ticked."))
        };
        warn("withdraw", "withdraw funds").into_iter().chain(warn("trade", "trade and transfer funds")).collect()
    }
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: Vec<T>,
}

/// Asks a question that needs a signature.
async fn signed<T: DeserializeOwned>(account: &Account, outside: &Outside<'_>, path: &str) -> Result<Vec<T>, Trouble> {
    let timestamp = spelt(outside.provider_now());
    let secret = |name| account.secret(name).cloned().unwrap_or_default();
    let request = outside
        .get(Upstream::Okx, path)
        .secret_header("ok-access-key", &secret("apiKey"))
        .header("ok-access-sign", &sign(&secret("apiSecret"), &timestamp, path))
        .header("ok-access-timestamp", &timestamp)
        .secret_header("ok-access-passphrase", &secret("passphrase"));
    read(&outside.send(NAME, request).await?)
}

/// A moment as OKX wants it: `2020-12-08T09:08:57.715Z`.
fn spelt(moment: Timestamp) -> String {
    format!("{}.{:03}Z", moment.strftime("%Y-%m-%dT%H:%M:%S"), moment.as_millisecond().rem_euclid(1_000))
}

/// The HMAC-SHA256 of time, method and path with query, in base64.
fn sign(secret: &SecretString, timestamp: &str, path: &str) -> String {
    base64(&hmac(Hash::Sha256, secret, format!("{timestamp}GET{path}").as_bytes()))
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Result<Vec<T>, Trouble> {
    #[derive(Deserialize)]
    struct Code {
        code: String,
    }
    match answer.json::<Code>() {
        Some(Code { code }) if code == "0" => {
            answer.json::<Envelope<T>>().map(|envelope| envelope.data).ok_or_else(|| Trouble::unreadable(NAME))
        }
        Some(Code { code }) => Err(trouble(&code, answer)),
        None if answer.is_success() => Err(Trouble::unreadable(NAME)),
        None => Err(Trouble::of_answer(NAME, answer)),
    }
}

fn trouble(code: &str, answer: &Answer) -> Trouble {
    match code {
        "50102" | "50112" => Trouble::ClockSkew(NAME),
        "50111" | "50114" | "50119" => Trouble::InvalidCredentials(
            "OKX does not know this API key: it is mistyped, was deleted, or is of another of OKX's sites than the one that \
             is asked here. Make a new one."
                .into(),
        ),
        "50101" => Trouble::InvalidCredentials(
            "This API key is for demo trading. Make one while live trading is chosen.".into(),
        ),
        "50105" => Trouble::of_field(
            "passphrase",
            "The passphrase is wrong. It is the one that was chosen when the key was created.",
        ),
        "50113" => {
            Trouble::of_field("apiSecret", "The secret key does not belong to this API key. Copy both again.")
        }
        "50110" => Trouble::IpNotAllowed(
            "The API key is restricted to other IP addresses. Make a new key and name no addresses.".into(),
        ),
        "50120" | "50030" => {
            Trouble::InsufficientPermissions("The API key may not read this history. Tick Read.".into())
        }
        "50100" | "50005" => {
            Trouble::InsufficientPermissions("OKX has frozen this key or account. Ask its support.".into())
        }
        "50011" | "50061" => {
            Trouble::Wait { provider: NAME, for_: answer.retry_after().unwrap_or(Duration::from_secs(2)) }
        }
        "50001" | "50004" | "50013" | "50026" => {
            Trouble::ProviderDown("OKX has trouble of its own just now, or is being maintained.".into())
        }
        _ if answer.is_success() => Trouble::Unexpected("OKX refused the request in an unexpected way.".into()),
        _ => Trouble::of_answer(NAME, answer),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use fakes::exchanges::okx::{Okx as Fake, OkxKey};
    use jiff::SignedDuration;
    use serde_json::json;

    use super::*;
    use crate::model::Tempo;
    use crate::providers::Next;
    use crate::providers::testing::World;

    const NOW: i64 = 1_780_000_000_000;

    fn account(key: &str, secret: &str, passphrase: &str) -> Account {
        let credentials = json!({ "apiKey": key, "apiSecret": secret, "passphrase": passphrase });
        Okx.account(&Given { credentials: credentials.as_object().unwrap().clone(), ..Given::default() }).unwrap()
    }

    async fn start() -> (Fake, World, Account) {
        let fake = Fake::start().await.unwrap();
        fake.set_clock(NOW);
        fake.add_key(OkxKey::reading("k", "s", "p"));
        let world = World::of(&[("OKX", fake.host.origin())]);
        (fake, world, account("k", "s", "p"))
    }

    /// Secret, time and path are the documentation's own; the signature was made with another tool.
    #[test]
    fn a_signature_comes_out_as_another_tool_makes_it() {
        let secret = SecretString::from("22582BD0CFF14C41EDBF1AB98506286D");
        let timestamp = spelt("2020-12-08T09:08:57.715Z".parse().unwrap());
        assert_eq!(timestamp, "2020-12-08T09:08:57.715Z");
        assert_eq!(
            sign(&secret, &timestamp, "/api/v5/account/balance?ccy=BTC"),
            "HiZhvSfMtWJA3uUIVXV3a/bSXNPCWvYFXoGCVS8V4zY="
        );
        assert_eq!(spelt(Timestamp::UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
    }

    #[tokio::test]
    async fn a_key_is_judged() {
        let (fake, world, good) = start().await;
        let checked = Okx.check(&good, &world.outside()).await.unwrap();
        assert_eq!((checked.account_id.is_some(), checked.warnings.len()), (true, 0));
        fake.add_key(OkxKey { permissions: "read_only,withdraw,trade", ..OkxKey::reading("rich", "s", "p") });
        let checked = Okx.check(&account("rich", "s", "p"), &world.outside()).await.unwrap();
        assert_eq!(checked.warnings.len(), 2, "{:?}", checked.warnings);
        for wrong in [account("unknown", "s", "p"), account("k", "wrong", "p"), account("k", "s", "wrong")] {
            let trouble = Okx.check(&wrong, &world.outside()).await.unwrap_err();
            assert!(trouble.is_invalid(), "{trouble}");
        }
        fake.add_key(OkxKey { permissions: "trade", ..OkxKey::reading("poor", "s", "p") });
        let poor = account("poor", "s", "p");
        let trouble = Okx.check(&poor, &world.outside()).await.unwrap_err();
        assert!(matches!(trouble, Trouble::InsufficientPermissions(_)), "{trouble}");
        let trouble = world.page(&Okx, &poor, None).await.unwrap_err();
        assert!(matches!(trouble, Trouble::InsufficientPermissions(_)), "{trouble}");
        fake.add_key(OkxKey { ip_allowed: false, ..OkxKey::reading("elsewhere", "s", "p") });
        let trouble = Okx.check(&account("elsewhere", "s", "p"), &world.outside()).await.unwrap_err();
        assert!(matches!(trouble, Trouble::IpNotAllowed(_)), "{trouble}");
    }

    #[tokio::test]
    async fn a_whole_history_is_found_and_then_only_what_is_new() {
        let (fake, world, account) = start().await;
        fake.trade("k", NOW - 100 * DAY, "ETH-USDT", ("USDT", "-25", "0"), ("ETH", "0.01", "-0.00001"));
        // Three share each millisecond, and a page ends between them.
        for number in 0..250 {
            fake.deposit("k", NOW - 2_000 * DAY + number / 3, "USDT", "10", "2");
        }
        fake.deposit("k", NOW - DAY, "BTC", "1", "0");
        fake.withdraw("k", NOW - 700 * DAY, "SOL", "3", "0.01");
        fake.convert("k", NOW - 600 * DAY, ("BTC", "0.01"), ("USDT", "700"), "sell");
        for number in 0..130 {
            fake.trade("k", NOW - 50 * DAY + number, "ETH-USDT", ("USDT", "-25", "0"), ("ETH", "0.01", "-0.00001"));
        }
        fake.trade("k", NOW - 40 * DAY, "BTC-USDT", ("USDT", "-70", "0.007"), ("BTC", "0.001", "0"));
        fake.bill("k", NOW - 30 * DAY, "27", ("USDT", "700", "0"));
        fake.bill("k", NOW - 30 * DAY, "8", ("USDT", "-0.5", "0"));
        // Three single bills before pairs: the first page ends between two legs.
        fake.bill("k", NOW - DAY, "1", ("USDT", "100", "0"));
        let (records, end) = world.walk(&Okx, &account, None).await.unwrap();
        let key = |record: &Record| format!("{:?} {}", record.kind, record.provider_id);
        let ids: HashSet<String> = records.iter().map(key).collect();
        let of = |kind: &str| ids.iter().filter(|id| id.starts_with(kind)).count();
        assert_eq!((of("Deposit"), of("Withdrawal"), of("Conversion")), (250, 1, 1), "what waits is not counted");
        assert_eq!((of("Trade"), of("Ledger")), (131, 2), "what is older than three months is not told");
        let trades: Vec<&Record> = records.iter().filter(|record| record.kind == RecordKind::Trade).collect();
        assert_eq!(trades.len(), 131);
        for trade in trades.iter().filter(|trade| trade.provider_id.starts_with("ETH")) {
            assert_eq!(trade.sent, Amount::of(Quantity::parse("25").unwrap(), "USDT"));
            assert_eq!(trade.received, Amount::of(Quantity::parse("0.01").unwrap(), "ETH"));
            assert_eq!(trade.fee, Amount::of(Quantity::parse("0.00001").unwrap(), "ETH"));
        }
        let rebated = trades.iter().find(|trade| trade.provider_id.starts_with("BTC")).unwrap();
        assert_eq!(rebated.sent, Amount::of(Quantity::parse("69.993").unwrap(), "USDT"), "a rebate came in");
        assert_eq!(rebated.fee, None);

        world.clock.advance(SignedDuration::from_hours(1));
        fake.set_clock(NOW + 3_600_000);
        fake.settle("k");
        fake.trade("k", NOW + 1_000, "ETH-USDT", ("USDT", "-25", "0"), ("ETH", "0.01", "-0.00001"));
        fake.host.forget_requests();
        let (records, _) = world.walk(&Okx, &account, end).await.unwrap();
        let fresh: Vec<&Record> = records.iter().filter(|record| !ids.contains(&key(record))).collect();
        assert_eq!(fresh.len(), 2, "what was under way is seen when it is done, and what is new: {fresh:?}");
        assert_eq!(fake.host.requests().len(), 4, "one question a stage");
    }

    #[tokio::test]
    async fn what_comes_in_while_a_history_is_walked_shifts_nothing() {
        let (fake, world, account) = start().await;
        for number in 0..250 {
            fake.deposit("k", NOW - 5 * DAY + number, "USDT", "1", "2");
            fake.bill("k", NOW - 5 * DAY + number, "1", ("USDT", "100", "0"));
        }
        let (mut cursor, mut ids) = (None, HashSet::new());
        loop {
            let fetched = world.page(&Okx, &account, cursor.as_ref()).await.unwrap();
            ids.extend(fetched.records.into_iter().map(|record| (format!("{:?}", record.kind), record.provider_id)));
            let Next::More(next) = fetched.next else { break };
            cursor = Some(next);
            fake.deposit("k", NOW + 1, "USDT", "1", "2");
            fake.bill("k", NOW + 1, "1", ("USDT", "100", "0"));
        }
        let old = |kind: &str| ids.iter().filter(|(one, _)| one == kind).count();
        assert!(old("Deposit") == 250 && old("Ledger") >= 250, "{} {}", old("Deposit"), old("Ledger"));
    }

    #[tokio::test]
    async fn a_clock_that_is_off_heals() {
        let (fake, world, account) = start().await;
        fake.set_clock(NOW + 3_600_000);
        let outside = world.outside();
        crate::providers::check(&Okx, &account, &outside).await.unwrap();
        assert_eq!(outside.tempo(), Tempo { clock_offset_ms: 3_600_000, ..Tempo::default() });
    }

    #[tokio::test]
    async fn limits_are_kept() {
        let (fake, world, account) = start().await;
        fake.throttle(1);
        let trouble = world.page(&Okx, &account, None).await.unwrap_err();
        assert_eq!(trouble, Trouble::Wait { provider: NAME, for_: Duration::from_secs(2) });
        world.page(&Okx, &account, None).await.unwrap();
    }

    #[tokio::test]
    async fn troubles_are_told_apart() {
        let (fake, world, account) = start().await;
        fake.refuse_next(503, "50001");
        let trouble = world.page(&Okx, &account, None).await.unwrap_err();
        assert!(matches!(trouble, Trouble::ProviderDown(_)), "{trouble}");
        fake.refuse_next(401, "50101");
        let trouble = world.page(&Okx, &account, None).await.unwrap_err();
        assert!(trouble.is_final() && trouble.to_string().contains("demo"), "{trouble}");
        fake.refuse_next(200, "51000");
        let trouble = world.page(&Okx, &account, None).await.unwrap_err();
        assert!(matches!(trouble, Trouble::Unexpected(_)), "{trouble}");
        let blocked = fakes::Answer::status(451).body("<html>Unavailable</html>");
        fake.host.faults().next(1, fakes::Fault::Answer(blocked));
        let trouble = world.page(&Okx, &account, None).await.unwrap_err();
        assert!(matches!(trouble, Trouble::RegionBlocked(_)), "{trouble}");
        fake.revoke("k");
        assert!(world.page(&Okx, &account, None).await.unwrap_err().is_final());
    }
}
