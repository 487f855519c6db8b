//! KuCoin's spot, main and margin accounts, asked with an API key.
//!
//! # How a history is walked
//! A walk goes through its stages, each from the moment when the walk began back to where the last one ended:
//! 1. *Deposits* and *withdrawals*, in windows of 30 days, from 18 February 2019: what is older is not told.
//! 2. The *ledger* of the main, the margin and the old trading account, in windows of a day, a year back at most.
//!    Deposits and withdrawals are left out there.
//! 3. *Recent trades*: the ledger of the present trading account, of which only the last three days are told. Whoever
//!    wants older trades imports them from a file.
//!
//! A trade has two entries in a ledger, one for each asset. They share symbol, order and trade, and are one record; see
//! [`legs`](super::legs). The end of a walk is fixed when it begins, so pages do not shift. The next walk starts three
//! days before that end, because what was under way then may be done now.
//!
//! Each request carries the HMAC-SHA256 of time, method and path with query, in base64, and the HMAC of the passphrase. A
//! time more than five seconds off is refused. Answers say how much of the budget of 30 seconds is left
//! (`gw-ratelimit-remaining`) and when it is renewed (`gw-ratelimit-reset`); when it gets short, that is waited for.
//!
//! Facts: kucoin.com/docs-new ("Authentication", "Get Apikey Info", "Get Account Ledgers", "Get Account Ledgers -
//! Trade_hf", "Get Deposit History", "Get Withdrawal History", "Rate limit", "Error code").

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::egress::{Answer, Upstream};
use shared::http::FieldProblem;

use super::legs::{Kept, Leg};
use super::pace::{pause_for, wait_if_paused};
use super::signing::{Hash, base64, hmac};
use super::stages::{self, Stages};
use super::windows::{Windowed, Windows};
use crate::model::{Amount, Category, Quantity, Record, RecordKind};
use crate::providers::{Account, Checked, Cursor, Entry, Fetched, Field, Given, Outside, Source, Trouble};

const NAME: &str = "KuCoin";
const DAY: i64 = 86_400_000;
/// What came before 2019-02-18 is not told by this version of the API.
const OPENED: i64 = 1_550_448_000_000;
/// A ledger is told for a year; a day is left for clocks.
const LEDGER_DAYS: i64 = 364;
/// The present trading account's ledger is told for three days.
const RECENT_DAYS: i64 = 3;
const OVERLAP: i64 = 3 * DAY;
/// So many rows an answer.
const LIMIT: usize = 500;
/// So many rows an answer of the present trading account's ledger.
const RECENT_LIMIT: usize = 200;
/// So many windows a page.
const STEPS: usize = 5;
/// Of a budget of 2,000 in 30 seconds, this much is left to others that use the key.
const RESERVE: u32 = 100;

/// KuCoin in the catalogue.
pub static ENTRY: Entry = Entry {
    id: "kucoin",
    public_name: NAME,
    category: Category::Exchange,
    logo_url: "https://assets.coingecko.com/markets/images/61/large/kucoin.png",
    sources: &[&Kucoin],
    chains: &[],
    takes_csv: true,
    instructions: "On KuCoin open Account, API Management, Create API, API trading. Choose a passphrase, leave only General \
        ticked (neither Spot, Margin or Futures Trading nor Transfers nor Withdrawals), and choose No under IP restriction. \
        Copy the key and the secret, which is shown once. KuCoin tells trades of the last three days only: import older \
        ones from a file.",
};

const FIELDS: &[Field] = &[
    Field::secret("apiKey", "API key", "Shown under API Management: 24 letters and digits."),
    Field::secret("apiSecret", "API secret", "Shown once when the key is created: 36 characters with dashes."),
    Field::secret(
        "passphrase",
        "API passphrase",
        "The one that you chose when you created the key, not your password.",
    ),
];

/// KuCoin's accounts.
pub struct Kucoin;

#[async_trait::async_trait]
impl Source for Kucoin {
    fn name(&self) -> &'static str {
        "kucoin"
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn accepted(&self) -> &'static str {
        "an API key of KuCoin"
    }

    fn account(&self, given: &Given) -> Result<Account, Vec<FieldProblem>> {
        given.credentials(FIELDS)
    }

    async fn check(&self, account: &Account, outside: &Outside<'_>) -> Result<Checked, Trouble> {
        let key: KeyInfo = signed(account, outside, "/api/v1/user/api-key", "").await?;
        if !key.may(&["general"]) {
            return Err(Trouble::InsufficientPermissions("The API key may not read. Tick General.".into()));
        }
        let warnings = key.warnings();
        Ok(Checked { account_id: key.uid.map(|uid| uid.to_string()), warnings, is_contract: false })
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
        let answer = outside.send(NAME, outside.get(Upstream::Kucoin, "/api/v1/timestamp")).await?;
        let time: i64 = read(&answer, outside)?;
        Timestamp::from_millisecond(time).map_err(|_| Trouble::unreadable(NAME))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    Deposits,
    Withdrawals,
    Ledger,
    Recent,
    Over,
}

impl Windowed for Stage {
    fn next(self) -> Self {
        match self {
            Self::Deposits => Self::Withdrawals,
            Self::Withdrawals => Self::Ledger,
            Self::Ledger => Self::Recent,
            Self::Recent | Self::Over => Self::Over,
        }
    }

    fn opened(self, end: i64) -> i64 {
        match self {
            Self::Ledger => end - LEDGER_DAYS * DAY,
            Self::Recent => end - RECENT_DAYS * DAY,
            _ => OPENED,
        }
    }

    fn window(self) -> i64 {
        match self {
            Self::Ledger => DAY,
            Self::Recent => RECENT_DAYS * DAY,
            _ => 30 * DAY,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Walk {
    #[serde(flatten)]
    windows: Windows<Stage>,
    /// The next page of the present window.
    page: usize,
    /// The last entry that was read of the present trading account's ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<String>,
    /// Legs of events that may have more on the next page.
    #[serde(default, skip_serializing_if = "Kept::is_empty")]
    kept: Kept,
}

#[async_trait::async_trait]
impl Stages for Walk {
    const QUESTIONS: usize = STEPS;

    fn begin(until: Option<i64>, outside: &Outside<'_>) -> Self {
        let windows = Windows::begin(Stage::Deposits, until, OVERLAP, outside);
        Self { windows, page: 1, last: None, kept: Kept::default() }
    }

    async fn step(&mut self, account: &Account, outside: &Outside<'_>) -> Result<Vec<Record>, Trouble> {
        let span = format!("startAt={}&endAt={}", self.windows.from(), self.windows.to);
        let paged = format!("{span}&currentPage={}&pageSize={LIMIT}", self.page);
        match self.windows.stage {
            Stage::Deposits => {
                let rows: Page<Deposit> = signed(account, outside, "/api/v1/deposits", &paged).await?;
                self.took(rows.total_page);
                Ok(rows.items.into_iter().filter_map(Deposit::record).collect())
            }
            Stage::Withdrawals => {
                let rows: Page<Withdrawal> = signed(account, outside, "/api/v1/withdrawals", &paged).await?;
                self.took(rows.total_page);
                Ok(rows.items.into_iter().filter_map(Withdrawal::record).collect())
            }
            Stage::Ledger => {
                let rows: Page<LedgerEntry> = signed(account, outside, "/api/v1/accounts/ledgers", &paged).await?;
                let is_last = self.windows.is_last() && self.page >= rows.total_page;
                self.took(rows.total_page);
                self.events(rows.items, is_last)
            }
            Stage::Recent => {
                let after = self.last.as_ref().map(|last| format!("&lastId={last}")).unwrap_or_default();
                let query = format!("{span}&limit={RECENT_LIMIT}{after}");
                let rows: Vec<LedgerEntry> = signed(account, outside, "/api/v1/hf/accounts/ledgers", &query).await?;
                let is_last = rows.len() < RECENT_LIMIT;
                self.last = rows.last().map(|row| row.id.clone());
                if is_last {
                    self.next_window();
                }
                self.events(rows, is_last)
            }
            Stage::Over => Ok(Vec::new()),
        }
    }

    fn done(&self) -> Option<i64> {
        (self.windows.stage == Stage::Over).then_some(self.windows.end)
    }
}

impl Walk {
    /// Goes on to the window before the present one, or to the next stage.
    fn next_window(&mut self) {
        self.windows.advance();
        (self.page, self.last) = (1, None);
    }

    /// Goes on after a page of so many.
    fn took(&mut self, pages: usize) {
        if self.page < pages {
            self.page += 1;
        } else {
            self.next_window();
        }
    }

    fn events(&mut self, rows: Vec<LedgerEntry>, is_last: bool) -> Result<Vec<Record>, Trouble> {
        let legs = rows.into_iter().filter(|row| !row.is_told_elsewhere()).map(LedgerEntry::leg);
        self.kept.take_in(legs, is_last).ok_or_else(|| Trouble::unreadable(NAME))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<T> {
    #[serde(default)]
    total_page: usize,
    items: Vec<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Deposit {
    currency: String,
    amount: String,
    #[serde(default)]
    fee: String,
    status: String,
    #[serde(default)]
    is_inner: bool,
    wallet_tx_id: Option<String>,
    created_at: i64,
}

impl Deposit {
    /// Deposits have no id of their own, and one transaction may make several.
    fn record(self) -> Option<Record> {
        if self.status != "SUCCESS" {
            return None;
        }
        let transaction = self.wallet_tx_id.unwrap_or_default();
        let id = format!("{}:{}:{transaction}", self.created_at, self.currency);
        let mut record = Record::new(RecordKind::Deposit, id, Timestamp::from_millisecond(self.created_at).ok()?);
        record.fee = Quantity::parse(&self.fee).and_then(|fee| Amount::of(fee, self.currency.clone()));
        record.received = Amount::of(Quantity::parse(&self.amount)?, self.currency);
        record.tx_hash = hash(&transaction, self.is_inner);
        Some(record)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Withdrawal {
    id: String,
    currency: String,
    amount: String,
    #[serde(default)]
    fee: String,
    status: String,
    #[serde(default)]
    is_inner: bool,
    wallet_tx_id: Option<String>,
    created_at: i64,
}

impl Withdrawal {
    fn record(self) -> Option<Record> {
        if self.status != "SUCCESS" {
            return None;
        }
        let time = Timestamp::from_millisecond(self.created_at).ok()?;
        let mut record = Record::new(RecordKind::Withdrawal, self.id, time);
        record.fee = Quantity::parse(&self.fee).and_then(|fee| Amount::of(fee, self.currency.clone()));
        record.sent = Amount::of(Quantity::parse(&self.amount)?, self.currency);
        record.tx_hash = hash(&self.wallet_tx_id.unwrap_or_default(), self.is_inner);
        Some(record)
    }
}

/// The transaction on its chain, which may have an output's number after it; none for what stays within KuCoin.
fn hash(transaction: &str, is_inner: bool) -> Option<String> {
    let hash = transaction.split('@').next().unwrap_or_default();
    (!is_inner && !hash.is_empty()).then(|| hash.to_owned())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LedgerEntry {
    /// Text in one ledger, and in the other too, though it looks like a number.
    #[serde(deserialize_with = "text")]
    id: String,
    currency: String,
    amount: String,
    #[serde(default)]
    fee: String,
    biz_type: String,
    direction: String,
    #[serde(deserialize_with = "text")]
    created_at: String,
    /// JSON, as text.
    context: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Context {
    symbol: Option<String>,
    order_id: Option<String>,
    trade_id: Option<String>,
}

impl LedgerEntry {
    /// What kind of thing it is, in one spelling: KuCoin writes `TRADE_EXCHANGE` and `Sub-account transfer`.
    fn business(&self) -> String {
        self.biz_type.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    }

    fn is_told_elsewhere(&self) -> bool {
        matches!(self.business().as_str(), "deposit" | "withdraw" | "withdrawal")
    }

    fn record_kind(&self) -> RecordKind {
        let business = self.business();
        let is = |parts: &[&str]| parts.iter().any(|part| business.contains(part));
        if is(&["exchange"]) {
            RecordKind::Trade
        } else if is(&["convert"]) {
            RecordKind::Conversion
        } else if is(&["fee"]) && self.direction == "out" {
            RecordKind::Fee
        } else if is(&["bonus", "reward", "airdrop", "profit", "rebate", "distribution", "fee"]) {
            RecordKind::Reward
        } else {
            RecordKind::Ledger
        }
    }

    fn leg(self) -> Option<Leg> {
        let kind = self.record_kind();
        let context: Context =
            self.context.as_deref().and_then(|context| serde_json::from_str(context).ok()).unwrap_or_default();
        let reference = match (context.symbol, context.order_id, context.trade_id) {
            (Some(symbol), Some(order), Some(trade)) => format!("{symbol}:{order}:{trade}"),
            _ => self.id,
        };
        // What is told is the change, of which the fee is a part.
        let fee = if self.fee.is_empty() { Quantity::zero() } else { Quantity::parse(&self.fee)? };
        let size = Quantity::parse(&self.amount)?.abs().decimal()?;
        let change = if self.direction == "out" { -size } else { size };
        let time = Timestamp::from_millisecond(self.created_at.parse().ok()?).ok()?;
        Some(Leg::of_change((kind, reference), time, self.currency, change, fee.decimal()?))
    }
}

/// Reads text or a number as text.
fn text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        other => other.to_string(),
    })
}

#[derive(Deserialize)]
struct KeyInfo {
    uid: Option<u64>,
    /// Such as `General,Spot`.
    #[serde(default)]
    permission: String,
}

impl KeyInfo {
    fn may(&self, parts: &[&str]) -> bool {
        let permission = self.permission.to_ascii_lowercase();
        parts.iter().any(|part| permission.contains(part))
    }

    fn warnings(&self) -> Vec<String> {
        let moves = self.may(&["transfer", "withdraw"]);
        let trades = self.may(&["spot", "margin", "futures", "trade", "earn"]);
        let warn = |may: bool, what: &str| may.then(|| format!("This key may {what}. Leave only General ticked."));
        warn(moves, "withdraw or transfer funds").into_iter().chain(warn(trades, "trade")).collect()
    }
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: Option<T>,
}

/// Asks a question that needs a signature.
async fn signed<T: DeserializeOwned>(
    account: &Account,
    outside: &Outside<'_>,
    path: &str,
    query: &str,
) -> Result<T, Trouble> {
    wait_if_paused(NAME, outside)?;
    let separator = if query.is_empty() { "" } else { "?" };
    let path = format!("{path}{separator}{query}");
    let timestamp = outside.provider_now().as_millisecond();
    let secret = |name| account.secret(name).cloned().unwrap_or_default();
    let request = outside
        .get(Upstream::Kucoin, &path)
        .secret_header("kc-api-key", &secret("apiKey"))
        .header("kc-api-sign", &sign(&secret("apiSecret"), &format!("{timestamp}GET{path}")))
        .header("kc-api-timestamp", &timestamp.to_string())
        .header("kc-api-passphrase", &sign(&secret("apiSecret"), secret("passphrase").expose_secret()))
        .header("kc-api-key-version", "2");
    read(&outside.send(NAME, request).await?, outside)
}

/// The HMAC-SHA256 of a message, in base64.
fn sign(secret: &SecretString, message: &str) -> String {
    base64(&hmac(Hash::Sha256, secret, message.as_bytes()))
}

fn read<T: DeserializeOwned>(answer: &Answer, outside: &Outside<'_>) -> Result<T, Trouble> {
    #[derive(Deserialize)]
    struct Code {
        code: String,
    }
    let remaining = answer.header("gw-ratelimit-remaining").and_then(|left| left.parse::<u32>().ok());
    let reset = answer.header("gw-ratelimit-reset").and_then(|reset| reset.parse::<u32>().ok());
    if let Some(reset) = reset.filter(|_| remaining.is_some_and(|left| left < RESERVE)) {
        pause_for(i64::from(reset), outside);
    }
    match answer.json::<Code>() {
        Some(Code { code }) if code == "200000" => {
            answer.json::<Envelope<T>>().and_then(|envelope| envelope.data).ok_or_else(|| Trouble::unreadable(NAME))
        }
        Some(Code { code }) => Err(trouble(&code, reset, answer)),
        None if answer.is_success() => Err(Trouble::unreadable(NAME)),
        None => Err(Trouble::of_answer(NAME, answer)),
    }
}

fn trouble(code: &str, reset: Option<u32>, answer: &Answer) -> Trouble {
    match code {
        "400002" => Trouble::ClockSkew(NAME),
        "400003" => Trouble::InvalidCredentials(
            "KuCoin does not know this API key: it is mistyped, was deleted or has run out. Make a new one.".into(),
        ),
        "400004" => Trouble::of_field(
            "passphrase",
            "The API passphrase is wrong. It is the one that was chosen when the key was created.",
        ),
        "400005" => Trouble::of_field("apiSecret", "The API secret does not belong to this API key. Copy both again."),
        "400006" => Trouble::IpNotAllowed(
            "The API key is restricted to other IP addresses. Choose No under IP restriction, or make a new key."
                .into(),
        ),
        "400007" | "400010" => {
            Trouble::InsufficientPermissions("The API key may not read this history. Tick General.".into())
        }
        "400008" | "400009" => {
            Trouble::InvalidCredentials("KuCoin takes keys of this age no more. Make a new one.".into())
        }
        "411100" => Trouble::InsufficientPermissions("KuCoin has frozen this account. Ask its support.".into()),
        "400301" | "400302" => {
            Trouble::RegionBlocked("KuCoin does not serve the region that this server is in.".into())
        }
        "429000" | "200002" | "1015" => Trouble::Wait {
            provider: NAME,
            for_: reset.map_or(Duration::from_secs(10), |reset| Duration::from_millis(reset.into())),
        },
        "500000" => Trouble::ProviderDown("KuCoin has trouble of its own just now.".into()),
        _ if answer.is_success() => Trouble::Unexpected("KuCoin refused the request in an unexpected way.".into()),
        _ => Trouble::of_answer(NAME, answer),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use fakes::exchanges::kucoin::{Kucoin as Fake, KucoinKey};
    use jiff::SignedDuration;
    use serde_json::json;

    use super::*;
    use crate::model::Tempo;
    use crate::providers::Next;
    use crate::providers::testing::World;

    const NOW: i64 = 1_780_000_000_000;

    fn account(key: &str, secret: &str, passphrase: &str) -> Account {
        let credentials = json!({ "apiKey": key, "apiSecret": secret, "passphrase": passphrase });
        Kucoin.account(&Given { credentials: credentials.as_object().unwrap().clone(), ..Given::default() }).unwrap()
    }

    async fn start() -> (Fake, World, Account) {
        let fake = Fake::start().await.unwrap();
        fake.set_clock(NOW);
        fake.add_key(KucoinKey::reading("k", "s", "p"));
        let world = World::of(&[("KUCOIN", fake.host.origin())]);
        (fake, world, account("k", "s", "p"))
    }

    /// The question of the documentation's own text; the signature was made with another tool.
    #[test]
    fn a_signature_comes_out_as_another_tool_makes_it() {
        let secret = SecretString::from("secret");
        let message = "1547015186532GET/api/v1/deposit-addresses?currency=BTC";
        assert_eq!(sign(&secret, message), "KdJKBgwzKz0giF6W7EkyFrm31nAzOmAaX0jqtkgo3Wc=");
        assert_eq!(sign(&secret, "passphrase"), "sWd5rQWAxDzYJTY6K2sov6seA0l3uNP70anWxITg8IA=");
    }

    #[tokio::test]
    async fn a_key_is_judged() {
        let (fake, world, good) = start().await;
        let checked = Kucoin.check(&good, &world.outside()).await.unwrap();
        assert_eq!((checked.account_id.is_some(), checked.warnings.len()), (true, 0));
        fake.add_key(KucoinKey { permission: "General,Spot,InnerTransfer", ..KucoinKey::reading("rich", "s", "p") });
        let checked = Kucoin.check(&account("rich", "s", "p"), &world.outside()).await.unwrap();
        assert_eq!(checked.warnings.len(), 2, "{:?}", checked.warnings);
        for wrong in [account("unknown", "s", "p"), account("k", "wrong", "p"), account("k", "s", "wrong")] {
            let trouble = Kucoin.check(&wrong, &world.outside()).await.unwrap_err();
            assert!(trouble.is_invalid(), "{trouble}");
        }
        fake.add_key(KucoinKey { permission: "Earn", ..KucoinKey::reading("poor", "s", "p") });
        let trouble = Kucoin.check(&account("poor", "s", "p"), &world.outside()).await.unwrap_err();
        assert!(matches!(trouble, Trouble::InsufficientPermissions(_)), "{trouble}");
        fake.add_key(KucoinKey { ip_allowed: false, ..KucoinKey::reading("elsewhere", "s", "p") });
        let trouble = Kucoin.check(&account("elsewhere", "s", "p"), &world.outside()).await.unwrap_err();
        assert!(matches!(trouble, Trouble::IpNotAllowed(_)), "{trouble}");
    }

    #[tokio::test]
    async fn a_whole_history_is_found_and_then_only_what_is_new() {
        let (fake, world, account) = start().await;
        fake.deposit("k", NOW - 2_000 * DAY, "USDT", "1000", "SUCCESS");
        fake.deposit("k", NOW - DAY, "BTC", "1", "PROCESSING");
        fake.withdraw("k", NOW - 700 * DAY, "SOL", "3", "0.01");
        fake.reward("k", NOW - 300 * DAY, "KCS", "0.5");
        for number in 0..620 {
            fake.old_trade("k", NOW - 200 * DAY + number, "BTC-USDT", ("USDT", "20", "0.02"), ("BTC", "0.001"));
        }
        // A single entry before pairs: pages end between two legs.
        fake.reward("k", NOW - 200 * DAY + 620, "KCS", "0.5");
        for number in 0..330 {
            fake.trade("k", NOW - 2 * DAY + number, "ETH-USDT", ("ETH", "0.01", "0"), ("USDT", "25"));
        }
        fake.transfer("k", NOW - 2 * DAY + 330, "USDT", "25");
        fake.trade("k", NOW - 10 * DAY, "ETH-USDT", ("ETH", "0.01", "0"), ("USDT", "25"));
        let (records, end) = world.walk(&Kucoin, &account, None).await.unwrap();
        let of = |kind| records.iter().filter(|record| record.kind == kind).count();
        assert_eq!((of(RecordKind::Deposit), of(RecordKind::Withdrawal)), (1, 1), "what waits is not counted");
        assert_eq!((of(RecordKind::Reward), of(RecordKind::Ledger)), (2, 1));
        assert_eq!(of(RecordKind::Trade), 950, "what is older than three days is not told");
        let ids: HashSet<&str> = records.iter().map(|record| record.provider_id.as_str()).collect();
        assert_eq!(ids.len(), records.len());
        for record in records.iter().filter(|record| record.kind == RecordKind::Trade) {
            assert!(record.sent.is_some() && record.received.is_some(), "half a trade: {record:?}");
        }
        let bought = records.iter().find(|record| record.provider_id.starts_with("BTC-USDT")).unwrap();
        assert_eq!(bought.sent, Amount::of(Quantity::parse("20").unwrap(), "USDT"));
        assert_eq!(bought.fee, Amount::of(Quantity::parse("0.02").unwrap(), "USDT"));
        assert_eq!(bought.received, Amount::of(Quantity::parse("0.001").unwrap(), "BTC"));

        world.clock.advance(SignedDuration::from_hours(1));
        fake.set_clock(NOW + 3_600_000);
        fake.settle("k");
        fake.trade("k", NOW + 1_000, "ETH-USDT", ("ETH", "0.01", "0"), ("USDT", "25"));
        fake.host.forget_requests();
        let (records, _) = world.walk(&Kucoin, &account, end).await.unwrap();
        let fresh: Vec<&Record> = records.iter().filter(|one| !ids.contains(one.provider_id.as_str())).collect();
        assert_eq!(fresh.len(), 2, "what was under way is seen when it is done, and what is new: {fresh:?}");
        assert_eq!((fake.host.calls("/deposits"), fake.host.calls("/api/v1/accounts/ledgers")), (1, 4));
    }

    #[tokio::test]
    async fn what_comes_in_while_a_history_is_walked_shifts_nothing() {
        let (fake, world, account) = start().await;
        for number in 0..700 {
            fake.deposit("k", NOW - 5 * DAY + number, "USDT", "1", "SUCCESS");
        }
        let first = world.page(&Kucoin, &account, None).await.unwrap();
        let Next::More(next) = first.next else { panic!("there is more") };
        fake.deposit("k", NOW, "USDT", "1", "SUCCESS");
        fake.deposit("k", NOW + 1, "USDT", "1", "SUCCESS");
        let (rest, _) = world.walk(&Kucoin, &account, Some(next)).await.unwrap();
        let ids: HashSet<&str> = first.records.iter().chain(&rest).map(|record| record.provider_id.as_str()).collect();
        assert!(ids.len() >= 700, "{}", ids.len());
        assert_eq!(first.records.len(), 500);
    }

    #[tokio::test]
    async fn a_clock_that_is_off_heals() {
        let (fake, world, account) = start().await;
        fake.set_clock(NOW + 3_600_000);
        let outside = world.outside();
        crate::providers::check(&Kucoin, &account, &outside).await.unwrap();
        assert_eq!(outside.tempo(), Tempo { clock_offset_ms: 3_600_000, ..Tempo::default() });
    }

    #[tokio::test]
    async fn limits_are_kept() {
        let (fake, world, account) = start().await;
        fake.throttle(1, 9.0);
        let trouble = world.page(&Kucoin, &account, None).await.unwrap_err();
        assert_eq!(trouble, Trouble::Wait { provider: NAME, for_: Duration::from_secs(9) });
        fake.set_remaining(50);
        let outside = world.outside();
        // The first question is answered and says that the budget is short.
        Kucoin.check(&account, &outside).await.unwrap();
        let trouble = Kucoin.check(&account, &outside).await.unwrap_err();
        assert!(matches!(trouble, Trouble::Wait { for_, .. } if for_ <= Duration::from_secs(30)), "{trouble:?}");
        assert_eq!(fake.host.calls("/user/api-key"), 1);
    }

    #[tokio::test]
    async fn troubles_are_told_apart() {
        let (fake, world, account) = start().await;
        fake.refuse_next(403, "400302");
        let trouble = world.page(&Kucoin, &account, None).await.unwrap_err();
        assert!(matches!(trouble, Trouble::RegionBlocked(_)), "{trouble}");
        fake.refuse_next(500, "500000");
        let trouble = world.page(&Kucoin, &account, None).await.unwrap_err();
        assert!(matches!(trouble, Trouble::ProviderDown(_)), "{trouble}");
        fake.refuse_next(200, "400100");
        let trouble = world.page(&Kucoin, &account, None).await.unwrap_err();
        assert!(matches!(trouble, Trouble::Unexpected(_)), "{trouble}");
        fake.revoke("k");
        assert!(world.page(&Kucoin, &account, None).await.unwrap_err().is_final());
    }
}
