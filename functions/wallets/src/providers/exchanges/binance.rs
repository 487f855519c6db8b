//! Binance's spot account, asked with an API key.
//!
//! # How a history is walked
//! There is no list of everything. A walk goes through four stages:
//! 1. *Deposits*, *withdrawals* and *conversions*, each in windows of time (90 or 30 days at most), from 2017 to the
//!    moment when the walk began.
//! 2. *Trades*, which are given for one pair at a time. Which pairs to ask for is found out: every pair on the exchange
//!    that can be made of the coins the account holds, those seen so far, and the usual quote coins. A pair with trades
//!    adds its coins, and so on until no pair is left. A coin that was bought with another, sold wholly, and never came in
//!    or went out may stay unseen, so the owner can name pairs (`pairs`).
//!
//! The next walk takes the windows up three days before the last one ended (what was under way then may be done now) and
//! each pair after its last trade.
//!
//! Weights: answers say how much of the minute's budget is used (`X-MBX-USED-WEIGHT-1M`), and the rest of the minute is
//! waited for when it gets short. Asking for withdrawals costs a tenth of an account's own budget, so it is done once in
//! seven seconds.
//!
//! Facts: developers.binance.com (Spot: "Request security", "LIMITS", "Account trade list"; Wallet: "Deposit history",
//! "Withdraw history", "API key permission"; Convert: "Get convert trade history").

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared::digest::hex;
use shared::egress::{Answer, Upstream};
use shared::http::FieldProblem;

use super::pace::{pause_for, wait_if_paused, wait_until};
use super::signing::{Hash, hmac};
use crate::model::{Amount, Category, Quantity, Record, RecordKind};
use crate::providers::{Account, Checked, Cursor, Entry, Fetched, Field, Given, Next, Outside, Source, Trouble};

const NAME: &str = "Binance";
const DAY: i64 = 86_400_000;
/// The exchange opened on 2017-07-14.
const OPENED: i64 = 1_499_990_400_000;
/// Conversions came later, at the end of 2019.
const CONVERSIONS_OPENED: i64 = 1_575_158_400_000;
const OVERLAP: i64 = 3 * DAY;
/// So many rows an answer.
const LIMIT: usize = 1_000;
/// So many windows, or pairs, a page.
const STEPS: usize = 5;
/// An account's own budget allows ten questions for withdrawals a minute.
const BETWEEN_WITHDRAWALS: i64 = 7_000;
/// And sixty for conversions: 3,000 each of the 180,000 that it is given.
const BETWEEN_CONVERSIONS: i64 = 1_000;
/// Of a budget of 6,000 a minute, which everything that leaves this server's address shares.
const WEIGHT_LIMIT: u32 = 4_500;
/// Coins that others are traded against.
const QUOTES: &[&str] =
    &["USDT", "USDC", "FDUSD", "BUSD", "TUSD", "BTC", "ETH", "BNB", "EUR", "TRY", "BRL", "GBP", "JPY"];

/// Binance in the catalogue.
pub static ENTRY: Entry = Entry {
    id: "binance",
    public_name: NAME,
    category: Category::Exchange,
    logo_url: "https://cdn.jsdelivr.net/gh/spothq/cryptocurrency-icons@0.18.1/svg/color/bnb.svg",
    sources: &[&Binance],
    chains: &[],
    takes_csv: true,
    instructions: "On Binance open Account, API Management, Create API, System generated. Leave only Enable Reading \
        ticked: neither Spot & Margin Trading nor Withdrawals nor Universal Transfer. Leave IP access unrestricted. Copy \
        the API key and the secret key, which is shown once. Bank and card payments, small balances turned into BNB, \
        dividends, Earn, margin and futures are not read: import the export of those.",
};

const FIELDS: &[Field] = &[
    Field::secret("apiKey", "API key", "Shown under API Management: 64 letters and digits."),
    Field::secret(
        "apiSecret",
        "Secret key",
        "Shown once when the key is created, of the kind System generated (HMAC).",
    ),
    Field {
        has_lines: true,
        ..Field::optional(
            "pairs",
            "Pairs",
            "Pairs that you once traded and whose coins you no longer hold, such as BTC/USDT, ETH/EUR. Others are found.",
        )
    },
];

/// Binance's spot account.
pub struct Binance;

#[async_trait::async_trait]
impl Source for Binance {
    fn name(&self) -> &'static str {
        "binance"
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn accepted(&self) -> &'static str {
        "an API key of Binance"
    }

    fn account(&self, given: &Given) -> Result<Account, Vec<FieldProblem>> {
        let account = given.credentials(FIELDS)?;
        match named_pairs(&account) {
            Some(_) => Ok(account),
            None => {
                Err(vec![FieldProblem::new("credentials.pairs", "value", "must be pairs such as BTC/USDT, ETH/EUR")])
            }
        }
    }

    async fn check(&self, account: &Account, outside: &Outside<'_>) -> Result<Checked, Trouble> {
        let key: Restrictions = signed(account, outside, "/sapi/v1/account/apiRestrictions", "").await?;
        if !key.enable_reading {
            return Err(Trouble::InsufficientPermissions("The API key may not read. Tick Enable Reading.".into()));
        }
        let holdings = holdings(account, outside).await?;
        let warnings = key.warnings();
        Ok(Checked { account_id: holdings.uid.map(|uid| uid.to_string()), warnings, is_contract: false })
    }

    async fn page(
        &self,
        account: &Account,
        cursor: Option<&Cursor>,
        outside: &Outside<'_>,
    ) -> Result<Fetched, Trouble> {
        let mut walk = match cursor.and_then(Cursor::read::<Position>) {
            Some(Position::Walking(walk)) => walk,
            Some(Position::Done(known)) => Walk::new(known, outside),
            None => Walk::new(Known::default(), outside),
        };
        let records = match walk.stage {
            Stage::Trades => walk.trades(account, outside).await?,
            _ => walk.windows(account, outside).await?,
        };
        let next = match walk.end() {
            Ok(known) => Next::End(Some(Cursor::of(&Position::Done(known)))),
            Err(walk) => Next::More(Cursor::of(&Position::Walking(*walk))),
        };
        Ok(Fetched { records, next, expected: None })
    }

    async fn server_time(&self, outside: &Outside<'_>) -> Result<Timestamp, Trouble> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Time {
            server_time: i64,
        }
        let answer = outside.send(NAME, outside.get(Upstream::Binance, "/api/v3/time")).await?;
        let time: Time = read(&answer, outside)?;
        Timestamp::from_millisecond(time.server_time).map_err(|_| Trouble::unreadable(NAME))
    }
}

/// The pairs that the owner named, as (base, quote).
fn named_pairs(account: &Account) -> Option<Vec<(String, String)>> {
    let coin = |text: &str| {
        let fits = (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        fits.then(|| text.to_ascii_uppercase())
    };
    let Some(named) = account.setting("pairs") else { return Some(Vec::new()) };
    let pairs = named.split([',', ' ', '\n']).filter(|pair| !pair.trim().is_empty());
    pairs.map(|pair| pair.trim().split_once('/').and_then(|(base, quote)| Some((coin(base)?, coin(quote)?)))).collect()
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

/// What walks know of an account.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Known {
    /// Milliseconds; everything in windows of time was seen until then.
    until: i64,
    /// The coins that were seen.
    coins: BTreeSet<String>,
    /// Of pairs that have trades (`BTC/USDT`), the id after the last one.
    after: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    Deposits,
    Withdrawals,
    Conversions,
    Trades,
    Over,
}

impl Stage {
    fn next(self) -> Self {
        match self {
            Self::Deposits => Self::Withdrawals,
            Self::Withdrawals => Self::Conversions,
            Self::Conversions => Self::Trades,
            Self::Trades | Self::Over => Self::Over,
        }
    }

    fn opened(self) -> i64 {
        if self == Self::Conversions { CONVERSIONS_OPENED } else { OPENED }
    }

    /// How much time one question may span.
    fn window(self) -> i64 {
        if self == Self::Conversions { 30 * DAY } else { 90 * DAY }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Walk {
    stage: Stage,
    /// Milliseconds; where the windows start.
    start: i64,
    /// Milliseconds; where they end.
    end: i64,
    /// Where the present window starts.
    from: i64,
    /// Where the rest of the present window ends, if some of it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<i64>,
    /// How many rows of the present window were read.
    offset: usize,
    /// The pairs whose trades were read to the end.
    asked: BTreeSet<String>,
    known: Known,
}

impl Walk {
    fn new(known: Known, outside: &Outside<'_>) -> Self {
        let start = known.until.saturating_sub(OVERLAP);
        let end = outside.provider_now().as_millisecond();
        let stage = Stage::Deposits;
        let from = start.max(stage.opened());
        Self { stage, start, end, from, to: None, offset: 0, asked: BTreeSet::new(), known }
    }

    /// What is known at the end; itself before.
    fn end(self) -> Result<Known, Box<Self>> {
        if self.stage == Stage::Over { Ok(Known { until: self.end, ..self.known }) } else { Err(Box::new(self)) }
    }

    fn next_stage(&mut self) {
        self.stage = self.stage.next();
        (self.from, self.to, self.offset) = (self.start.max(self.stage.opened()), None, 0);
    }

    fn window_end(&self) -> i64 {
        self.to.unwrap_or_else(|| self.end.min(self.from + self.stage.window() - 1))
    }

    fn next_window(&mut self) {
        (self.from, self.to, self.offset) = (self.from + self.stage.window(), None, 0);
        if self.from > self.end {
            self.next_stage();
        }
    }

    /// Reads windows of the present stage until one has something.
    async fn windows(&mut self, account: &Account, outside: &Outside<'_>) -> Result<Vec<Record>, Trouble> {
        let stage = self.stage;
        let mut records = Vec::new();
        for number in 0..STEPS {
            let read = match stage {
                Stage::Deposits => self.deposits(account, outside).await,
                Stage::Withdrawals => self.withdrawals(account, outside).await,
                _ => self.conversions(account, outside).await,
            };
            records = match read {
                Ok(read) => read,
                // The windows that were read so far are not read again; the trouble comes again if it lasts.
                Err(_) if number > 0 => break,
                Err(trouble) => return Err(trouble),
            };
            for amount in records.iter().flat_map(|record| [&record.sent, &record.received]).flatten() {
                self.known.coins.insert(amount.asset.clone());
            }
            if !records.is_empty() || self.stage != stage || stage == Stage::Withdrawals {
                break;
            }
        }
        Ok(records)
    }

    fn span(&self) -> String {
        format!("startTime={}&endTime={}", self.from, self.window_end())
    }

    /// Goes on after an answer of so many rows.
    fn took(&mut self, rows: usize) {
        if rows < LIMIT {
            self.next_window();
        } else {
            self.offset += rows;
        }
    }

    async fn deposits(&mut self, account: &Account, outside: &Outside<'_>) -> Result<Vec<Record>, Trouble> {
        let query = format!("{}&offset={}&limit={LIMIT}", self.span(), self.offset);
        let rows: Vec<Deposit> = signed(account, outside, "/sapi/v1/capital/deposit/hisrec", &query).await?;
        self.took(rows.len());
        Ok(rows.into_iter().filter_map(Deposit::record).collect())
    }

    async fn withdrawals(&mut self, account: &Account, outside: &Outside<'_>) -> Result<Vec<Record>, Trouble> {
        keep_apart("withdrawals_asked", BETWEEN_WITHDRAWALS, outside)?;
        let query = format!("{}&offset={}&limit={LIMIT}", self.span(), self.offset);
        let rows: Vec<Withdrawal> = signed(account, outside, "/sapi/v1/capital/withdraw/history", &query).await?;
        self.took(rows.len());
        Ok(rows.into_iter().filter_map(Withdrawal::record).collect())
    }

    /// There is no offset here: the rest of a window that holds too much is what is older than the oldest row.
    async fn conversions(&mut self, account: &Account, outside: &Outside<'_>) -> Result<Vec<Record>, Trouble> {
        keep_apart("conversions_asked", BETWEEN_CONVERSIONS, outside)?;
        let query = format!("{}&limit={LIMIT}", self.span());
        let flow: Flow = signed(account, outside, "/sapi/v1/convert/tradeFlow", &query).await?;
        let oldest = flow.list.iter().map(|row| row.create_time).min();
        match oldest.filter(|oldest| flow.more_data && *oldest > self.from && *oldest < self.window_end()) {
            Some(oldest) => self.to = Some(oldest),
            None => self.next_window(),
        }
        Ok(flow.list.into_iter().filter_map(Conversion::record).collect())
    }

    /// Reads trades of the next few pairs.
    async fn trades(&mut self, account: &Account, outside: &Outside<'_>) -> Result<Vec<Record>, Trouble> {
        if self.asked.is_empty() {
            let held = holdings(account, outside).await?.balances;
            self.known.coins.extend(held.into_iter().map(|balance| balance.asset));
        }
        let named = named_pairs(account).unwrap_or_default();
        let listed = listed(outside).await?;
        let mut records = Vec::new();
        for number in 0..STEPS {
            let Some((base, quote)) = self.next_pair(&named, &listed) else {
                self.next_stage();
                break;
            };
            match self.trades_of(&base, &quote, account, outside).await {
                Ok(read) => records.extend(read),
                Err(_) if number > 0 => break,
                Err(trouble) => return Err(trouble),
            }
            if records.len() >= LIMIT {
                break;
            }
        }
        Ok(records)
    }

    /// A pair that has not been asked for yet.
    fn next_pair(&self, named: &[(String, String)], listed: &HashSet<String>) -> Option<(String, String)> {
        let is_new = |base: &str, quote: &str| !self.asked.contains(&format!("{base}/{quote}"));
        let named = named.iter().find(|(base, quote)| is_new(base, quote)).cloned();
        named.or_else(|| {
            let coins = || self.known.coins.iter().map(String::as_str).chain(QUOTES.iter().copied());
            let pairs = coins().flat_map(|base| coins().map(move |quote| (base, quote)));
            pairs
                .filter(|(base, quote)| self.known.coins.contains(*base) || self.known.coins.contains(*quote))
                .find(|(base, quote)| listed.contains(&format!("{base}{quote}")) && is_new(base, quote))
                .map(|(base, quote)| (base.to_owned(), quote.to_owned()))
        })
    }

    async fn trades_of(
        &mut self,
        base: &str,
        quote: &str,
        account: &Account,
        outside: &Outside<'_>,
    ) -> Result<Vec<Record>, Trouble> {
        let pair = format!("{base}/{quote}");
        let from = self.known.after.get(&pair).copied().unwrap_or_default();
        let query = format!("symbol={base}{quote}&fromId={from}&limit={LIMIT}");
        let trades: Vec<Trade> = match signed(account, outside, "/api/v3/myTrades", &query).await {
            // A pair that the owner named and that does not exist, or not any more.
            Err(Trouble::Unexpected(message)) if message == NO_SUCH_PAIR => Vec::new(),
            answered => answered?,
        };
        if trades.len() < LIMIT {
            self.asked.insert(pair.clone());
        }
        if let Some(last) = trades.iter().map(|trade| trade.id).max() {
            self.known.after.insert(pair, last + 1);
            self.known.coins.extend([base.to_owned(), quote.to_owned()]);
            self.known.coins.extend(trades.iter().map(|trade| trade.commission_asset.clone()));
        }
        Ok(trades.into_iter().filter_map(|trade| trade.record(base, quote)).collect())
    }
}

/// Asks to wait if the last question of this kind was less than so many milliseconds ago.
fn keep_apart(note: &str, milliseconds: i64, outside: &Outside<'_>) -> Result<(), Trouble> {
    let last: i64 = outside.note(note).and_then(|at| at.parse().ok()).unwrap_or_default();
    wait_until(NAME, last.saturating_add(milliseconds), outside)?;
    outside.set_note(note, outside.now().as_millisecond().to_string());
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Deposit {
    id: Option<String>,
    amount: String,
    coin: String,
    status: i64,
    #[serde(default)]
    tx_id: String,
    insert_time: i64,
}

impl Deposit {
    /// 1 is done; 6 is booked but may not be withdrawn yet.
    fn record(self) -> Option<Record> {
        if !matches!(self.status, 1 | 6) {
            return None;
        }
        let id = self.id.unwrap_or_else(|| self.tx_id.clone());
        let mut record = Record::new(RecordKind::Deposit, id, Timestamp::from_millisecond(self.insert_time).ok()?);
        record.received = Amount::of(Quantity::parse(&self.amount)?, self.coin);
        record.tx_hash = (!self.tx_id.is_empty()).then_some(self.tx_id);
        Some(record)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Withdrawal {
    id: String,
    amount: String,
    #[serde(default)]
    transaction_fee: String,
    coin: String,
    status: i64,
    #[serde(default)]
    tx_id: String,
    apply_time: String,
}

impl Withdrawal {
    /// 6 is done.
    fn record(self) -> Option<Record> {
        if self.status != 6 {
            return None;
        }
        let time = self.apply_time.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
        let mut record = Record::new(RecordKind::Withdrawal, self.id, time);
        record.fee = Quantity::parse(&self.transaction_fee).and_then(|fee| Amount::of(fee, self.coin.clone()));
        record.sent = Amount::of(Quantity::parse(&self.amount)?, self.coin);
        record.tx_hash = (!self.tx_id.is_empty()).then_some(self.tx_id);
        Some(record)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Flow {
    #[serde(default)]
    list: Vec<Conversion>,
    #[serde(default)]
    more_data: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Conversion {
    order_id: u64,
    order_status: String,
    from_asset: String,
    from_amount: String,
    to_asset: String,
    to_amount: String,
    create_time: i64,
}

impl Conversion {
    fn record(self) -> Option<Record> {
        if self.order_status != "SUCCESS" {
            return None;
        }
        let time = Timestamp::from_millisecond(self.create_time).ok()?;
        let mut record = Record::new(RecordKind::Conversion, self.order_id.to_string(), time);
        record.sent = Amount::of(Quantity::parse(&self.from_amount)?, self.from_asset);
        record.received = Amount::of(Quantity::parse(&self.to_amount)?, self.to_asset);
        Some(record)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trade {
    id: u64,
    symbol: String,
    qty: String,
    quote_qty: String,
    commission: String,
    commission_asset: String,
    time: i64,
    is_buyer: bool,
}

impl Trade {
    /// Ids are unique within a pair only.
    fn record(self, base: &str, quote: &str) -> Option<Record> {
        let time = Timestamp::from_millisecond(self.time).ok()?;
        let mut record = Record::new(RecordKind::Trade, format!("{}:{}", self.symbol, self.id), time);
        let base = Amount::of(Quantity::parse(&self.qty)?, base);
        let quote = Amount::of(Quantity::parse(&self.quote_qty)?, quote);
        (record.sent, record.received) = if self.is_buyer { (quote, base) } else { (base, quote) };
        record.fee = Amount::of(Quantity::parse(&self.commission)?, self.commission_asset);
        Some(record)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Restrictions {
    enable_reading: bool,
    enable_withdrawals: bool,
    enable_internal_transfer: bool,
    permits_universal_transfer: bool,
    enable_spot_and_margin_trading: bool,
    enable_margin: bool,
    enable_futures: bool,
}

impl Restrictions {
    fn warnings(&self) -> Vec<String> {
        let moves = self.enable_withdrawals || self.enable_internal_transfer || self.permits_universal_transfer;
        let trades = self.enable_spot_and_margin_trading || self.enable_margin || self.enable_futures;
        let warn =
            |may: bool, what: &str| may.then(|| format!("This key may {what}. Leave only Enable Reading ticked."));
        warn(moves, "withdraw or transfer funds").into_iter().chain(warn(trades, "trade")).collect()
    }
}

#[derive(Deserialize)]
struct Holdings {
    uid: Option<u64>,
    #[serde(default)]
    balances: Vec<Balance>,
}

#[derive(Deserialize)]
struct Balance {
    asset: String,
}

async fn holdings(account: &Account, outside: &Outside<'_>) -> Result<Holdings, Trouble> {
    signed(account, outside, "/api/v3/account", "omitZeroBalances=true").await
}

/// The symbols of all pairs.
async fn listed(outside: &Outside<'_>) -> Result<HashSet<String>, Trouble> {
    #[derive(Deserialize)]
    struct Price {
        symbol: String,
    }
    let answer = outside.send(NAME, outside.get(Upstream::Binance, "/api/v3/ticker/price")).await?;
    let prices: Vec<Price> = read(&answer, outside)?;
    Ok(prices.into_iter().map(|price| price.symbol).collect())
}

/// Asks a question that needs a signature: the HMAC-SHA256 of the query, in hexadecimal, as its last parameter.
async fn signed<T: DeserializeOwned>(
    account: &Account,
    outside: &Outside<'_>,
    path: &str,
    query: &str,
) -> Result<T, Trouble> {
    wait_if_paused(NAME, outside)?;
    let separator = if query.is_empty() { "" } else { "&" };
    let timestamp = outside.provider_now().as_millisecond();
    let query = format!("{query}{separator}recvWindow=10000&timestamp={timestamp}");
    let (key, secret) = (account.secret("apiKey"), account.secret("apiSecret"));
    let signature = hex(&hmac(Hash::Sha256, secret.unwrap_or(&SecretString::default()), query.as_bytes()));
    let request = outside
        .get(Upstream::Binance, &format!("{path}?{query}&signature={signature}"))
        .secret_header("x-mbx-apikey", key.unwrap_or(&SecretString::default()));
    read(&outside.send(NAME, request).await?, outside)
}

const NO_SUCH_PAIR: &str = "Binance does not know this pair.";

fn read<T: DeserializeOwned>(answer: &Answer, outside: &Outside<'_>) -> Result<T, Trouble> {
    let used: u32 = answer.header("x-mbx-used-weight-1m").and_then(|used| used.parse().ok()).unwrap_or_default();
    if used >= WEIGHT_LIMIT {
        let minutes = outside.provider_now().as_millisecond().div_euclid(60_000) + 1;
        pause_for(minutes * 60_000 - outside.provider_now().as_millisecond(), outside);
    }
    if answer.is_success() {
        return answer.json().ok_or_else(|| Trouble::unreadable(NAME));
    }
    Err(trouble(answer))
}

fn trouble(answer: &Answer) -> Trouble {
    #[derive(Deserialize)]
    struct Refusal {
        code: i64,
    }
    let wait =
        |seconds| Trouble::Wait { provider: NAME, for_: answer.retry_after().unwrap_or(Duration::from_secs(seconds)) };
    if matches!(answer.status, 418 | 429) {
        return wait(if answer.status == 418 { 120 } else { 60 });
    }
    match answer.json::<Refusal>().map(|refusal| refusal.code) {
        Some(-1021) => Trouble::ClockSkew(NAME),
        Some(-1022) => {
            Trouble::of_field("apiSecret", "The secret key does not belong to this API key. Copy both again.")
        }
        Some(-2014 | -2008) => {
            Trouble::InvalidCredentials("Binance does not know this API key. It is mistyped or was deleted.".into())
        }
        Some(-2015) => Trouble::InvalidCredentials(
            "Binance refuses this API key: it was deleted, may not read, or is restricted to other IP addresses. Tick \
             Enable Reading, leave IP access unrestricted, or make a new key."
                .into(),
        ),
        Some(-1002) => {
            Trouble::InsufficientPermissions("The API key may not read this history. Tick Enable Reading.".into())
        }
        Some(-1003) => wait(60),
        Some(-1121) => Trouble::Unexpected(NO_SUCH_PAIR.into()),
        Some(-1000 | -1001 | -1006 | -1007 | -1008) => {
            Trouble::ProviderDown("Binance has trouble of its own just now.".into())
        }
        _ => Trouble::of_answer(NAME, answer),
    }
}

#[cfg(test)]
mod tests {
    use fakes::exchanges::binance::{Binance as Fake, BinanceKey};
    use jiff::SignedDuration;
    use serde_json::json;

    use super::*;
    use crate::model::Tempo;
    use crate::providers::testing::World;

    const NOW: i64 = 1_780_000_000_000;

    fn given(key: &str, secret: &str, pairs: Option<&str>) -> Given {
        let credentials = json!({ "apiKey": key, "apiSecret": secret, "pairs": pairs });
        Given { credentials: credentials.as_object().unwrap().clone(), ..Given::default() }
    }

    fn account(key: &str, secret: &str) -> Account {
        Binance.account(&given(key, secret, None)).unwrap()
    }

    async fn start() -> (Fake, World, Account) {
        let fake = Fake::start().await.unwrap();
        fake.set_clock(NOW);
        fake.add_key(BinanceKey::reading("k", "s"));
        let world = World::of(&[("BINANCE", fake.host.origin())]);
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
            match crate::providers::page(&Binance, account, cursor.as_ref(), &outside).await {
                Ok(fetched) => {
                    records.extend(fetched.records);
                    match fetched.next {
                        Next::More(next) => cursor = Some(next),
                        Next::End(next) => return (records, next),
                    }
                }
                Err(Trouble::Wait { for_, .. }) => {
                    let pause = SignedDuration::try_from(for_).unwrap();
                    world.clock.advance(pause);
                    fake.set_clock(world.outside().now().as_millisecond());
                }
                Err(trouble) => panic!("{trouble}"),
            }
        }
    }

    #[test]
    fn pairs_are_read() {
        let account = Binance.account(&given("k", "s", Some("btc/usdt, ETH/EUR"))).unwrap();
        let pairs = named_pairs(&account).unwrap();
        assert_eq!(pairs[1], ("ETH".to_owned(), "EUR".to_owned()));
        let problems = Binance.account(&given("k", "s", Some("BTCUSDT"))).unwrap_err();
        assert_eq!(problems[0].field, "credentials.pairs");
    }

    #[tokio::test]
    async fn a_key_is_judged() {
        let (fake, world, good) = start().await;
        let checked = Binance.check(&good, &world.outside()).await.unwrap();
        assert_eq!((checked.account_id.is_some(), checked.warnings.len()), (true, 0));
        fake.add_key(BinanceKey { may_trade: true, may_withdraw: true, ..BinanceKey::reading("rich", "s") });
        let checked = Binance.check(&account("rich", "s"), &world.outside()).await.unwrap();
        assert_eq!(checked.warnings.len(), 2);
        for wrong in [account("unknown", "s"), account("k", "wrong")] {
            let trouble = Binance.check(&wrong, &world.outside()).await.unwrap_err();
            assert!(trouble.is_invalid(), "{trouble}");
        }
    }

    #[tokio::test]
    async fn a_whole_history_is_found_and_then_only_what_is_new() {
        let (fake, world, account) = start().await;
        fake.deposit("k", NOW - 1_500 * DAY, "EUR", "1000", 1);
        fake.deposit("k", NOW - DAY, "BTC", "1", 0);
        fake.withdraw("k", NOW - 700 * DAY, "SOL", "3", "0.01");
        fake.convert("k", NOW - 600 * DAY, ("BTC", "0.01"), ("ADA", "500"));
        fake.list_pairs(&[("BTC", "EUR"), ("SOL", "BTC"), ("ADA", "USDT"), ("DOGE", "SHIB"), ("LINK", "SOL")]);
        for number in 0..1_200 {
            fake.trade("k", NOW - 1_400 * DAY + number, ("BTC", "EUR"), true, ("0.001", "20", "0.00001", "BTC"));
        }
        fake.trade("k", NOW - 1_300 * DAY, ("SOL", "BTC"), false, ("1", "0.002", "0.0001", "BNB"));
        let (records, end) = walk(&fake, &world, &account, None).await;
        let of = |kind| records.iter().filter(|record| record.kind == kind).count();
        assert_eq!((of(RecordKind::Trade), of(RecordKind::Deposit)), (1_201, 1), "what waits is not counted");
        assert_eq!((of(RecordKind::Withdrawal), of(RecordKind::Conversion)), (1, 1));
        let sale = records.iter().find(|record| record.provider_id.starts_with("SOLBTC")).unwrap();
        assert_eq!(sale.sent, Amount::of(Quantity::parse("1").unwrap(), "SOL"));
        assert_eq!(sale.fee, Amount::of(Quantity::parse("0.0001").unwrap(), "BNB"));
        assert!(end.as_ref().unwrap().as_str().len() < 2_000);
        fake.host.forget_requests();
        let (records, _) = walk(&fake, &world, &account, end.clone()).await;
        assert_eq!((records.len(), fake.host.calls("hisrec")), (0, 1));
        fake.trade("k", NOW, ("BTC", "EUR"), true, ("0.001", "20", "0", "BTC"));
        let (records, _) = walk(&fake, &world, &account, end).await;
        assert_eq!(records.len(), 1);
    }

    #[tokio::test]
    async fn conversions_are_all_read_and_no_faster_than_the_account_may() {
        let (fake, world, account) = start().await;
        for number in 0..2_300 {
            fake.convert("k", NOW - 40 * DAY + number, ("BTC", "0.01"), ("ADA", "500"));
        }
        let began = world.outside().now();
        let (records, _) = walk(&fake, &world, &account, None).await;
        let ids: std::collections::HashSet<&str> = records.iter().map(|record| record.provider_id.as_str()).collect();
        assert_eq!(ids.len(), 2_300);
        let (asked, withdrawals) = (fake.host.calls("tradeFlow") as i64, fake.host.calls("withdraw/history") as i64);
        let least = (asked - 1) + (withdrawals - 1) * BETWEEN_WITHDRAWALS / 1_000;
        assert!(world.outside().now().duration_since(began).as_secs() >= least, "{asked} questions");
    }

    #[tokio::test]
    async fn a_clock_that_is_off_heals() {
        let (fake, world, account) = start().await;
        fake.set_clock(NOW + 3_600_000);
        let outside = world.outside();
        crate::providers::check(&Binance, &account, &outside).await.unwrap();
        assert_eq!(outside.tempo(), Tempo { clock_offset_ms: 3_600_000, ..Tempo::default() });
    }

    #[tokio::test]
    async fn limits_are_kept() {
        let (fake, world, account) = start().await;
        fake.throttle(1, 9.0);
        let trouble = world.page(&Binance, &account, None).await.unwrap_err();
        assert_eq!(trouble, Trouble::Wait { provider: NAME, for_: Duration::from_secs(9) });
        fake.set_used_weight(5_000);
        let outside = world.outside();
        // The first question is answered and says that the budget is short.
        let trouble = Binance.check(&account, &outside).await.unwrap_err();
        assert!(matches!(trouble, Trouble::Wait { for_, .. } if for_ <= Duration::from_secs(60)), "{trouble:?}");
        let blocked = fakes::Answer::status(451).json(&json!({ "code": 0, "msg": "restricted location" }));
        fake.host.faults().next(1, fakes::Fault::Answer(blocked));
        let trouble = world.page(&Binance, &account, None).await.unwrap_err();
        assert!(matches!(trouble, Trouble::RegionBlocked(_)), "{trouble}");
    }
}
