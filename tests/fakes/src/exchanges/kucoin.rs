//! KuCoin's spot API.
//!
//! What it reproduces, and from where (kucoin.com/docs-new):
//! - Private questions carry `KC-API-KEY`, `-TIMESTAMP`, `-KEY-VERSION`, `-SIGN` (base64 of HMAC-SHA256 over time, method
//!   and path with query) and `-PASSPHRASE` (the same over the passphrase). A time five seconds off is 400002, an unknown
//!   key 400003, a wrong passphrase 400004, a wrong signature 400005, another address 400006, too little permission
//!   400007. Success is code 200000.
//! - Deposits, withdrawals and the ledger: newest first, `currentPage` and `pageSize` with `totalPage`. A ledger's window
//!   of more than 24 hours is refused with 400100, and what is older than a year is left out.
//! - The ledger of the present trading account: newest first, `lastId`, and nothing that is older than three days.
//! - Every private answer says what is left of the budget; 429 has the code 429000. That refusals of keys are answered
//!   with 401 rests on reports.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use axum::Router;
use axum::extract::{OriginalUri, State as Extracted};
use axum::response::Response;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use crate::host::Host;
use crate::wire::{Throttle, form, header, json as json_answer, lock, text, unix_seconds, with_headers};

const DAY: i64 = 86_400_000;

/// KuCoin's spot API.
#[derive(Clone, Debug)]
pub struct Kucoin {
    /// Stands for `https://api.kucoin.com`.
    pub host: Host,
    state: Shared,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    /// Milliseconds; the system's clock if not set.
    clock: Option<i64>,
    keys: HashMap<String, KucoinKey>,
    rows: Vec<Row>,
    throttle: Throttle,
    refusal: Option<(StatusCode, String)>,
    remaining: Option<u32>,
}

/// An API key.
#[derive(Clone, Debug)]
pub struct KucoinKey {
    /// The public part.
    pub key: String,
    /// The private part.
    pub secret: String,
    /// The passphrase that was chosen with it.
    pub passphrase: String,
    /// What it may do, such as `General,Spot`.
    pub permission: &'static str,
    /// Whether it may be used from here.
    pub ip_allowed: bool,
}

impl KucoinKey {
    /// A key that may read and nothing else.
    #[must_use]
    pub fn reading(key: &str, secret: &str, passphrase: &str) -> Self {
        Self {
            key: key.to_owned(),
            secret: secret.to_owned(),
            passphrase: passphrase.to_owned(),
            permission: "General",
            ip_allowed: true,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Deposit,
    Withdrawal,
    Ledger,
    Recent,
}

#[derive(Clone, Debug)]
struct Row {
    owner: String,
    kind: Kind,
    time: i64,
    number: u64,
    body: Value,
}

impl Kucoin {
    /// Starts a server that knows no key.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Shared::default();
        let router =
            Router::new().route("/api/v1/timestamp", get(timestamp)).fallback(private).with_state(Arc::clone(&state));
        Ok(Self { host: Host::start(router).await?, state })
    }

    /// Stops the server's clock at this millisecond.
    pub fn set_clock(&self, milliseconds: i64) {
        lock(&self.state).clock = Some(milliseconds);
    }

    /// Adds or replaces a key, which is an account of its own.
    pub fn add_key(&self, key: KucoinKey) {
        lock(&self.state).keys.insert(key.key.clone(), key);
    }

    /// Deletes a key.
    pub fn revoke(&self, key: &str) {
        lock(&self.state).keys.remove(key);
    }

    /// Refuses the next `count` requests with 429, asking to wait `seconds`.
    pub fn throttle(&self, count: usize, seconds: f64) {
        lock(&self.state).throttle.set(count, seconds);
    }

    /// Answers the next private request with this status and code.
    pub fn refuse_next(&self, status: u16, code: &str) {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        lock(&self.state).refusal = Some((status, code.to_owned()));
    }

    /// Says in every answer that so much of the budget is left.
    pub fn set_remaining(&self, remaining: u32) {
        lock(&self.state).remaining = Some(remaining);
    }

    /// Books a deposit; its status is `PROCESSING`, `SUCCESS` or `FAILURE`.
    pub fn deposit(&self, owner: &str, time: i64, currency: &str, amount: &str, status: &str) {
        self.book(owner, Kind::Deposit, time, |number| {
            json!({ "currency": currency, "chain": "eth", "status": status, "address": "", "memo": "", "isInner": false,
                "amount": amount, "fee": "0.0001", "walletTxId": format!("0x{number:064x}@0"), "createdAt": time,
                "updatedAt": time, "remark": "Deposit", "arrears": false })
        });
        self.enter(owner, Kind::Ledger, time, ("Deposit", "in"), (currency, amount, "0"), &Value::Null);
    }

    /// Lets every deposit be done.
    pub fn settle(&self, owner: &str) {
        let mut state = lock(&self.state);
        for row in state.rows.iter_mut().filter(|row| row.owner == owner && row.kind == Kind::Deposit) {
            if let Some(body) = row.body.as_object_mut() {
                body.insert("status".to_owned(), "SUCCESS".into());
            }
        }
    }

    /// Books a withdrawal that is done.
    pub fn withdraw(&self, owner: &str, time: i64, currency: &str, amount: &str, fee: &str) {
        self.book(owner, Kind::Withdrawal, time, |number| {
            json!({ "id": format!("{number:024x}"), "currency": currency, "chain": "sol", "status": "SUCCESS",
                "address": "", "memo": "", "isInner": false, "amount": amount, "fee": fee,
                "walletTxId": format!("{number:064x}"), "createdAt": time, "updatedAt": time, "remark": "" })
        });
        self.enter(owner, Kind::Ledger, time, ("Withdrawal", "out"), (currency, amount, fee), &Value::Null);
    }

    /// Books a reward in the main account.
    pub fn reward(&self, owner: &str, time: i64, currency: &str, amount: &str) {
        self.enter(owner, Kind::Ledger, time, ("Rewards", "in"), (currency, amount, "0"), &Value::Null);
    }

    /// Books a trade in the old trading account: what was paid, with a fee in the same asset, and what it brought.
    pub fn old_trade(&self, owner: &str, time: i64, symbol: &str, paid: (&str, &str, &str), got: (&str, &str)) {
        self.exchange(owner, Kind::Ledger, time, symbol, paid, got);
    }

    /// Books a trade in the present trading account.
    pub fn trade(&self, owner: &str, time: i64, symbol: &str, paid: (&str, &str, &str), got: (&str, &str)) {
        self.exchange(owner, Kind::Recent, time, symbol, paid, got);
    }

    /// Books a transfer from the main account to the present trading account, in the ledger of the latter.
    pub fn transfer(&self, owner: &str, time: i64, currency: &str, amount: &str) {
        self.enter(owner, Kind::Recent, time, ("TRANSFER", "in"), (currency, amount, "0"), &Value::Null);
    }

    fn exchange(&self, owner: &str, kind: Kind, time: i64, symbol: &str, paid: (&str, &str, &str), got: (&str, &str)) {
        let number = lock(&self.state).rows.len();
        let context =
            json!({ "symbol": symbol, "orderId": format!("{number:024x}"), "tradeId": format!("{number:016}") });
        self.enter(owner, kind, time, ("TRADE_EXCHANGE", "out"), paid, &context);
        self.enter(owner, kind, time, ("TRADE_EXCHANGE", "in"), (got.0, got.1, "0"), &context);
    }

    /// Makes an entry in a ledger. What is told there is the change, of which the fee is a part.
    fn enter(&self, owner: &str, kind: Kind, time: i64, what: (&str, &str), sum: (&str, &str, &str), context: &Value) {
        let (amount, fee): (f64, f64) = (sum.1.parse().unwrap_or_default(), sum.2.parse().unwrap_or_default());
        let amount = if what.1 == "out" { amount + fee } else { amount - fee };
        self.book(owner, kind, time, |number| {
            let is_recent = kind == Kind::Recent;
            json!({ "id": if is_recent { number.to_string() } else { format!("{number:024x}") }, "currency": sum.0,
                "amount": format!("{amount:.8}"), "fee": sum.2, "tax": "0", "balance": "0",
                "accountType": if is_recent { "TRADE_HF" } else { "MAIN" }, "bizType": what.0, "direction": what.1,
                "createdAt": if is_recent { Value::from(time.to_string()) } else { time.into() },
                "context": if context.is_null() { String::new() } else { context.to_string() } })
        });
    }

    fn book(&self, owner: &str, kind: Kind, time: i64, body: impl FnOnce(u64) -> Value) {
        let mut state = lock(&self.state);
        let number = state.rows.len() as u64 + 1;
        state.rows.push(Row { owner: owner.to_owned(), kind, time, number, body: body(number) });
    }
}

struct Refusal(StatusCode, String, &'static str);

fn refusal(status: StatusCode, code: &str, message: &'static str) -> Refusal {
    Refusal(status, code.to_owned(), message)
}

async fn timestamp(Extracted(state): Extracted<Shared>) -> Response {
    json_answer(StatusCode::OK, &json!({ "code": "200000", "data": lock(&state).now() }))
}

async fn private(Extracted(state): Extracted<Shared>, OriginalUri(uri): OriginalUri, headers: HeaderMap) -> Response {
    let mut state = lock(&state);
    if let Some(seconds) = state.throttle.take() {
        let body =
            json!({ "code": "429000", "msg": "Too many requests in a short period of time, please retry later" });
        let refused = json_answer(StatusCode::TOO_MANY_REQUESTS, &body);
        let reset = format!("{:.0}", seconds * 1_000.0);
        return with_headers(refused, [("gw-ratelimit-remaining", "0".to_owned()), ("gw-ratelimit-reset", reset)]);
    }
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    let answer = match state.answer(uri.path(), uri.query().unwrap_or_default(), target, &headers) {
        Ok(data) => json_answer(StatusCode::OK, &json!({ "code": "200000", "data": data })),
        Err(Refusal(status, code, message)) => json_answer(status, &json!({ "code": code, "msg": message })),
    };
    let remaining = state.remaining.unwrap_or(1_900).to_string();
    let limits = [("gw-ratelimit-limit", "2000".to_owned()), ("gw-ratelimit-remaining", remaining)];
    with_headers(with_headers(answer, limits), [("gw-ratelimit-reset", "30000".to_owned())])
}

impl State {
    fn now(&self) -> i64 {
        self.clock.unwrap_or_else(|| i64::try_from(unix_seconds() * 1_000).unwrap_or_default())
    }

    fn answer(&mut self, path: &str, query: &str, target: &str, headers: &HeaderMap) -> Result<Value, Refusal> {
        if let Some((status, code)) = self.refusal.take() {
            return Err(Refusal(status, code, "Refused."));
        }
        let key = self.key(target, headers)?;
        if path == "/api/v1/user/api-key" {
            let uid: u64 = key.key.bytes().fold(17, |sum, byte| sum * 31 % 1_000_000_007 + u64::from(byte));
            return Ok(json!({ "remark": "sandbox", "apiKey": key.key, "apiVersion": 3, "permission": key.permission,
                "ipWhitelist": "", "createdAt": 1_700_000_000_000_i64, "uid": uid, "isMaster": true }));
        }
        if !key.permission.contains("General") {
            return Err(refusal(StatusCode::FORBIDDEN, "400007", "Access denied, requires more permission."));
        }
        let fields = form(query.as_bytes());
        match path {
            "/api/v1/deposits" => Ok(self.paged(&key, Kind::Deposit, &fields)),
            "/api/v1/withdrawals" => Ok(self.paged(&key, Kind::Withdrawal, &fields)),
            "/api/v1/accounts/ledgers" => {
                let (start, end) = self.span(&fields, 365);
                if end - start > DAY {
                    return Err(refusal(StatusCode::OK, "400100", "not in the given range!"));
                }
                Ok(self.paged(&key, Kind::Ledger, &fields))
            }
            "/api/v1/hf/accounts/ledgers" => Ok(self.recent(&key, &fields)),
            _ => Err(refusal(StatusCode::NOT_FOUND, "404000", "Url Not Found")),
        }
    }

    fn key(&self, target: &str, headers: &HeaderMap) -> Result<KucoinKey, Refusal> {
        let refused = |code, message| refusal(StatusCode::UNAUTHORIZED, code, message);
        let given = |name| header(headers, name).unwrap_or_default();
        let timestamp = given("kc-api-timestamp");
        if timestamp.is_empty() || given("kc-api-sign").is_empty() || given("kc-api-passphrase").is_empty() {
            return Err(refused("400001", "Please check the header of your request."));
        }
        let sent: i64 = timestamp.parse().unwrap_or_default();
        if (self.now() - sent).abs() > 5_000 {
            return Err(refused("400002", "Invalid KC-API-TIMESTAMP."));
        }
        let key = self.keys.get(given("kc-api-key")).cloned();
        let key = key.ok_or_else(|| refused("400003", "KC-API-KEY does not exist."))?;
        if !matches!(given("kc-api-key-version"), "2" | "3") {
            return Err(refused("400009", "Invalid KC-API-KEY-VERSION."));
        }
        // Which of the two is wrong cannot be told where the secret is.
        if !is_signed(&key, &format!("{timestamp}GET{target}"), given("kc-api-sign")) {
            return Err(refused("400005", "Invalid KC-API-SIGN."));
        }
        if !is_signed(&key, &key.passphrase, given("kc-api-passphrase")) {
            return Err(refused("400004", "Invalid KC-API-PASSPHRASE."));
        }
        if !key.ip_allowed {
            return Err(refused("400006", "Invalid request IP, the current client IP is: 203.0.113.7."));
        }
        Ok(key)
    }

    /// The window that is asked for, cut to the last `days`.
    fn span(&self, fields: &Map<String, Value>, days: i64) -> (i64, i64) {
        let number = |name: &str| text(fields, name).parse::<i64>().ok();
        let end = number("endAt").unwrap_or_else(|| self.now());
        let start = number("startAt").unwrap_or(end - DAY);
        (start.max(self.now() - days * DAY), end)
    }

    /// Rows of a kind in a window, the newest first.
    fn rows(&self, key: &KucoinKey, kind: Kind, (start, end): (i64, i64)) -> Vec<&Row> {
        let own = self.rows.iter().filter(|row| row.owner == key.key && row.kind == kind);
        let mut rows: Vec<&Row> = own.filter(|row| (start..=end).contains(&row.time)).collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.time, row.number)));
        rows
    }

    fn paged(&self, key: &KucoinKey, kind: Kind, fields: &Map<String, Value>) -> Value {
        let rows = self.rows(key, kind, self.span(fields, if kind == Kind::Ledger { 365 } else { 10_000 }));
        let size = text(fields, "pageSize").parse().unwrap_or(50_usize).clamp(10, 500);
        let page = text(fields, "currentPage").parse().unwrap_or(1_usize).max(1);
        let items: Vec<&Value> = rows.iter().skip((page - 1) * size).take(size).map(|row| &row.body).collect();
        json!({ "currentPage": page, "pageSize": size, "totalNum": rows.len(), "totalPage": rows.len().div_ceil(size),
            "items": items })
    }

    fn recent(&self, key: &KucoinKey, fields: &Map<String, Value>) -> Value {
        let rows = self.rows(key, Kind::Recent, self.span(fields, 3));
        let limit = text(fields, "limit").parse().unwrap_or(100_usize).min(200);
        let before: u64 = text(fields, "lastId").parse().unwrap_or(u64::MAX);
        rows.into_iter().filter(|row| row.number < before).take(limit).map(|row| row.body.clone()).collect()
    }
}

fn is_signed(key: &KucoinKey, message: &str, given: &str) -> bool {
    let Ok(given) = STANDARD.decode(given) else { return false };
    let secret = hmac::Key::new(hmac::HMAC_SHA256, key.secret.as_bytes());
    hmac::verify(&secret, message.as_bytes(), &given).is_ok()
}
