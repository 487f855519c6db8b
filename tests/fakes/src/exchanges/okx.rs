//! OKX's API, version 5.
//!
//! What it reproduces, and from where (okx.com/docs-v5):
//! - Private questions carry `OK-ACCESS-KEY`, `-PASSPHRASE`, `-TIMESTAMP` (ISO 8601 with milliseconds) and `-SIGN`, base64
//!   of HMAC-SHA256 over time, method and path with query. Success is code 0; refusals of keys are answered with 401: 50102
//!   for a time 30 seconds off, 50105 passphrase, 50110 address, 50112 a time that is none, 50113 signature, 50119 key.
//! - Deposits, withdrawals and conversions: the newest first, 100 rows at most, of those earlier than the time `after`.
//! - Bills: the newest first, 100 at most, of those before the bill `after`, and nothing older than three months.
//! - 429 has the code 50011 and does not say when to come back.

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
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::host::Host;
use crate::wire::{Throttle, form, header, json as json_answer, lock, text, unix_seconds};

const DAY: i64 = 86_400_000;

/// OKX's API, version 5.
#[derive(Clone, Debug)]
pub struct Okx {
    /// Stands for `https://www.okx.com`.
    pub host: Host,
    state: Shared,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    /// Milliseconds; the system's clock if not set.
    clock: Option<i64>,
    keys: HashMap<String, OkxKey>,
    rows: Vec<Row>,
    throttle: Throttle,
    refusal: Option<(StatusCode, String)>,
}

/// An API key.
#[derive(Clone, Debug)]
pub struct OkxKey {
    /// The public part.
    pub key: String,
    /// The private part.
    pub secret: String,
    /// The passphrase that was chosen with it.
    pub passphrase: String,
    /// What it may do, such as `read_only,trade`.
    pub permissions: &'static str,
    /// Whether it may be used from here.
    pub ip_allowed: bool,
}

impl OkxKey {
    /// A key that may read and nothing else.
    #[must_use]
    pub fn reading(key: &str, secret: &str, passphrase: &str) -> Self {
        Self {
            key: key.to_owned(),
            secret: secret.to_owned(),
            passphrase: passphrase.to_owned(),
            permissions: "read_only",
            ip_allowed: true,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Deposit,
    Withdrawal,
    Conversion,
    Bill,
}

#[derive(Clone, Debug)]
struct Row {
    owner: String,
    kind: Kind,
    time: i64,
    number: u64,
    body: Value,
}

impl Okx {
    /// Starts a server that knows no key.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Shared::default();
        let router =
            Router::new().route("/api/v5/public/time", get(time)).fallback(private).with_state(Arc::clone(&state));
        Ok(Self { host: Host::start(router).await?, state })
    }

    /// Stops the server's clock at this millisecond.
    pub fn set_clock(&self, milliseconds: i64) {
        lock(&self.state).clock = Some(milliseconds);
    }

    /// Adds or replaces a key, which is an account of its own.
    pub fn add_key(&self, key: OkxKey) {
        lock(&self.state).keys.insert(key.key.clone(), key);
    }

    /// Deletes a key.
    pub fn revoke(&self, key: &str) {
        lock(&self.state).keys.remove(key);
    }

    /// Refuses the next `count` requests with 429.
    pub fn throttle(&self, count: usize) {
        lock(&self.state).throttle.set(count, 0.0);
    }

    /// Answers the next private request with this status and code.
    pub fn refuse_next(&self, status: u16, code: &str) {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        lock(&self.state).refusal = Some((status, code.to_owned()));
    }

    /// Books a deposit; state 0 waits, 2 is done.
    pub fn deposit(&self, owner: &str, time: i64, coin: &str, amount: &str, state: &str) {
        self.book(owner, Kind::Deposit, time, |number| {
            json!({ "depId": number.to_string(), "ccy": coin, "chain": format!("{coin}-ERC20"), "amt": amount,
                "from": "", "areaCodeFrom": "", "to": "", "txId": format!("0x{number:064x}"), "ts": time.to_string(),
                "state": state, "fromWdId": "", "actualDepBlkConfirm": "12" })
        });
    }

    /// Lets every deposit be done.
    pub fn settle(&self, owner: &str) {
        let mut state = lock(&self.state);
        for row in state.rows.iter_mut().filter(|row| row.owner == owner && row.kind == Kind::Deposit) {
            if let Some(body) = row.body.as_object_mut() {
                body.insert("state".to_owned(), "2".into());
            }
        }
    }

    /// Books a withdrawal that is done.
    pub fn withdraw(&self, owner: &str, time: i64, coin: &str, amount: &str, fee: &str) {
        self.book(owner, Kind::Withdrawal, time, |number| {
            json!({ "wdId": number.to_string(), "clientId": "", "ccy": coin, "chain": coin, "amt": amount, "fee": fee,
                "feeCcy": coin, "from": "", "to": "", "txId": format!("{number:064x}"), "state": "2",
                "ts": time.to_string(), "nonTradableAsset": false, "note": "" })
        });
    }

    /// Books a conversion of a pair (base, quote); `side` is of the base.
    pub fn convert(&self, owner: &str, time: i64, base: (&str, &str), quote: (&str, &str), side: &str) {
        self.book(owner, Kind::Conversion, time, |number| {
            json!({ "tradeId": format!("trader{number}"), "clTReqId": "", "state": "fullyFilled",
                "instId": format!("{}-{}", base.0, quote.0), "baseCcy": base.0, "quoteCcy": quote.0, "side": side,
                "fillPx": "1", "fillBaseSz": base.1, "fillQuoteSz": quote.1, "ts": time.to_string() })
        });
    }

    /// Books a spot trade: of each of its two coins what came or went, without the fee, and the fee, below nothing if it
    /// was paid.
    pub fn trade(&self, owner: &str, time: i64, instrument: &str, paid: (&str, &str, &str), got: (&str, &str, &str)) {
        let number = lock(&self.state).rows.len().to_string();
        for (coin, amount, fee) in [paid, got] {
            let sum = |text: &str| text.parse::<f64>().unwrap_or_default();
            let change = format!("{:.8}", sum(amount) + sum(fee));
            self.enter(owner, time, "2", (coin, &change, fee), (instrument, &number));
        }
    }

    /// Books any other bill of the trading account: its type, coin, change and fee.
    pub fn bill(&self, owner: &str, time: i64, kind: &str, sums: (&str, &str, &str)) {
        self.enter(owner, time, kind, sums, ("", ""));
    }

    fn enter(&self, owner: &str, time: i64, kind: &str, sums: (&str, &str, &str), ids: (&str, &str)) {
        self.book(owner, Kind::Bill, time, |number| {
            json!({ "billId": number.to_string(), "type": kind, "subType": "1", "ts": time.to_string(), "ccy": sums.0,
                "balChg": sums.1, "fee": sums.2, "bal": "0", "posBal": "0", "posBalChg": "0", "sz": "0", "px": "1",
                "pnl": "0", "instType": "SPOT", "instId": ids.0, "ordId": ids.1, "tradeId": ids.1, "mgnMode": "cash",
                "execType": "T", "from": "", "to": "", "notes": "", "interest": "0", "tag": "", "clOrdId": "",
                "fillTime": time.to_string() })
        });
    }

    fn book(&self, owner: &str, kind: Kind, time: i64, body: impl FnOnce(u64) -> Value) {
        let mut state = lock(&self.state);
        let number = state.rows.len() as u64 + 1;
        state.rows.push(Row { owner: owner.to_owned(), kind, time, number, body: body(number) });
    }
}

struct Refusal(StatusCode, String, &'static str);

fn unauthorized(code: &str, message: &'static str) -> Refusal {
    Refusal(StatusCode::UNAUTHORIZED, code.to_owned(), message)
}

async fn time(Extracted(state): Extracted<Shared>) -> Response {
    let ts = lock(&state).now().to_string();
    json_answer(StatusCode::OK, &json!({ "code": "0", "msg": "", "data": [{ "ts": ts }] }))
}

async fn private(Extracted(state): Extracted<Shared>, OriginalUri(uri): OriginalUri, headers: HeaderMap) -> Response {
    let mut state = lock(&state);
    if state.throttle.take().is_some() {
        let body = json!({ "msg": "Too Many Requests", "code": "50011" });
        return json_answer(StatusCode::TOO_MANY_REQUESTS, &body);
    }
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    match state.answer(uri.path(), uri.query().unwrap_or_default(), target, &headers) {
        Ok(data) => json_answer(StatusCode::OK, &json!({ "code": "0", "msg": "", "data": data })),
        Err(Refusal(status, code, message)) => json_answer(status, &json!({ "msg": message, "code": code })),
    }
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
        if path == "/api/v5/account/config" {
            let uid: u64 = key.key.bytes().fold(17, |sum, byte| sum * 31 % 1_000_000_007 + u64::from(byte));
            return Ok(json!([{ "uid": uid.to_string(), "mainUid": uid.to_string(), "acctLv": "2", "label": "sandbox",
                "perm": key.permissions, "ip": "", "kycLv": "3", "roleType": "0", "posMode": "net_mode" }]));
        }
        if !key.permissions.contains("read_only") {
            return Err(unauthorized("50120", "This API key doesn't have permission to use this function."));
        }
        let fields = form(query.as_bytes());
        match path {
            "/api/v5/asset/deposit-history" => Ok(self.rows(&key, Kind::Deposit, &fields)),
            "/api/v5/asset/withdrawal-history" => Ok(self.rows(&key, Kind::Withdrawal, &fields)),
            "/api/v5/asset/convert/history" => Ok(self.rows(&key, Kind::Conversion, &fields)),
            "/api/v5/account/bills-archive" => Ok(self.rows(&key, Kind::Bill, &fields)),
            _ => Err(Refusal(StatusCode::NOT_FOUND, "404".to_owned(), "Not Found")),
        }
    }

    fn key(&self, target: &str, headers: &HeaderMap) -> Result<OkxKey, Refusal> {
        let given = |name| header(headers, name).unwrap_or_default();
        let timestamp = given("ok-access-timestamp");
        let sent = timestamp.parse::<Timestamp>().ok().filter(|_| timestamp.len() == 24);
        let sent = sent.ok_or_else(|| unauthorized("50112", "Invalid OK-ACCESS-TIMESTAMP"))?.as_millisecond();
        if (self.now() - sent).abs() > 30_000 {
            return Err(unauthorized("50102", "Timestamp request expired"));
        }
        let key = self.keys.get(given("ok-access-key")).cloned();
        let key = key.ok_or_else(|| unauthorized("50119", "API key doesn't exist"))?;
        let secret = hmac::Key::new(hmac::HMAC_SHA256, key.secret.as_bytes());
        let tag = STANDARD.decode(given("ok-access-sign")).unwrap_or_default();
        if hmac::verify(&secret, format!("{timestamp}GET{target}").as_bytes(), &tag).is_err() {
            return Err(unauthorized("50113", "Invalid Sign"));
        }
        if given("ok-access-passphrase") != key.passphrase {
            return Err(unauthorized("50105", "Request header OK-ACCESS-PASSPHRASE incorrect."));
        }
        if !key.ip_allowed {
            return Err(unauthorized("50110", "Your IP 203.0.113.7 is not included in your API key's IP whitelist."));
        }
        Ok(key)
    }

    /// Rows of a kind, the newest first: bills by number, the others by time.
    fn rows(&self, key: &OkxKey, kind: Kind, fields: &Map<String, Value>) -> Value {
        let limit = text(fields, "limit").parse().unwrap_or(100_usize).clamp(1, 100);
        let after: Option<i64> = text(fields, "after").parse().ok();
        let is_bill = kind == Kind::Bill;
        let place = |row: &Row| if is_bill { i64::try_from(row.number).unwrap_or(i64::MAX) } else { row.time };
        let own = self.rows.iter().filter(|row| row.owner == key.key && row.kind == kind);
        let mut rows: Vec<&Row> = own
            .filter(|row| after.is_none_or(|after| place(row) < after))
            .filter(|row| !is_bill || row.time >= self.now() - 90 * DAY)
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse((place(row), row.number)));
        rows.into_iter().take(limit).map(|row| row.body.clone()).collect()
    }
}
