//! Bybit's API, version 5.
//!
//! What it reproduces, and from where (bybit-exchange.github.io/docs/v5):
//! - Private questions carry `X-BAPI-API-KEY`, `-TIMESTAMP`, `-RECV-WINDOW` and `-SIGN`, the HMAC-SHA256 in hexadecimal of
//!   time, key, window and the query as it was sent. The time must not be a second ahead of the server nor older than the
//!   window.
//! - Answers are 200 whatever happens, with `retCode`: 10002 clock, 10003 key, 10004 signature, 10005 permission, 10006
//!   too many questions, 10010 address, 10028 where an account of the old kind is asked for the log. A key that is not known
//!   may also be refused by HTTP's 401 and an empty body; [`Bybit::refuse_bare`] says.
//! - Deposits and withdrawals in windows of 30 days, the log in windows of a week and two years back: newest first, with a
//!   cursor wherever there are rows. The log's cursors hold percent signs, and a cursor must come back as it was given.
//!   Conversions by page number.
//! - Every private answer says how many questions are left in this second and when there are more.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use axum::Router;
use axum::extract::{OriginalUri, State as Extracted};
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use crate::host::Host;
use crate::wire::{Throttle, form, header, json as json_answer, lock, plain, text, unix_seconds, with_headers};

const DAY: i64 = 86_400_000;

/// Bybit's API, version 5.
#[derive(Clone, Debug)]
pub struct Bybit {
    /// Stands for `https://api.bybit.com`.
    pub host: Host,
    state: Shared,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    /// Milliseconds; the system's clock if not set.
    clock: Option<i64>,
    keys: HashMap<String, BybitKey>,
    rows: Vec<Row>,
    throttle: Throttle,
    refusal: Option<i64>,
    left: Option<u32>,
    /// Whether a key that is not known is refused by the status alone.
    bare: bool,
}

/// An API key.
#[derive(Clone, Debug)]
pub struct BybitKey {
    /// The public part.
    pub key: String,
    /// The private part.
    pub secret: String,
    /// Whether it is `Read-Only`; otherwise it may trade and withdraw.
    pub read_only: bool,
    /// Whether the boxes of histories are ticked.
    pub may_read: bool,
    /// Whether it may be used from here.
    pub ip_allowed: bool,
    /// When it runs out.
    pub expires: Option<&'static str>,
    /// Whether the account is a unified one.
    pub is_unified: bool,
}

impl BybitKey {
    /// A key that may read and nothing else.
    #[must_use]
    pub fn reading(key: &str, secret: &str) -> Self {
        Self {
            key: key.to_owned(),
            secret: secret.to_owned(),
            read_only: true,
            may_read: true,
            ip_allowed: true,
            expires: None,
            is_unified: true,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Deposit,
    Internal,
    Withdrawal,
    Conversion,
    Log,
}

#[derive(Clone, Debug)]
struct Row {
    owner: String,
    kind: Kind,
    time: i64,
    number: u64,
    body: Value,
}

impl Bybit {
    /// Starts a server that knows no key.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Shared::default();
        let router = Router::new().route("/v5/market/time", get(time)).fallback(private).with_state(Arc::clone(&state));
        Ok(Self { host: Host::start(router).await?, state })
    }

    /// Stops the server's clock at this millisecond.
    pub fn set_clock(&self, milliseconds: i64) {
        lock(&self.state).clock = Some(milliseconds);
    }

    /// Adds or replaces a key, which is an account of its own.
    pub fn add_key(&self, key: BybitKey) {
        lock(&self.state).keys.insert(key.key.clone(), key);
    }

    /// Deletes a key.
    pub fn revoke(&self, key: &str) {
        lock(&self.state).keys.remove(key);
    }

    /// Refuses the next `count` requests because there were too many, until `seconds` from now.
    pub fn throttle(&self, count: usize, seconds: f64) {
        lock(&self.state).throttle.set(count, seconds);
    }

    /// Answers the next private request with this code.
    pub fn refuse_next(&self, code: i64) {
        lock(&self.state).refusal = Some(code);
    }

    /// Answers a key that it does not know with a bare 401, as some of its servers do, in place of code 10003.
    pub fn refuse_bare(&self, bare: bool) {
        lock(&self.state).bare = bare;
    }

    /// Says in every answer that so many questions are left in this second.
    pub fn set_left(&self, left: u32) {
        lock(&self.state).left = Some(left);
    }

    /// Books a deposit from a chain; status 2 is under way, 3 is done.
    pub fn deposit(&self, owner: &str, time: i64, coin: &str, amount: &str, status: i64) {
        self.book(owner, Kind::Deposit, time, |number| {
            json!({ "id": number.to_string(), "coin": coin, "chain": "ETH", "amount": amount,
                "txID": format!("0x{number:064x}"), "status": status, "toAddress": "", "tag": "", "depositFee": "",
                "successAt": time.to_string(), "confirmations": "12", "txIndex": "", "blockHash": "",
                "batchReleaseLimit": "-1", "depositType": "0", "fromAddress": "" })
        });
    }

    /// Lets every deposit be done.
    pub fn settle(&self, owner: &str) {
        let mut state = lock(&self.state);
        for row in state.rows.iter_mut().filter(|row| row.owner == owner && row.kind == Kind::Deposit) {
            if let Some(body) = row.body.as_object_mut() {
                body.insert("status".to_owned(), 3.into());
            }
        }
    }

    /// Books a deposit that came from within Bybit.
    pub fn receive(&self, owner: &str, time: i64, coin: &str, amount: &str) {
        self.book(owner, Kind::Internal, time, |number| {
            json!({ "id": number.to_string(), "type": 1, "coin": coin, "amount": amount, "status": 2, "address": "",
                "createdTime": (time / 1_000).to_string(), "fromMemberId": "1", "txID": format!("{number:032x}") })
        });
    }

    /// Books a withdrawal that is done.
    pub fn withdraw(&self, owner: &str, time: i64, coin: &str, amount: &str, fee: &str) {
        self.book(owner, Kind::Withdrawal, time, |number| {
            json!({ "withdrawId": number.to_string(), "txID": format!("{number:064x}"), "withdrawType": 0, "coin": coin,
                "chain": "SOL", "amount": amount, "withdrawFee": fee, "status": "success", "toAddress": "", "tag": "",
                "createTime": time.to_string(), "updateTime": time.to_string() })
        });
    }

    /// Books a conversion in the funding account.
    pub fn convert(&self, owner: &str, time: i64, from: (&str, &str), to: (&str, &str)) {
        self.book(owner, Kind::Conversion, time, |number| {
            json!({ "accountType": "eb_convert_funding", "exchangeTxId": format!("{number:024}"), "userId": "1",
                "fromCoin": from.0, "fromCoinType": "crypto", "fromAmount": from.1, "toCoin": to.0,
                "toCoinType": "crypto", "toAmount": to.1, "exchangeStatus": "success", "extInfo": {},
                "convertRate": "1", "createdAt": time.to_string() })
        });
    }

    /// Books a spot trade: of each of its two coins what came or went, without the fee, and the fee.
    pub fn trade(&self, owner: &str, time: i64, paid: (&str, &str, &str), got: (&str, &str, &str)) {
        let number = lock(&self.state).rows.len();
        let (trade, order) = (format!("{number:032x}"), format!("{number:019}"));
        for (coin, flow, fee) in [paid, got] {
            self.log(owner, time, "TRADE", (coin, flow, "", fee), (&trade, &order));
        }
    }

    /// Books any other entry of the log: coin, cash flow, funding and fee.
    pub fn enter(&self, owner: &str, time: i64, kind: &str, sums: (&str, &str, &str, &str)) {
        self.log(owner, time, kind, sums, ("", ""));
    }

    fn log(&self, owner: &str, time: i64, kind: &str, sums: (&str, &str, &str, &str), ids: (&str, &str)) {
        self.book(owner, Kind::Log, time, |number| {
            json!({ "id": format!("{number:016}_ENTRY_{number}"), "symbol": "", "category": "spot", "side": "None",
                "transactionTime": time.to_string(), "type": kind, "transSubType": "", "qty": "0", "size": "0",
                "currency": sums.0, "tradePrice": "1", "funding": sums.2, "fee": sums.3, "cashFlow": sums.1,
                "change": "0", "cashBalance": "0", "feeRate": "0", "bonusChange": "", "tradeId": ids.0,
                "orderId": ids.1, "orderLinkId": "", "extraFees": "" })
        });
    }

    fn book(&self, owner: &str, kind: Kind, time: i64, body: impl FnOnce(u64) -> Value) {
        let mut state = lock(&self.state);
        let number = state.rows.len() as u64 + 1;
        state.rows.push(Row { owner: owner.to_owned(), kind, time, number, body: body(number) });
    }
}

struct Refusal(i64, &'static str);

async fn time(Extracted(state): Extracted<Shared>) -> Response {
    let now = lock(&state).now();
    let result = json!({ "timeSecond": (now / 1_000).to_string(), "timeNano": format!("{now}000000") });
    json_answer(StatusCode::OK, &envelope(0, "OK", &result, now))
}

fn envelope(code: i64, message: &str, result: &Value, now: i64) -> Value {
    json!({ "retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": now })
}

async fn private(Extracted(state): Extracted<Shared>, OriginalUri(uri): OriginalUri, headers: HeaderMap) -> Response {
    let mut state = lock(&state);
    let now = state.now();
    let (body, left, reset) = if let Some(seconds) = state.throttle.take() {
        let reset = format!("{:.0}", seconds * 1_000.0).parse().unwrap_or(1_000);
        (envelope(10_006, "Too many visits. Exceeded the API Rate Limit.", &json!({}), now), 0, reset)
    } else {
        let body = match state.answer(uri.path(), uri.query().unwrap_or_default(), &headers) {
            Ok(result) => envelope(0, "OK", &result, now),
            Err(Refusal(10_003, _)) if state.bare => return plain(StatusCode::UNAUTHORIZED, "text/plain", ""),
            Err(Refusal(code, message)) => envelope(code, message, &json!({}), now),
        };
        (body, state.left.unwrap_or(49), 1_000)
    };
    let limits = [
        ("x-bapi-limit", "50".to_owned()),
        ("x-bapi-limit-status", left.to_string()),
        ("x-bapi-limit-reset-timestamp", (now + reset).to_string()),
    ];
    with_headers(json_answer(StatusCode::OK, &body), limits)
}

impl State {
    fn now(&self) -> i64 {
        self.clock.unwrap_or_else(|| i64::try_from(unix_seconds() * 1_000).unwrap_or_default())
    }

    fn answer(&mut self, path: &str, query: &str, headers: &HeaderMap) -> Result<Value, Refusal> {
        if let Some(code) = self.refusal.take() {
            return Err(Refusal(code, "Refused."));
        }
        let key = self.key(query, headers)?;
        if path == "/v5/user/query-api" {
            return Ok(key_info(&key));
        }
        if !key.may_read {
            return Err(Refusal(10_005, "Permission denied, please check your API key permissions."));
        }
        let fields = form(query.as_bytes());
        match path {
            "/v5/asset/deposit/query-record" => self.window(&key, Kind::Deposit, "rows", 30, &fields),
            "/v5/asset/deposit/query-internal-record" => self.window(&key, Kind::Internal, "rows", 30, &fields),
            "/v5/asset/withdraw/query-record" => self.window(&key, Kind::Withdrawal, "rows", 30, &fields),
            "/v5/asset/exchange/query-convert-history" => Ok(self.conversions(&key, &fields)),
            "/v5/account/transaction-log" if key.is_unified => self.window(&key, Kind::Log, "list", 7, &fields),
            "/v5/account/transaction-log" => {
                Err(Refusal(10_028, "The API can only be accessed by unified account users."))
            }
            _ => Err(Refusal(10_017, "Route not found.")),
        }
    }

    fn key(&self, query: &str, headers: &HeaderMap) -> Result<BybitKey, Refusal> {
        let given = |name| header(headers, name).unwrap_or_default();
        let (name, timestamp, window) =
            (given("x-bapi-api-key"), given("x-bapi-timestamp"), given("x-bapi-recv-window"));
        let sent: i64 = timestamp.parse().map_err(|_| Refusal(10_001, "Request parameter error."))?;
        let valid_for = window.parse().unwrap_or(5_000_i64);
        if sent >= self.now() + 1_000 || sent < self.now() - valid_for {
            return Err(Refusal(10_002, "The request time exceeds the time window range."));
        }
        let key = self.keys.get(name).cloned().ok_or(Refusal(10_003, "API key is invalid."))?;
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, key.secret.as_bytes()),
            format!("{timestamp}{name}{window}{query}").as_bytes(),
        );
        let expected: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        if given("x-bapi-sign") != expected {
            return Err(Refusal(10_004, "Error sign, please check your signature generation algorithm."));
        }
        if !key.ip_allowed {
            return Err(Refusal(10_010, "Unmatched IP, please check your API key's bound IP addresses."));
        }
        Ok(key)
    }

    /// Rows of a kind, the newest first.
    fn rows(&self, key: &BybitKey, kind: Kind) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.rows.iter().filter(|row| row.owner == key.key && row.kind == kind).collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.time, row.number)));
        rows
    }

    fn window(
        &self,
        key: &BybitKey,
        kind: Kind,
        list: &str,
        days: i64,
        fields: &Map<String, Value>,
    ) -> Result<Value, Refusal> {
        let number = |name: &str| text(fields, name).parse::<i64>().ok();
        let end = number("endTime").unwrap_or_else(|| self.now());
        let start = number("startTime").unwrap_or(end - days * DAY);
        if end < start || end - start > days * DAY {
            return Err(Refusal(10_001, "The time range is too long."));
        }
        let start = if kind == Kind::Log { start.max(self.now() - 730 * DAY) } else { start };
        let limit = text(fields, "limit").parse().unwrap_or(20_usize).clamp(1, 50);
        let before = match text(fields, "cursor") {
            "" => None,
            cursor => Some(read_cursor(cursor).ok_or(Refusal(10_001, "The cursor is invalid."))?),
        };
        let rows: Vec<&Row> = self
            .rows(key, kind)
            .into_iter()
            .filter(|row| (start..=end).contains(&row.time))
            .filter(|row| before.is_none_or(|before| (row.time, row.number) < before))
            .take(limit)
            .collect();
        let next = rows.last().map(|row| cursor(row)).unwrap_or_default();
        let bodies: Vec<&Value> = rows.iter().map(|row| &row.body).collect();
        Ok(json!({ list: bodies, "nextPageCursor": next }))
    }

    fn conversions(&self, key: &BybitKey, fields: &Map<String, Value>) -> Value {
        let limit = text(fields, "limit").parse().unwrap_or(20_usize).clamp(1, 100);
        let page = text(fields, "index").parse().unwrap_or(1_usize).max(1);
        let rows = self.rows(key, Kind::Conversion);
        let bodies: Vec<&Value> = rows.iter().skip((page - 1) * limit).take(limit).map(|row| &row.body).collect();
        json!({ "list": bodies })
    }
}

/// A cursor with a percent sign in it, as the log's have.
fn cursor(row: &Row) -> String {
    format!("{}%3A{}", row.time, row.number)
}

fn read_cursor(cursor: &str) -> Option<(i64, u64)> {
    let (time, number) = cursor.split_once("%3A")?;
    Some((time.parse().ok()?, number.parse().ok()?))
}

fn key_info(key: &BybitKey) -> Value {
    let user: u64 = key.key.bytes().fold(17, |sum, byte| sum * 31 % 1_000_000_007 + u64::from(byte));
    json!({ "id": "1", "note": "sandbox", "apiKey": key.key, "readOnly": u8::from(key.read_only), "secret": "",
        "permissions": {
            "ContractTrade": ["Order", "Position"], "Spot": ["SpotTrade"], "Wallet": ["AccountTransfer"],
            "Options": ["OptionsTrade"], "Derivatives": ["DerivativesTrade"], "CopyTrading": [], "BlockTrade": [],
            "Exchange": ["ExchangeHistory"], "NFT": [],
        },
        "ips": ["*"], "type": 1, "deadlineDay": 60, "expiredAt": key.expires.unwrap_or("1970-01-01T00:00:00Z"),
        "createdAt": "2026-01-01T00:00:00Z", "unified": 0, "uta": u8::from(key.is_unified), "userID": user,
        "inviterID": 0, "vipLevel": "No VIP", "mktMakerLevel": "0", "affiliateID": 0, "isMaster": true })
}
