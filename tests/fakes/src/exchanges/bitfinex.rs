//! Bitfinex's API, second version, the part that reads an account.
//!
//! What it reproduces, and from where (docs.bitfinex.com: "Authenticated endpoints", "Trades", "Movements", "Ledgers", "Key
//! permissions", "User info"; error texts as clients report them):
//! - Methods are `POST` with a body of JSON. `bfx-signature` is HMAC-SHA384 in hexadecimal over `/api`, the path, the nonce
//!   and the body. A key's `bfx-nonce` must rise and fit into 53 bits.
//! - Rows are arrays without names. Lists give the newest first, `limit` of them (25 unless asked, at most 2500; 1000
//!   movements), of those between `start` and `end`, both included. Movements go by when they last changed. The ledger can
//!   be asked for one `category`, which its rows do not tell.
//! - Refusals are `["error", code, text]` with status 500. An unknown key and one that may not do what it asks are both
//!   `apikey: invalid`; too many requests are 429 with an object.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use axum::Router;
use axum::extract::{OriginalUri, State as Extracted};
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use crate::host::Host;
use crate::wire::{Encoding, Throttle, encoding, header, json as json_answer, lock};

/// Nonces are whole numbers that JavaScript can tell apart.
const HIGHEST_NONCE: u64 = 9_007_199_254_740_991;

/// Bitfinex's API.
#[derive(Clone, Debug)]
pub struct Bitfinex {
    /// Stands for `https://api.bitfinex.com`.
    pub host: Host,
    state: Shared,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    keys: HashMap<String, BitfinexKey>,
    last_nonces: HashMap<String, u64>,
    rows: Vec<Row>,
    refusal: Option<Refusal>,
    throttle: Throttle,
}

/// An API key.
#[derive(Clone, Debug)]
pub struct BitfinexKey {
    /// The public part.
    pub key: String,
    /// The private part.
    pub secret: String,
    /// Its scopes, and whether it may read and write each.
    pub scopes: Vec<(&'static str, bool, bool)>,
}

impl BitfinexKey {
    /// A key that may read the account, its history and its wallets, and nothing else.
    #[must_use]
    pub fn reading(key: &str, secret: &str) -> Self {
        let scopes = ["account", "history", "wallets"].map(|scope| (scope, true, false)).to_vec();
        Self { key: key.to_owned(), secret: secret.to_owned(), scopes }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Trade,
    Movement,
    Ledger(u64),
}

#[derive(Debug)]
struct Row {
    owner: String,
    kind: Kind,
    id: u64,
    /// Milliseconds: what lists go by.
    time: i64,
    columns: Value,
}

#[derive(Clone, Debug)]
struct Refusal(i64, String);

impl Refusal {
    fn new(code: i64, text: &str) -> Self {
        Self(code, text.to_owned())
    }
}

impl Bitfinex {
    /// Starts a server that knows no key.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Shared::default();
        let router = Router::new().route("/v2/auth/r/{*method}", post(private)).with_state(Arc::clone(&state));
        Ok(Self { host: Host::start(router).await?, state })
    }

    /// Adds or replaces a key, which is an account of its own.
    pub fn add_key(&self, key: BitfinexKey) {
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

    /// Refuses the next request with this.
    pub fn refuse_next(&self, code: i64, text: &str) {
        lock(&self.state).refusal = Some(Refusal::new(code, text));
    }

    /// Refuses the next `count` requests because there were too many.
    pub fn throttle(&self, count: usize) {
        lock(&self.state).throttle.set(count, 0.0);
    }

    /// Books a trade: how much (negative if it was sold) at which price, and the fee (negative) with its coin.
    pub fn trade(&self, owner: &str, time: i64, pair: &str, deal: (&str, &str), fee: (&str, &str)) {
        self.book(owner, Kind::Trade, time, |id| {
            json!([
                id,
                pair,
                time,
                id,
                number(deal.0),
                number(deal.1),
                "EXCHANGE LIMIT",
                number(deal.1),
                -1,
                number(fee.0),
                fee.1,
                null
            ])
        });
    }

    /// Books a deposit, or a withdrawal if the amount (the first of the sums; the second is the fee) is negative, with a
    /// status such as `COMPLETED`. Gives its id.
    pub fn movement(&self, owner: &str, time: i64, currency: &str, sums: (&str, &str), status: &str) -> String {
        let id = self.book(owner, Kind::Movement, time, |id| {
            let mut columns = vec![Value::Null; 22];
            let known = [
                (0, json!(id.to_string())),
                (1, json!(currency)),
                (2, json!(currency)),
                (5, json!(time)),
                (6, json!(time)),
                (9, json!(status)),
                (12, json!(sums.0)),
                (13, json!(sums.1)),
                (16, json!("an address")),
                (20, json!(format!("{id:064x}"))),
            ];
            for (column, value) in known {
                if let Some(place) = columns.get_mut(column) {
                    *place = value;
                }
            }
            columns.into()
        });
        id.to_string()
    }

    /// Completes a movement at this time.
    pub fn settle(&self, id: &str, time: i64) {
        let mut state = lock(&self.state);
        let found = state.rows.iter_mut().find(|row| row.kind == Kind::Movement && row.id.to_string() == id);
        if let Some(row) = found {
            row.time = time;
            for (column, value) in [(6, json!(time)), (9, json!("COMPLETED"))] {
                if let Some(place) = row.columns.get_mut(column) {
                    *place = value;
                }
            }
        }
    }

    /// Books an entry of the ledger, in one of its categories.
    pub fn ledger_entry(&self, owner: &str, time: i64, category: u64, currency: &str, amount: &str) {
        self.book(owner, Kind::Ledger(category), time, |id| {
            json!([id, currency, "exchange", time, null, number(amount), 0, null, "an entry on wallet exchange"])
        });
    }

    fn book(&self, owner: &str, kind: Kind, time: i64, columns: impl FnOnce(u64) -> Value) -> u64 {
        let mut state = lock(&self.state);
        let id = state.rows.len() as u64 + 1;
        state.rows.push(Row { owner: owner.to_owned(), kind, id, time, columns: columns(id) });
        id
    }
}

/// A number of JSON.
fn number(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

async fn private(
    Extracted(state): Extracted<Shared>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut state = lock(&state);
    if state.throttle.take().is_some() {
        return json_answer(StatusCode::TOO_MANY_REQUESTS, &json!({ "error": "ERR_RATE_LIMIT" }));
    }
    match state.answer(uri.path(), &headers, &body) {
        Ok(answer) => json_answer(StatusCode::OK, &answer),
        Err(Refusal(code, text)) => json_answer(StatusCode::INTERNAL_SERVER_ERROR, &json!(["error", code, text])),
    }
}

impl State {
    fn answer(&mut self, path: &str, headers: &HeaderMap, body: &[u8]) -> Result<Value, Refusal> {
        if let Some(refusal) = self.refusal.take() {
            return Err(refusal);
        }
        let fields: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
        if encoding(headers) != Encoding::Json {
            return Err(Refusal::new(10_020, "body: invalid"));
        }
        let name = header(headers, "bfx-apikey").unwrap_or_default();
        let key = self.keys.get(name).cloned().ok_or_else(|| Refusal::new(10_100, "apikey: invalid"))?;
        let nonce = header(headers, "bfx-nonce").unwrap_or_default();
        if !is_signed(&key, path, nonce, headers, body) {
            return Err(Refusal::new(10_100, "apikey: digest invalid"));
        }
        let nonce = nonce.parse().ok().filter(|nonce| *nonce <= HIGHEST_NONCE);
        let nonce: u64 = nonce.ok_or_else(|| Refusal::new(10_020, "nonce: invalid"))?;
        let last = self.last_nonces.entry(name.to_owned()).or_default();
        if nonce <= *last {
            return Err(Refusal::new(10_114, "nonce: small"));
        }
        *last = nonce;
        let may = |scope| key.scopes.iter().any(|(name, read, _)| *name == scope && *read);
        match path.strip_prefix("/v2/auth/r/").unwrap_or_default() {
            "permissions" => {
                let rows =
                    key.scopes.iter().map(|(name, read, write)| json!([name, u8::from(*read), u8::from(*write)]));
                Ok(rows.collect())
            }
            "info/user" if may("account") => {
                let id: u64 = key.key.bytes().fold(17, |sum, byte| sum * 31 % 1_000_000_007 + u64::from(byte));
                Ok(json!([id, "someone@example.com", "someone", 1_500_000_000_000_i64, 1, 2, null, "UTC"]))
            }
            "trades/hist" if may("history") => Ok(self.list(&key, &fields, 2_500, |kind| kind == Kind::Trade)),
            "movements/hist" if may("history") => Ok(self.list(&key, &fields, 1_000, |kind| kind == Kind::Movement)),
            "ledgers/hist" if may("history") => {
                let category = fields.get("category").and_then(Value::as_u64);
                let of_category = |kind| matches!(kind, Kind::Ledger(own) if category.is_none_or(|one| one == own));
                Ok(self.list(&key, &fields, 2_500, of_category))
            }
            _ => Err(Refusal::new(10_100, "apikey: invalid")),
        }
    }

    fn list(
        &self,
        key: &BitfinexKey,
        fields: &Map<String, Value>,
        most: usize,
        wanted: impl Fn(Kind) -> bool,
    ) -> Value {
        let number = |name: &str| fields.get(name).and_then(Value::as_i64);
        let (start, end) = (number("start").unwrap_or_default(), number("end").unwrap_or(i64::MAX));
        let limit = number("limit").and_then(|limit| usize::try_from(limit).ok()).unwrap_or(25).min(most);
        let mut rows: Vec<&Row> = self
            .rows
            .iter()
            .filter(|row| row.owner == key.key && wanted(row.kind) && (start..=end).contains(&row.time))
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.time, row.id)));
        rows.into_iter().take(limit).map(|row| row.columns.clone()).collect()
    }
}

fn is_signed(key: &BitfinexKey, path: &str, nonce: &str, headers: &HeaderMap, body: &[u8]) -> bool {
    let message = [b"/api", path.as_bytes(), nonce.as_bytes(), body].concat();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA384, key.secret.as_bytes()), &message);
    let expected: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    header(headers, "bfx-signature") == Some(&expected)
}
