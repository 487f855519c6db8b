//! Binance's spot and wallet API.
//!
//! What it reproduces, and from where (developers.binance.com; the same documents as its GitHub repository):
//! - Signed questions carry `X-MBX-APIKEY` and end in `signature`, HMAC-SHA256 of the query before it in hexadecimal.
//!   `timestamp` must not be a second ahead of the server nor older than `recvWindow`: -1021. A wrong signature is -1022,
//!   an unknown key -2015 (401), an unknown pair -1121.
//! - Deposits and withdrawals: windows of 90 days at most, `offset` and `limit`; a withdrawal's time is text in UTC.
//!   Conversions: windows of 30 days, the newest first, `moreData`. Trades: of one pair, upwards from `fromId`.
//! - 429 has a `Retry-After`; every answer tells the weight that was used this minute.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use axum::Router;
use axum::extract::{OriginalUri, State as Extracted};
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::host::Host;
use crate::wire::{Throttle, form, header, json as json_answer, lock, text, unix_seconds, whole_seconds, with_headers};

const DAY: i64 = 86_400_000;

/// Binance's spot and wallet API.
#[derive(Clone, Debug)]
pub struct Binance {
    /// Stands for `https://api.binance.com`.
    pub host: Host,
    state: Shared,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    /// Milliseconds; the system's clock if not set.
    clock: Option<i64>,
    keys: HashMap<String, BinanceKey>,
    pairs: Vec<String>,
    rows: Vec<Row>,
    throttle: Throttle,
    used_weight: u32,
}

/// An API key.
#[derive(Clone, Debug)]
pub struct BinanceKey {
    /// The public part.
    pub key: String,
    /// The private part.
    pub secret: String,
    /// Whether it may trade.
    pub may_trade: bool,
    /// Whether it may withdraw.
    pub may_withdraw: bool,
}

impl BinanceKey {
    /// A key that may read and nothing else.
    #[must_use]
    pub fn reading(key: &str, secret: &str) -> Self {
        Self { key: key.to_owned(), secret: secret.to_owned(), may_trade: false, may_withdraw: false }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Deposit,
    Withdrawal,
    Conversion,
    Trade,
}

#[derive(Clone, Debug)]
struct Row {
    owner: String,
    kind: Kind,
    time: i64,
    symbol: String,
    coins: Vec<String>,
    number: u64,
    body: Value,
}

impl Binance {
    /// Starts a server that knows no key.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Shared::default();
        let router = Router::new()
            .route("/api/v3/time", get(public))
            .route("/api/v3/ticker/price", get(public))
            .fallback(private)
            .with_state(Arc::clone(&state));
        Ok(Self { host: Host::start(router).await?, state })
    }

    /// Stops the server's clock at this millisecond.
    pub fn set_clock(&self, milliseconds: i64) {
        lock(&self.state).clock = Some(milliseconds);
    }

    /// Adds or replaces a key, which is an account of its own.
    pub fn add_key(&self, key: BinanceKey) {
        lock(&self.state).keys.insert(key.key.clone(), key);
    }

    /// Deletes a key.
    pub fn revoke(&self, key: &str) {
        lock(&self.state).keys.remove(key);
    }

    /// Lists pairs on the exchange.
    pub fn list_pairs(&self, pairs: &[(&str, &str)]) {
        lock(&self.state).pairs.extend(pairs.iter().map(|(base, quote)| format!("{base}{quote}")));
    }

    /// Books a deposit; status 0 waits, 1 is done.
    pub fn deposit(&self, owner: &str, time: i64, coin: &str, amount: &str, status: i64) {
        self.book(owner, Kind::Deposit, time, "", &[coin], |number| {
            json!({ "id": number.to_string(), "amount": amount, "coin": coin, "network": "ETH", "status": status,
                "address": "", "addressTag": "", "txId": format!("0x{number:064x}"), "insertTime": time,
                "transferType": 0, "confirmTimes": "12/12" })
        });
    }

    /// Books a withdrawal that is done.
    pub fn withdraw(&self, owner: &str, time: i64, coin: &str, amount: &str, fee: &str) {
        let applied = Timestamp::from_millisecond(time).unwrap_or_default().strftime("%Y-%m-%d %H:%M:%S").to_string();
        self.book(owner, Kind::Withdrawal, time, "", &[], |number| {
            json!({ "id": format!("{number:032x}"), "amount": amount, "transactionFee": fee, "coin": coin, "status": 6,
                "address": "", "txId": format!("0x{number:064x}"), "applyTime": applied, "network": "ETH",
                "transferType": 0 })
        });
    }

    /// Books a conversion.
    pub fn convert(&self, owner: &str, time: i64, from: (&str, &str), to: (&str, &str)) {
        self.book(owner, Kind::Conversion, time, "", &[to.0], |number| {
            json!({ "quoteId": number.to_string(), "orderId": number, "orderStatus": "SUCCESS", "fromAsset": from.0,
                "fromAmount": from.1, "toAsset": to.0, "toAmount": to.1, "ratio": "1", "inverseRatio": "1",
                "createTime": time })
        });
    }

    /// Books a trade of a pair (base, quote): how much of each, the fee, and the coin that it was paid in.
    pub fn trade(&self, owner: &str, time: i64, pair: (&str, &str), bought: bool, sums: (&str, &str, &str, &str)) {
        let symbol = format!("{}{}", pair.0, pair.1);
        self.book(owner, Kind::Trade, time, &symbol, &[pair.0], |number| {
            json!({ "symbol": symbol, "id": number, "orderId": number, "orderListId": -1, "price": "1", "qty": sums.0,
                "quoteQty": sums.1, "commission": sums.2, "commissionAsset": sums.3, "time": time, "isBuyer": bought,
                "isMaker": false, "isBestMatch": true })
        });
    }

    fn book(&self, owner: &str, kind: Kind, time: i64, symbol: &str, coins: &[&str], body: impl FnOnce(u64) -> Value) {
        let mut state = lock(&self.state);
        let number = state.rows.len() as u64 + 1;
        let coins = coins.iter().map(|coin| (*coin).to_owned()).collect();
        let (owner, symbol) = (owner.to_owned(), symbol.to_owned());
        state.rows.push(Row { owner, kind, time, symbol, coins, number, body: body(number) });
    }

    /// Refuses the next `count` requests with 429, asking to wait `seconds`.
    pub fn throttle(&self, count: usize, seconds: f64) {
        lock(&self.state).throttle.set(count, seconds);
    }

    /// Says in every answer that so much of the minute's weight is used.
    pub fn set_used_weight(&self, weight: u32) {
        lock(&self.state).used_weight = weight;
    }
}

struct Refusal(StatusCode, i64, &'static str);

async fn public(Extracted(state): Extracted<Shared>, OriginalUri(uri): OriginalUri) -> Response {
    let state = lock(&state);
    let body = if uri.path().ends_with("/time") {
        json!({ "serverTime": state.now() })
    } else {
        state.pairs.iter().map(|pair| json!({ "symbol": pair, "price": "1.00000000" })).collect()
    };
    json_answer(StatusCode::OK, &body)
}

async fn private(Extracted(state): Extracted<Shared>, OriginalUri(uri): OriginalUri, headers: HeaderMap) -> Response {
    let mut state = lock(&state);
    if let Some(seconds) = state.throttle.take() {
        let body =
            json!({ "code": -1003, "msg": "Too many requests; current limit of IP is 6000 requests per minute." });
        let refused = json_answer(StatusCode::TOO_MANY_REQUESTS, &body);
        return with_headers(refused, [("retry-after", whole_seconds(seconds))]);
    }
    let answer = match state.answer(uri.path(), uri.query().unwrap_or_default(), &headers) {
        Ok(body) => json_answer(StatusCode::OK, &body),
        Err(Refusal(status, code, message)) => json_answer(status, &json!({ "code": code, "msg": message })),
    };
    with_headers(answer, [("x-mbx-used-weight-1m", state.used_weight.to_string())])
}

impl State {
    fn now(&self) -> i64 {
        self.clock.unwrap_or_else(|| i64::try_from(unix_seconds() * 1_000).unwrap_or_default())
    }

    fn answer(&self, path: &str, query: &str, headers: &HeaderMap) -> Result<Value, Refusal> {
        let fields = form(query.as_bytes());
        let name = header(headers, "x-mbx-apikey").unwrap_or_default();
        let unknown = Refusal(StatusCode::UNAUTHORIZED, -2015, "Invalid API-key, IP, or permissions for action.");
        let key = self.keys.get(name).ok_or(unknown)?;
        let number = |name: &str| text(&fields, name).parse::<i64>().ok();
        let sent = number("timestamp").unwrap_or_default();
        let window = number("recvWindow").unwrap_or(5_000).min(60_000);
        if sent >= self.now() + 1_000 || self.now() - sent > window {
            let message = "Timestamp for this request is outside of the recvWindow.";
            return Err(Refusal(StatusCode::BAD_REQUEST, -1021, message));
        }
        if !is_signed(key, query) {
            let message = "Signature for this request is not valid.";
            return Err(Refusal(StatusCode::BAD_REQUEST, -1022, message));
        }
        match path {
            "/sapi/v1/account/apiRestrictions" => Ok(json!({
                "ipRestrict": false,
                "createTime": 1_700_000_000_000_i64,
                "enableReading": true,
                "enableWithdrawals": key.may_withdraw,
                "enableInternalTransfer": false,
                "enableMargin": false,
                "enableFutures": false,
                "permitsUniversalTransfer": false,
                "enableVanillaOptions": false,
                "enableSpotAndMarginTrading": key.may_trade,
            })),
            "/api/v3/account" => Ok(self.account(key)),
            "/api/v3/myTrades" => self.trades(key, &fields),
            "/sapi/v1/capital/deposit/hisrec" => self.window(key, Kind::Deposit, &fields, 90),
            "/sapi/v1/capital/withdraw/history" => self.window(key, Kind::Withdrawal, &fields, 90),
            "/sapi/v1/convert/tradeFlow" => {
                let list = self.window(key, Kind::Conversion, &fields, 30)?;
                let number = |name: &str, unset| text(&fields, name).parse::<i64>().unwrap_or(unset);
                let span = number("startTime", i64::MIN)..=number("endTime", i64::MAX);
                let all = self.own(key, Kind::Conversion).filter(|row| span.contains(&row.time)).count();
                let has_more = list.as_array().is_some_and(|list| list.len() < all);
                Ok(json!({ "list": list, "moreData": has_more, "limit": number("limit", 1_000) }))
            }
            _ => Err(Refusal(StatusCode::NOT_FOUND, -1, "Not found.")),
        }
    }

    fn own<'state>(&'state self, key: &'state BinanceKey, kind: Kind) -> impl Iterator<Item = &'state Row> {
        self.rows.iter().filter(move |row| row.owner == key.key && row.kind == kind)
    }

    /// Holds what came in and was not spent in trades; enough to tell which coins there are.
    fn account(&self, key: &BinanceKey) -> Value {
        let mut coins: Vec<&String> =
            self.rows.iter().filter(|row| row.owner == key.key).flat_map(|row| &row.coins).collect();
        coins.sort_unstable();
        coins.dedup();
        let balances: Vec<Value> =
            coins.iter().map(|coin| json!({ "asset": coin, "free": "1.00000000", "locked": "0.00000000" })).collect();
        let uid: u64 = key.key.bytes().fold(17, |sum, byte| sum * 31 % 1_000_000_007 + u64::from(byte));
        json!({ "canTrade": true, "canWithdraw": true, "canDeposit": true, "accountType": "SPOT", "balances": balances,
            "permissions": ["SPOT"], "uid": uid })
    }

    fn trades(&self, key: &BinanceKey, fields: &Map<String, Value>) -> Result<Value, Refusal> {
        let symbol = text(fields, "symbol");
        if !self.pairs.iter().any(|pair| pair == symbol) {
            return Err(Refusal(StatusCode::BAD_REQUEST, -1121, "Invalid symbol."));
        }
        let from: u64 = text(fields, "fromId").parse().unwrap_or_default();
        let limit = text(fields, "limit").parse().unwrap_or(500).min(1_000);
        let own = self.own(key, Kind::Trade).filter(|row| row.symbol == symbol && row.number >= from);
        Ok(own.take(limit).map(|row| row.body.clone()).collect())
    }

    fn window(&self, key: &BinanceKey, kind: Kind, fields: &Map<String, Value>, days: i64) -> Result<Value, Refusal> {
        let number = |name: &str| text(fields, name).parse::<i64>().ok();
        let end = number("endTime").unwrap_or_else(|| self.now());
        let start = number("startTime").unwrap_or(end - days * DAY);
        if end < start || end - start >= days * DAY {
            return Err(Refusal(StatusCode::BAD_REQUEST, -1127, "Lookup interval is too big."));
        }
        let offset = text(fields, "offset").parse().unwrap_or_default();
        let limit = text(fields, "limit").parse().unwrap_or(1_000);
        let mut rows: Vec<&Row> = self.own(key, kind).filter(|row| (start..=end).contains(&row.time)).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.time));
        Ok(rows.into_iter().skip(offset).take(limit).map(|row| row.body.clone()).collect())
    }
}

fn is_signed(key: &BinanceKey, query: &str) -> bool {
    let Some((signed, signature)) = query.rsplit_once("&signature=") else { return false };
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.secret.as_bytes()), signed.as_bytes());
    let expected: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    expected == signature
}
