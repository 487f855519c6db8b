//! Gemini's API, the part that reads an account.
//!
//! What it reproduces, and from where (developer.gemini.com: "Private API invocation", "Roles", "Error codes", "Rate limit",
//! and Gemini's OpenAPI document; refusals of nonces as clients report them):
//! - Private methods are `POST` without a body. `X-GEMINI-PAYLOAD` is base64 of JSON that holds the path as `request` and a
//!   `nonce`; `X-GEMINI-SIGNATURE` is HMAC-SHA384 of the former, in hexadecimal.
//! - A key's nonce must rise, or, where the key says so, be seconds within thirty of the server's clock.
//! - `mytrades` and `transfers` give the oldest rows since `timestamp`, the newest of them first; 500 and 50 at most. One
//!   includes the rows of that very time, the other does not.
//! - Transfers may be asked for once in five seconds; this is kept only where the clock was set, because a real one does
//!   not wait for tests.
//! - Refusals are `{"result": "error", "reason", "message"}`, and 429 says nothing of how long to wait.

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
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::host::Host;
use crate::wire::{Throttle, header, json as json_answer, lock, text, unix_seconds, with_headers};

/// Gemini's API.
#[derive(Clone, Debug)]
pub struct Gemini {
    /// Stands for `https://api.gemini.com`.
    pub host: Host,
    state: Shared,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    /// Milliseconds; the system's clock if not set.
    clock: Option<i64>,
    keys: HashMap<String, GeminiKey>,
    last_nonces: HashMap<String, u64>,
    transfers_asked: HashMap<String, i64>,
    rows: Vec<Row>,
    throttle: Throttle,
}

/// An API key.
#[derive(Clone, Debug)]
pub struct GeminiKey {
    /// The public part.
    pub key: String,
    /// The private part.
    pub secret: String,
    /// Some of `Auditor`, `Trader`, `FundManager`.
    pub roles: Vec<&'static str>,
    /// Whether its nonces are seconds near the server's clock.
    pub is_time_based: bool,
    /// Whether it may be used from other addresses only.
    pub is_restricted: bool,
    /// The accounts that a master key reaches; none for a key of one account.
    pub accounts: Vec<&'static str>,
}

impl GeminiKey {
    /// A key of one account that may read and nothing else.
    #[must_use]
    pub fn reading(key: &str, secret: &str) -> Self {
        Self {
            key: key.to_owned(),
            secret: secret.to_owned(),
            roles: vec!["Auditor"],
            is_time_based: false,
            is_restricted: false,
            accounts: Vec::new(),
        }
    }
}

#[derive(Debug)]
struct Row {
    owner: String,
    is_trade: bool,
    id: u64,
    /// Milliseconds.
    time: i64,
    body: Value,
}

struct Refusal(StatusCode, &'static str, String);

impl Refusal {
    fn new(status: StatusCode, reason: &'static str) -> Self {
        Self(status, reason, reason.to_owned())
    }
}

impl Gemini {
    /// Starts a server that knows no key.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Shared::default();
        let router = Router::new().route("/v1/symbols", get(symbols)).fallback(private).with_state(Arc::clone(&state));
        Ok(Self { host: Host::start(router).await?, state })
    }

    /// Stops the server's clock at this millisecond.
    pub fn set_clock(&self, milliseconds: i64) {
        lock(&self.state).clock = Some(milliseconds);
    }

    /// Adds or replaces a key, which is an account of its own.
    pub fn add_key(&self, key: GeminiKey) {
        lock(&self.state).keys.insert(key.key.clone(), key);
    }

    /// Deletes a key.
    pub fn revoke(&self, key: &str) {
        lock(&self.state).keys.remove(key);
    }

    /// Behaves as if another program had used a key with this nonce.
    pub fn see_nonce(&self, key: &str, nonce: u64) {
        lock(&self.state).last_nonces.insert(key.to_owned(), nonce);
    }

    /// Refuses the next `count` requests because there were too many.
    pub fn throttle(&self, count: usize) {
        lock(&self.state).throttle.set(count, 0.0);
    }

    /// Books a trade of `side` `Buy` or `Sell`: how much at which price, and the fee with its coin.
    pub fn trade(&self, owner: &str, time: i64, symbol: &str, side: &str, deal: (&str, &str), fee: (&str, &str)) {
        self.book(owner, true, time, |id| {
            json!({ "price": deal.1, "amount": deal.0, "timestamp": time / 1_000, "timestampms": time, "type": side,
                "aggressor": true, "fee_currency": fee.1, "fee_amount": fee.0, "tid": id, "order_id": id.to_string(),
                "exchange": "gemini", "is_auction_fill": false, "is_clearing_fill": false, "symbol": symbol })
        });
    }

    /// Books a transfer, such as a `Deposit`, of so much of a coin, with a status such as `Complete`. Gives its id.
    pub fn transfer(&self, owner: &str, time: i64, kind: &str, amount: (&str, &str), status: &str) -> String {
        let id = self.book(owner, false, time, |id| {
            json!({ "type": kind, "status": status, "timestampms": time, "eid": id, "currency": amount.1,
                "amount": amount.0, "feeAmount": "0", "feeCurrency": amount.1, "network": "ethereum",
                "txHash": format!("{id:064x}") })
        });
        id.to_string()
    }

    /// Completes a transfer.
    pub fn settle(&self, id: &str) {
        let mut state = lock(&self.state);
        let found = state.rows.iter_mut().find(|row| !row.is_trade && row.id.to_string() == id);
        if let Some(body) = found.and_then(|row| row.body.as_object_mut()) {
            body.insert("status".to_owned(), "Complete".into());
        }
    }

    fn book(&self, owner: &str, is_trade: bool, time: i64, body: impl FnOnce(u64) -> Value) -> u64 {
        let mut state = lock(&self.state);
        let id = state.rows.len() as u64 + 1;
        state.rows.push(Row { owner: owner.to_owned(), is_trade, id, time, body: body(id) });
        id
    }
}

async fn symbols(Extracted(state): Extracted<Shared>) -> Response {
    let now = lock(&state).now();
    dated(json_answer(StatusCode::OK, &json!(["btcusd", "ethbtc"])), now)
}

async fn private(
    Extracted(state): Extracted<Shared>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut state = lock(&state);
    let answer = match state.answer(&method, uri.path(), &headers, &body) {
        Ok(answer) => json_answer(StatusCode::OK, &answer),
        Err(Refusal(status, reason, message)) => {
            json_answer(status, &json!({ "result": "error", "reason": reason, "message": message }))
        }
    };
    dated(answer, state.now())
}

fn dated(answer: Response, now: i64) -> Response {
    let now = Timestamp::from_millisecond(now).unwrap_or_default();
    with_headers(answer, [("date", now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())])
}

impl State {
    fn now(&self) -> i64 {
        self.clock.unwrap_or_else(|| i64::try_from(unix_seconds() * 1_000).unwrap_or_default())
    }

    fn answer(&mut self, method: &Method, path: &str, headers: &HeaderMap, body: &[u8]) -> Result<Value, Refusal> {
        let bad = |reason| Refusal::new(StatusCode::BAD_REQUEST, reason);
        if self.throttle.take().is_some() {
            return Err(too_many());
        }
        if method != Method::POST || !body.is_empty() || header(headers, "content-length") != Some("0") {
            return Err(bad("EndpointNotFound"));
        }
        let name = header(headers, "x-gemini-apikey").ok_or_else(|| bad("MissingApikeyHeader"))?;
        let encoded = header(headers, "x-gemini-payload").ok_or_else(|| bad("MissingPayloadHeader"))?;
        let key = self.keys.get(name).cloned().ok_or_else(|| bad("InvalidApiKey"))?;
        if !is_signed(&key, encoded, headers) {
            return Err(bad("InvalidSignature"));
        }
        if key.is_restricted {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "ApiKeyIpFilteringFailure"));
        }
        let payload: Map<String, Value> = STANDARD
            .decode(encoded)
            .ok()
            .and_then(|payload| serde_json::from_slice(&payload).ok())
            .ok_or_else(|| bad("InvalidJson"))?;
        if text(&payload, "request") != path {
            return Err(bad("EndpointMismatch"));
        }
        self.see(&key, payload.get("nonce").and_then(Value::as_u64).ok_or_else(|| bad("MissingNonce"))?)?;
        if path == "/v1/roles" {
            let has = |role| key.roles.contains(&role);
            return Ok(json!({ "isAuditor": has("Auditor"), "isFundManager": has("FundManager"),
                "isTrader": has("Trader") }));
        }
        if !key.accounts.is_empty() {
            match text(&payload, "account") {
                "" => return Err(bad("MissingAccounts")),
                account if !key.accounts.contains(&account) => return Err(bad("AccountNotOnGroup")),
                _ => {}
            }
        }
        let may = |roles: &[&str]| {
            let missing = || Refusal::new(StatusCode::FORBIDDEN, "MissingRole");
            if key.roles.iter().any(|role| roles.contains(role)) { Ok(()) } else { Err(missing()) }
        };
        match path {
            "/v1/account" => {
                may(&["Auditor", "Trader", "FundManager"])?;
                Ok(json!({ "account": { "accountName": "Primary", "shortName": "primary", "type": "exchange",
                    "created": "1498245007981" }, "users": [], "memo_reference_code": format!("GEM{}", key.key) }))
            }
            "/v1/mytrades" => {
                may(&["Auditor", "Trader"])?;
                Ok(self.list(&key, &payload, true))
            }
            "/v2/transfers" => {
                may(&["Auditor", "Trader", "FundManager"])?;
                if let Some(now) = self.clock
                    && let Some(last) = self.transfers_asked.insert(key.key.clone(), now)
                    && now - last < 5_000
                {
                    return Err(too_many());
                }
                Ok(self.list(&key, &payload, false))
            }
            _ => Err(Refusal::new(StatusCode::NOT_FOUND, "EndpointNotFound")),
        }
    }

    /// Takes a nonce, or says what is wrong with it.
    fn see(&mut self, key: &GeminiKey, nonce: u64) -> Result<(), Refusal> {
        let wrong = |message| Refusal(StatusCode::BAD_REQUEST, "InvalidNonce", message);
        let now = u64::try_from(self.now() / 1_000).unwrap_or_default();
        if key.is_time_based && nonce.abs_diff(now) > 30 {
            return Err(wrong(format!("Nonce '{nonce}' is not within 30 seconds of server time '{now}''")));
        }
        let last = self.last_nonces.entry(key.key.clone()).or_default();
        if nonce <= *last {
            return Err(wrong(format!("Nonce '{nonce}' has not increased since your last call to the Gemini API.")));
        }
        *last = nonce;
        Ok(())
    }

    fn list(&self, key: &GeminiKey, payload: &Map<String, Value>, is_trade: bool) -> Value {
        let number = |name: &str| payload.get(name).and_then(Value::as_i64);
        let since = number("timestamp").unwrap_or_default();
        let since = if is_trade { since } else { since.saturating_add(1) };
        let (limit, usual, most) =
            if is_trade { (number("limit_trades"), 50, 500) } else { (number("limit_transfers"), 10, 50) };
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usual).min(most);
        let own = self.rows.iter().filter(|row| row.owner == key.key && row.is_trade == is_trade && row.time >= since);
        let mut rows: Vec<&Row> = own.collect();
        rows.sort_by_key(|row| (row.time, row.id));
        rows.truncate(limit);
        rows.into_iter().rev().map(|row| row.body.clone()).collect()
    }
}

fn too_many() -> Refusal {
    Refusal(StatusCode::TOO_MANY_REQUESTS, "RateLimit", "Requests were made too frequently".to_owned())
}

fn is_signed(key: &GeminiKey, payload: &str, headers: &HeaderMap) -> bool {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA384, key.secret.as_bytes()), payload.as_bytes());
    let expected: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    header(headers, "x-gemini-signature") == Some(&expected)
}
