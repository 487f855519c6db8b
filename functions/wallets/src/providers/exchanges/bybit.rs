//! Bybit's unified and funding accounts, asked with an API key (version 5).
//!
//! # How a history is walked
//! A walk goes through its stages, each in windows of time from the moment when the walk began back to where the last one
//! ended:
//! 1. *Deposits* from chains, *deposits from within* Bybit and *withdrawals* of both kinds, in windows of 30 days.
//! 2. *Conversions* of the funding account, newest first, by page number. Those of the unified account are in its log.
//! 3. The *log* of the unified account, in windows of a week, two years back: trades, funding, interest and the rest.
//!
//! A spot trade has two entries in the log, one for each coin. They share trade and order and are one record; see
//! [`legs`](super::legs). Within a window an answer's cursor leads on; the windows are fixed when the walk begins, so pages
//! do not shift. The next walk starts three days before that, because what was under way then may be done now.
//!
//! Each request carries the HMAC-SHA256, in hexadecimal, of time, key, window and query. Answers are 200 whatever happens;
//! troubles are in `retCode`. Limits are kept by the second and by path: an answer says how many questions are left
//! (`X-Bapi-Limit-Status`) and when there are more (`X-Bapi-Limit-Reset-Timestamp`), and that is waited for.
//!
//! Facts: bybit-exchange.github.io/docs/v5 ("Integration guidance", "Rate limit", "Error codes", "Get API key
//! information", "Transaction log", "Get deposit records", "Get internal deposit records", "Get withdrawal records", "Get
//! convert history").

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared::digest::hex;
use shared::egress::{Answer, Upstream};
use shared::http::FieldProblem;
use url::form_urlencoded::byte_serialize;

use super::legs::{Kept, Leg};
use super::pace::{pause_for, wait_if_paused};
use super::signing::{Hash, hmac};
use super::stages::{self, Stages};
use super::windows::{Windowed, Windows};
use crate::model::{Amount, Category, Quantity, Record, RecordKind};
use crate::providers::{Account, Checked, Cursor, Entry, Fetched, Field, Given, Outside, Source, Trouble};

const NAME: &str = "Bybit";
const DAY: i64 = 86_400_000;
/// The exchange opened in November 2018.
const OPENED: i64 = 1_541_030_400_000;
/// The log is told for two years; a day is left for clocks.
const LOG_DAYS: i64 = 729;
const OVERLAP: i64 = 3 * DAY;
/// So many rows an answer.
const LIMIT: usize = 50;
/// So many conversions an answer.
const CONVERSIONS: usize = 100;
/// So many windows a page.
const STEPS: usize = 5;
/// How long a request is valid, in milliseconds.
const VALID_FOR: &str = "10000";

/// Bybit in the catalogue.
pub static ENTRY: Entry = Entry {
    id: "bybit",
    public_name: NAME,
    category: Category::Exchange,
    logo_url: "https://assets.coingecko.com/markets/images/698/large/bybit_spot.png",
    sources: &[&Bybit],
    chains: &[],
    takes_csv: false,
    instructions: "On Bybit open Account, API, Create New Key, System-generated API Keys. Choose Read-Only and No IP \
        restriction, and tick everything under Unified Trading and Assets: with Read-Only the key can neither trade nor \
        withdraw. Copy the API key and the secret, which is shown once. Without addresses a key runs out after three \
        months. Bybit tells two years of trades.",
};

const FIELDS: &[Field] = &[
    Field::secret("apiKey", "API key", "Shown under API Management: 18 letters and digits."),
    Field::secret(
        "apiSecret",
        "API secret",
        "Shown once when the key is created, of the kind System-generated: 36 letters and digits.",
    ),
];

/// Bybit's accounts.
pub struct Bybit;

#[async_trait::async_trait]
impl Source for Bybit {
    fn name(&self) -> &'static str {
        "bybit"
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn accepted(&self) -> &'static str {
        "an API key of Bybit"
    }

    fn account(&self, given: &Given) -> Result<Account, Vec<FieldProblem>> {
        given.credentials(FIELDS)
    }

    async fn check(&self, account: &Account, outside: &Outside<'_>) -> Result<Checked, Trouble> {
        let key: KeyInfo = signed(account, outside, "/v5/user/query-api", "").await?;
        // Which of the boxes are ticked is best known by asking.
        for stage in [Stage::Deposits, Stage::Conversions, Stage::Log] {
            if stage != Stage::Log || key.is_unified() {
                let _: serde_json::Value = signed(account, outside, stage.path(), "limit=1").await?;
            }
        }
        let warnings = key.warnings(outside.now());
        Ok(Checked { account_id: Some(key.user_id.to_string()), warnings, is_contract: false })
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
            time: i64,
        }
        let answer = outside.send(NAME, outside.get(Upstream::Bybit, "/v5/market/time")).await?;
        let time: Time = answer.json().ok_or_else(|| Trouble::unreadable(NAME))?;
        Timestamp::from_millisecond(time.time).map_err(|_| Trouble::unreadable(NAME))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    Deposits,
    Internal,
    Withdrawals,
    Conversions,
    Log,
    Over,
}

impl Stage {
    fn path(self) -> &'static str {
        match self {
            Self::Deposits => "/v5/asset/deposit/query-record",
            Self::Internal => "/v5/asset/deposit/query-internal-record",
            Self::Withdrawals => "/v5/asset/withdraw/query-record",
            Self::Conversions => "/v5/asset/exchange/query-convert-history",
            Self::Log | Self::Over => "/v5/account/transaction-log",
        }
    }
}

impl Windowed for Stage {
    fn next(self) -> Self {
        match self {
            Self::Deposits => Self::Internal,
            Self::Internal => Self::Withdrawals,
            Self::Withdrawals => Self::Conversions,
            Self::Conversions => Self::Log,
            Self::Log | Self::Over => Self::Over,
        }
    }

    fn opened(self, end: i64) -> i64 {
        if self == Self::Log { end - LOG_DAYS * DAY } else { OPENED }
    }

    /// Conversions are not asked for by time.
    fn window(self) -> i64 {
        match self {
            Self::Log => 7 * DAY,
            Self::Conversions => i64::MAX / 2,
            _ => 30 * DAY,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Walk {
    #[serde(flatten)]
    windows: Windows<Stage>,
    /// Where the present window goes on, as the last answer said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    /// How many pages of conversions were read.
    #[serde(default)]
    pages: usize,
    /// Legs of events that may have more on the next page.
    #[serde(default, skip_serializing_if = "Kept::is_empty")]
    kept: Kept,
}

#[async_trait::async_trait]
impl Stages for Walk {
    const QUESTIONS: usize = STEPS;

    fn begin(until: Option<i64>, outside: &Outside<'_>) -> Self {
        let windows = Windows::begin(Stage::Deposits, until, OVERLAP, outside);
        Self { windows, at: None, pages: 0, kept: Kept::default() }
    }

    async fn step(&mut self, account: &Account, outside: &Outside<'_>) -> Result<Vec<Record>, Trouble> {
        match self.windows.stage {
            Stage::Deposits => {
                let rows: Vec<Deposit> = self.rows("", account, outside).await?;
                Ok(rows.into_iter().filter_map(Deposit::record).collect())
            }
            Stage::Internal => {
                let rows: Vec<InternalDeposit> = self.rows("", account, outside).await?;
                Ok(rows.into_iter().filter_map(InternalDeposit::record).collect())
            }
            Stage::Withdrawals => {
                let rows: Vec<Withdrawal> = self.rows("withdrawType=2&", account, outside).await?;
                Ok(rows.into_iter().filter_map(Withdrawal::record).collect())
            }
            Stage::Conversions => self.conversions(account, outside).await,
            Stage::Log => self.log(account, outside).await,
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
        self.at = None;
    }

    /// The next rows of the present window.
    async fn rows<T: DeserializeOwned>(
        &mut self,
        filter: &str,
        account: &Account,
        outside: &Outside<'_>,
    ) -> Result<Vec<T>, Trouble> {
        // What was handed out encoded is encoded once more: the server decodes once and compares.
        let at: String = self.at.iter().flat_map(|at| byte_serialize(at.as_bytes())).collect();
        let at = if at.is_empty() { at } else { format!("&cursor={at}") };
        let span = format!("startTime={}&endTime={}", self.windows.from(), self.windows.to);
        let query = format!("{filter}{span}&limit={LIMIT}{at}");
        let page: Page<T> = signed(account, outside, self.windows.stage.path(), &query).await?;
        let next = page.next_page_cursor.filter(|next| !next.is_empty() && self.at.as_ref() != Some(next));
        // Where there are rows there is a cursor, whether more follow or not.
        match next.filter(|_| !page.rows.is_empty()) {
            Some(next) => self.at = Some(next),
            None => self.next_window(),
        }
        Ok(page.rows)
    }

    async fn log(&mut self, account: &Account, outside: &Outside<'_>) -> Result<Vec<Record>, Trouble> {
        let rows: Vec<Logged> = match self.rows("accountType=UNIFIED&", account, outside).await {
            // An account of the old kind has no such log.
            Err(Trouble::Unexpected(message)) if message == NOT_UNIFIED => {
                self.windows.leave();
                Vec::new()
            }
            answered => answered?,
        };
        let legs = rows.into_iter().map(Logged::leg);
        self.kept.take_in(legs, self.windows.stage == Stage::Over).ok_or_else(|| Trouble::unreadable(NAME))
    }

    /// Pages are counted from the newest, so what comes in meanwhile is given again and nothing is lost.
    async fn conversions(&mut self, account: &Account, outside: &Outside<'_>) -> Result<Vec<Record>, Trouble> {
        const OF_THE_FUNDING_ACCOUNT: &str =
            "eb_convert_funding%2Cfunding%2Cfunding_fiat%2Cfunding_fbtc_convert%2Cfunding_block_trade";
        let query = format!("accountType={OF_THE_FUNDING_ACCOUNT}&index={}&limit={CONVERSIONS}", self.pages + 1);
        let page: Page<Conversion> = signed(account, outside, self.windows.stage.path(), &query).await?;
        self.pages += 1;
        let time = |row: &Conversion| row.created_at.parse::<i64>().ok();
        let (newest, oldest) = (page.rows.first().and_then(time), page.rows.last().and_then(time));
        // That they come newest first is not written anywhere; if they do not, all are read.
        let is_seen = newest >= oldest && oldest.is_some_and(|oldest| oldest < self.windows.start);
        if is_seen || page.rows.len() < CONVERSIONS {
            self.next_window();
        }
        Ok(page.rows.into_iter().filter_map(Conversion::record).collect())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<T> {
    #[serde(alias = "list", default = "Vec::new")]
    rows: Vec<T>,
    next_page_cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Deposit {
    #[serde(default)]
    id: String,
    coin: String,
    amount: String,
    #[serde(rename = "txID", default)]
    tx_id: String,
    status: i64,
    #[serde(default)]
    deposit_fee: String,
    success_at: String,
}

impl Deposit {
    /// 3 is done; 10012 is done by way of a pool.
    fn record(self) -> Option<Record> {
        if !matches!(self.status, 3 | 10_012) {
            return None;
        }
        let id = if self.id.is_empty() { format!("{}:{}", self.tx_id, self.coin) } else { self.id };
        let time = Timestamp::from_millisecond(self.success_at.parse().ok()?).ok()?;
        let mut record = Record::new(RecordKind::Deposit, id, time);
        record.fee = Quantity::parse(&self.deposit_fee).and_then(|fee| Amount::of(fee, self.coin.clone()));
        record.received = Amount::of(Quantity::parse(&self.amount)?, self.coin);
        record.tx_hash = (!self.tx_id.is_empty()).then_some(self.tx_id);
        Some(record)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InternalDeposit {
    id: String,
    coin: String,
    amount: String,
    status: i64,
    created_time: String,
}

impl InternalDeposit {
    /// 2 is done. Its numbers are not those of deposits from chains.
    fn record(self) -> Option<Record> {
        if self.status != 2 {
            return None;
        }
        // Seconds, by the documentation's example; milliseconds, by its words.
        let time: i64 = self.created_time.parse().ok()?;
        let time = if time < OPENED { Timestamp::from_second(time) } else { Timestamp::from_millisecond(time) };
        let mut record = Record::new(RecordKind::Deposit, format!("internal:{}", self.id), time.ok()?);
        record.received = Amount::of(Quantity::parse(&self.amount)?, self.coin);
        Some(record)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Withdrawal {
    withdraw_id: String,
    coin: String,
    amount: String,
    #[serde(rename = "txID", default)]
    tx_id: String,
    #[serde(default)]
    withdraw_fee: String,
    status: String,
    create_time: String,
}

impl Withdrawal {
    fn record(self) -> Option<Record> {
        if !matches!(self.status.as_str(), "success" | "BlockchainConfirmed") {
            return None;
        }
        let time = Timestamp::from_millisecond(self.create_time.parse().ok()?).ok()?;
        let mut record = Record::new(RecordKind::Withdrawal, self.withdraw_id, time);
        record.fee = Quantity::parse(&self.withdraw_fee).and_then(|fee| Amount::of(fee, self.coin.clone()));
        record.sent = Amount::of(Quantity::parse(&self.amount)?, self.coin);
        record.tx_hash = (!self.tx_id.is_empty()).then_some(self.tx_id);
        Some(record)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Conversion {
    exchange_tx_id: String,
    from_coin: String,
    from_amount: String,
    to_coin: String,
    to_amount: String,
    exchange_status: String,
    created_at: String,
}

impl Conversion {
    fn record(self) -> Option<Record> {
        if self.exchange_status != "success" {
            return None;
        }
        let time = Timestamp::from_millisecond(self.created_at.parse().ok()?).ok()?;
        let mut record = Record::new(RecordKind::Conversion, self.exchange_tx_id, time);
        record.sent = Amount::of(Quantity::parse(&self.from_amount)?, self.from_coin);
        record.received = Amount::of(Quantity::parse(&self.to_amount)?, self.to_coin);
        Some(record)
    }
}

/// An entry of the unified account's log.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Logged {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    transaction_time: String,
    currency: String,
    /// What came or went, without fees: the whole of a spot trade's coin, the profit or loss of a position that was closed.
    #[serde(default)]
    cash_flow: String,
    /// Above nothing if it was received.
    #[serde(default)]
    funding: String,
    /// Above nothing if it was paid, below if it is a rebate.
    #[serde(default)]
    fee: String,
    #[serde(default)]
    trade_id: String,
    #[serde(default)]
    order_id: String,
}

impl Logged {
    fn record_kind(&self) -> RecordKind {
        match self.kind.as_str() {
            "TRADE" | "LIQUIDATION" | "ADL" | "DELIVERY" => RecordKind::Trade,
            "CURRENCY_BUY" | "CURRENCY_SELL" | "SPOT_REPAYMENT_BUY" | "SPOT_REPAYMENT_SELL" => RecordKind::Conversion,
            "AIRDROP" | "BONUS" | "FEE_REFUND" => RecordKind::Reward,
            "INTEREST" => RecordKind::Fee,
            _ => RecordKind::Ledger,
        }
    }

    fn leg(self) -> Option<Leg> {
        let number = |text: &str| {
            let quantity = if text.is_empty() { Some(Quantity::zero()) } else { Quantity::parse(text) };
            quantity?.decimal()
        };
        let kind = self.record_kind();
        let is_shared = matches!(kind, RecordKind::Trade | RecordKind::Conversion) && !self.trade_id.is_empty();
        let reference = if is_shared { format!("{}:{}", self.trade_id, self.order_id) } else { self.id };
        let time = Timestamp::from_millisecond(self.transaction_time.parse().ok()?).ok()?;
        let fee = number(&self.fee)?;
        let change = number(&self.cash_flow)? + number(&self.funding)? - fee;
        Some(Leg::of_change((kind, reference), time, self.currency, change, fee))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyInfo {
    #[serde(rename = "userID")]
    user_id: u64,
    read_only: u8,
    #[serde(default)]
    permissions: Permissions,
    /// Of a key without addresses; otherwise long past.
    #[serde(default)]
    expired_at: String,
    #[serde(default)]
    uta: u8,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Permissions {
    contract_trade: Vec<String>,
    spot: Vec<String>,
    wallet: Vec<String>,
    options: Vec<String>,
    derivatives: Vec<String>,
    copy_trading: Vec<String>,
    block_trade: Vec<String>,
    exchange: Vec<String>,
}

impl KeyInfo {
    fn is_unified(&self) -> bool {
        self.uta == 1
    }

    fn warnings(&self, now: Timestamp) -> Vec<String> {
        let may = &self.permissions;
        let trading =
            [&may.contract_trade, &may.spot, &may.options, &may.derivatives, &may.copy_trading, &may.block_trade];
        let trades = trading.into_iter().chain([&may.exchange]).any(|boxes| !boxes.is_empty());
        let mut warnings = Vec::new();
        if self.read_only == 0 {
            let mut warn = |may: bool, what: &str| {
                if may {
                    warnings.push(format!("This key may {what}. Make one that is Read-Only."));
                }
            };
            warn(!may.wallet.is_empty(), "withdraw or transfer funds");
            warn(trades, "trade");
        }
        if let Some(end) = self.expired_at.parse::<Timestamp>().ok().filter(|end| *end > now) {
            warnings.push(format!("This key runs out on {}.", end.strftime("%Y-%m-%d")));
        }
        if !self.is_unified() {
            warnings.push(
                "This account is not a Unified Trading Account: its trades are not told. Upgrade it on Bybit."
                    .to_owned(),
            );
        }
        warnings
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    ret_code: i64,
}

#[derive(Deserialize)]
struct Envelope<T> {
    result: Option<T>,
}

/// Asks a question that needs a signature.
async fn signed<T: DeserializeOwned>(
    account: &Account,
    outside: &Outside<'_>,
    path: &str,
    query: &str,
) -> Result<T, Trouble> {
    wait_if_paused(NAME, outside)?;
    let timestamp = outside.provider_now().as_millisecond();
    let secret = |name| account.secret(name).cloned().unwrap_or_default();
    let separator = if query.is_empty() { "" } else { "?" };
    let request = outside
        .get(Upstream::Bybit, &format!("{path}{separator}{query}"))
        .secret_header("x-bapi-api-key", &secret("apiKey"))
        .header("x-bapi-timestamp", &timestamp.to_string())
        .header("x-bapi-recv-window", VALID_FOR)
        .header("x-bapi-sign", &sign(&secret("apiSecret"), &secret("apiKey"), timestamp, VALID_FOR, query));
    read(&outside.send(NAME, request).await?, outside)
}

/// The HMAC-SHA256 of time, key, window and query, in hexadecimal.
fn sign(secret: &SecretString, key: &SecretString, timestamp: i64, valid_for: &str, query: &str) -> String {
    let message = SecretString::from(format!("{timestamp}{}{valid_for}{query}", key.expose_secret()));
    hex(&hmac(Hash::Sha256, secret, message.expose_secret().as_bytes()))
}

const NOT_UNIFIED: &str = "This is not a Unified Trading Account.";

fn read<T: DeserializeOwned>(answer: &Answer, outside: &Outside<'_>) -> Result<T, Trouble> {
    let number = |name| answer.header(name).and_then(|text| text.parse::<i64>().ok());
    let ahead = number("x-bapi-limit-reset-timestamp")
        .map_or(1_000, |reset| reset.saturating_sub(outside.provider_now().as_millisecond()))
        .clamp(1, 60_000);
    if number("x-bapi-limit-status") == Some(0) {
        pause_for(ahead, outside);
    }
    match answer.json::<Status>() {
        Some(Status { ret_code: 0 }) => {
            answer.json::<Envelope<T>>().and_then(|envelope| envelope.result).ok_or_else(|| Trouble::unreadable(NAME))
        }
        Some(Status { ret_code }) => Err(trouble(ret_code, ahead, answer)),
        // Said of a key that it does not know, or of another of its sites, without a word besides.
        None if answer.status == 401 => Err(unknown_key()),
        None if answer.status == 403 && answer.text().contains("country") => Err(blocked()),
        // Too many questions from this address; the ban is for ten minutes.
        None if answer.status == 403 => Err(wait(Duration::from_secs(600))),
        None if answer.is_success() => Err(Trouble::unreadable(NAME)),
        None => Err(Trouble::of_answer(NAME, answer)),
    }
}

fn wait(for_: Duration) -> Trouble {
    Trouble::Wait { provider: NAME, for_ }
}

fn unknown_key() -> Trouble {
    Trouble::InvalidCredentials(
        "Bybit does not know this API key: it is mistyped or was deleted. Make a new one.".into(),
    )
}

fn blocked() -> Trouble {
    Trouble::RegionBlocked("Bybit does not serve the region that this server is in.".into())
}

fn trouble(code: i64, ahead: i64, answer: &Answer) -> Trouble {
    match code {
        10_002 => Trouble::ClockSkew(NAME),
        10_003 | 10_007 => unknown_key(),
        10_004 => Trouble::of_field("apiSecret", "The API secret does not belong to this API key. Copy both again."),
        10_005 => Trouble::InsufficientPermissions(
            "The API key may not read this history. Choose Read-Only and tick everything under Unified Trading and \
             Assets."
                .into(),
        ),
        33_004 => Trouble::Expired("The API key has run out. Make a new one on Bybit and give it here.".into()),
        10_008 => Trouble::InsufficientPermissions("Bybit has banned this account. Ask its support.".into()),
        10_010 => Trouble::IpNotAllowed(
            "The API key is restricted to other IP addresses. Choose No IP restriction, or make a new key.".into(),
        ),
        10_024 => blocked(),
        10_028 => Trouble::Unexpected(NOT_UNIFIED.into()),
        10_006 => wait(Duration::from_millis(u64::try_from(ahead).unwrap_or(1_000))),
        10_009 | 10_018 => wait(Duration::from_secs(600)),
        10_000 | 10_016 => Trouble::ProviderDown("Bybit has trouble of its own just now.".into()),
        _ if answer.is_success() => Trouble::Unexpected("Bybit refused the request in an unexpected way.".into()),
        _ => Trouble::of_answer(NAME, answer),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use fakes::exchanges::bybit::{Bybit as Fake, BybitKey};
    use jiff::SignedDuration;
    use serde_json::json;

    use super::*;
    use crate::model::Tempo;
    use crate::providers::Next;
    use crate::providers::testing::World;

    const NOW: i64 = 1_780_000_000_000;

    fn account(key: &str, secret: &str) -> Account {
        let credentials = json!({ "apiKey": key, "apiSecret": secret }).as_object().unwrap().clone();
        Bybit.account(&Given { credentials, ..Given::default() }).unwrap()
    }

    async fn start() -> (Fake, World, Account) {
        let fake = Fake::start().await.unwrap();
        fake.set_clock(NOW);
        fake.add_key(BybitKey::reading("k", "s"));
        let world = World::of(&[("BYBIT", fake.host.origin())]);
        (fake, world, account("k", "s"))
    }

    /// The text of the documentation; the signature was made with another tool.
    #[test]
    fn a_signature_comes_out_as_another_tool_makes_it() {
        let secret = SecretString::from("XXXXXXXXXX");
        assert_eq!(
            sign(&secret, &secret, 1_658_384_314_791, "5000", "category=option&symbol=BTC-29JUL22-25000-C"),
            "c00720f96c5934ca7057ac28ae65b823f83b8b67a8fe784e7795ca0fa3c148ec"
        );
    }

    #[tokio::test]
    async fn a_key_is_judged() {
        let (fake, world, good) = start().await;
        let checked = Bybit.check(&good, &world.outside()).await.unwrap();
        assert_eq!((checked.account_id.is_some(), checked.warnings.len()), (true, 0));
        fake.add_key(BybitKey { read_only: false, ..BybitKey::reading("rich", "s") });
        let checked = Bybit.check(&account("rich", "s"), &world.outside()).await.unwrap();
        assert_eq!(checked.warnings.len(), 2, "{:?}", checked.warnings);
        fake.add_key(BybitKey { expires: Some("2026-08-01T00:00:00Z"), ..BybitKey::reading("short", "s") });
        let checked = Bybit.check(&account("short", "s"), &world.outside()).await.unwrap();
        assert_eq!(checked.warnings, ["This key runs out on 2026-08-01."]);
        for wrong in [account("unknown", "s"), account("k", "wrong")] {
            let trouble = Bybit.check(&wrong, &world.outside()).await.unwrap_err();
            assert!(trouble.is_invalid(), "{trouble}");
        }
        fake.refuse_bare(true);
        for outcome in [
            Bybit.check(&account("unknown", "s"), &world.outside()).await.map(|_| ()),
            world.page(&Bybit, &account("unknown", "s"), None).await.map(|_| ()),
        ] {
            let trouble = outcome.unwrap_err();
            assert!(trouble.is_invalid(), "a bare 401 is about the key: {trouble}");
        }
        fake.add_key(BybitKey { may_read: false, ..BybitKey::reading("poor", "s") });
        let trouble = Bybit.check(&account("poor", "s"), &world.outside()).await.unwrap_err();
        assert!(matches!(trouble, Trouble::InsufficientPermissions(_)), "{trouble}");
        fake.add_key(BybitKey { ip_allowed: false, ..BybitKey::reading("elsewhere", "s") });
        let trouble = Bybit.check(&account("elsewhere", "s"), &world.outside()).await.unwrap_err();
        assert!(matches!(trouble, Trouble::IpNotAllowed(_)), "{trouble}");
    }

    #[tokio::test]
    async fn a_whole_history_is_found_and_then_only_what_is_new() {
        let (fake, world, account) = start().await;
        fake.deposit("k", NOW - 2_000 * DAY, "USDT", "1000", 3);
        fake.deposit("k", NOW - DAY, "BTC", "1", 2);
        fake.receive("k", NOW - 40 * DAY, "ETH", "0.1");
        fake.withdraw("k", NOW - 700 * DAY, "SOL", "3", "0.01");
        for number in 0..120 {
            fake.convert("k", NOW - 300 * DAY + number, ("BTC", "0.01"), ("ADA", "500"));
        }
        for number in 0..130 {
            fake.trade("k", NOW - 100 * DAY + number, ("USDT", "-25", "0"), ("ETH", "0.01", "0.00001"));
        }
        // A single entry before pairs: pages end between two legs.
        fake.enter("k", NOW - 100 * DAY + 130, "TRANSFER_IN", ("USDT", "100", "", ""));
        fake.enter("k", NOW - 50 * DAY, "SETTLEMENT", ("USDT", "", "-0.5", "0"));
        fake.enter("k", NOW - 49 * DAY, "BONUS", ("USDT", "5", "", "-0.25"));
        fake.trade("k", NOW - 800 * DAY, ("USDT", "-25", "0"), ("ETH", "0.01", "0.00001"));
        let (records, end) = world.walk(&Bybit, &account, None).await.unwrap();
        let of = |kind| records.iter().filter(|record| record.kind == kind).count();
        assert_eq!((of(RecordKind::Deposit), of(RecordKind::Withdrawal)), (2, 1), "what waits is not counted");
        assert_eq!((of(RecordKind::Conversion), of(RecordKind::Reward), of(RecordKind::Ledger)), (120, 1, 2));
        assert_eq!(of(RecordKind::Trade), 130, "what is older than two years is not told");
        let key = |record: &Record| format!("{:?} {}", record.kind, record.provider_id);
        let ids: HashSet<String> = records.iter().map(key).collect();
        assert_eq!(ids.len(), records.len());
        for record in records.iter().filter(|record| record.kind == RecordKind::Trade) {
            assert_eq!(record.sent, Amount::of(Quantity::parse("25").unwrap(), "USDT"));
            assert_eq!(record.received, Amount::of(Quantity::parse("0.01").unwrap(), "ETH"));
            assert_eq!(record.fee, Amount::of(Quantity::parse("0.00001").unwrap(), "ETH"));
        }
        let rebate = records.iter().find(|record| record.kind == RecordKind::Reward).unwrap();
        assert_eq!((&rebate.received, &rebate.fee), (&Amount::of(Quantity::parse("5.25").unwrap(), "USDT"), &None));
        let paid = records.iter().find(|record| record.kind == RecordKind::Ledger && record.sent.is_some()).unwrap();
        assert_eq!(paid.sent, Amount::of(Quantity::parse("0.5").unwrap(), "USDT"), "funding");

        world.clock.advance(SignedDuration::from_hours(1));
        fake.set_clock(NOW + 3_600_000);
        fake.settle("k");
        fake.trade("k", NOW + 1_000, ("USDT", "-25", "0"), ("ETH", "0.01", "0.00001"));
        fake.host.forget_requests();
        let (records, _) = world.walk(&Bybit, &account, end).await.unwrap();
        let fresh: Vec<&Record> = records.iter().filter(|record| !ids.contains(&key(record))).collect();
        assert_eq!(fresh.len(), 2, "what was under way is seen when it is done, and what is new: {fresh:?}");
        assert_eq!(fake.host.requests().len(), 7, "one question a stage, and one more where there were rows");
    }

    #[tokio::test]
    async fn what_comes_in_while_a_history_is_walked_shifts_nothing() {
        let (fake, world, account) = start().await;
        for number in 0..70 {
            fake.deposit("k", NOW - 5 * DAY + number, "USDT", "1", 3);
            fake.convert("k", NOW - 5 * DAY + number, ("BTC", "0.01"), ("ADA", "500"));
            fake.convert("k", NOW - 4 * DAY + number, ("BTC", "0.01"), ("ADA", "500"));
        }
        let (mut cursor, mut ids, mut deposited) = (None, HashSet::new(), 0);
        loop {
            let fetched = world.page(&Bybit, &account, cursor.as_ref()).await.unwrap();
            deposited += fetched.records.iter().filter(|record| record.kind == RecordKind::Deposit).count();
            ids.extend(fetched.records.into_iter().map(|record| (format!("{:?}", record.kind), record.provider_id)));
            let Next::More(next) = fetched.next else { break };
            cursor = Some(next);
            fake.deposit("k", NOW + 1, "USDT", "1", 3);
            fake.convert("k", NOW + 1, ("BTC", "0.01"), ("ADA", "500"));
        }
        assert_eq!(deposited, 70, "what comes in is left for the next walk");
        assert!(ids.len() >= 210, "{}", ids.len());
    }

    #[tokio::test]
    async fn an_account_of_the_old_kind_is_told_of() {
        let (fake, world, _) = start().await;
        fake.add_key(BybitKey { is_unified: false, ..BybitKey::reading("classic", "s") });
        let classic = account("classic", "s");
        let checked = Bybit.check(&classic, &world.outside()).await.unwrap();
        assert!(checked.warnings.iter().any(|warning| warning.contains("Upgrade")), "{:?}", checked.warnings);
        fake.deposit("classic", NOW - DAY, "USDT", "1000", 3);
        let (records, _) = world.walk(&Bybit, &classic, None).await.unwrap();
        assert_eq!(records.len(), 1);
    }

    #[tokio::test]
    async fn a_clock_that_is_off_heals() {
        let (fake, world, account) = start().await;
        fake.set_clock(NOW + 3_600_000);
        let outside = world.outside();
        crate::providers::check(&Bybit, &account, &outside).await.unwrap();
        assert_eq!(outside.tempo(), Tempo { clock_offset_ms: 3_600_000, ..Tempo::default() });
    }

    #[tokio::test]
    async fn limits_are_kept() {
        let (fake, world, account) = start().await;
        fake.throttle(1, 9.0);
        let trouble = world.page(&Bybit, &account, None).await.unwrap_err();
        assert_eq!(trouble, Trouble::Wait { provider: NAME, for_: Duration::from_secs(9) });
        fake.set_left(0);
        let outside = world.outside();
        // The first question is answered and says that there may be no more in this second.
        let trouble = Bybit.check(&account, &outside).await.unwrap_err();
        assert!(matches!(trouble, Trouble::Wait { for_, .. } if for_ <= Duration::from_secs(1)), "{trouble:?}");
        assert_eq!(fake.host.calls("/query-api"), 1);
        let banned = fakes::Answer::status(403).body("<html>access too frequent</html>");
        fake.host.faults().next(1, fakes::Fault::Answer(banned));
        let trouble = world.page(&Bybit, &account, None).await.unwrap_err();
        assert_eq!(trouble, Trouble::Wait { provider: NAME, for_: Duration::from_secs(600) });
    }

    #[tokio::test]
    async fn troubles_are_told_apart() {
        let (fake, world, account) = start().await;
        let blocked = "<html>The distribution is configured to block access from your country.</html>";
        fake.host.faults().next(1, fakes::Fault::Answer(fakes::Answer::status(403).body(blocked)));
        let trouble = world.page(&Bybit, &account, None).await.unwrap_err();
        assert!(matches!(trouble, Trouble::RegionBlocked(_)), "{trouble}");
        fake.refuse_next(10_016);
        let trouble = world.page(&Bybit, &account, None).await.unwrap_err();
        assert!(matches!(trouble, Trouble::ProviderDown(_)), "{trouble}");
        fake.refuse_next(33_004);
        let trouble = world.page(&Bybit, &account, None).await.unwrap_err();
        assert!(matches!(trouble, Trouble::Expired(_)), "{trouble}");
        fake.refuse_next(10_001);
        let trouble = world.page(&Bybit, &account, None).await.unwrap_err();
        assert!(matches!(trouble, Trouble::Unexpected(_)), "{trouble}");
        fake.revoke("k");
        assert!(world.page(&Bybit, &account, None).await.unwrap_err().is_final());
    }
}
