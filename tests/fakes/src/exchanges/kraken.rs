//! Kraken's spot API.
//!
//! What it reproduces, and from where (docs.kraken.com: "Spot REST authentication", "Get Ledgers Info", "Get API Key
//! Info"; error texts as clients report them):
//! - Private methods are `POST` with a form body that holds `nonce`; `API-Sign` is base64 of HMAC-SHA512, under the decoded
//!   private key, over the path and the SHA-256 of nonce and body. Each key's nonce must rise.
//! - Every answer is 200 with `{"error": [], "result": …}`; troubles are in `error`.
//! - A withdrawal that failed is booked back, amount and fee, under the same reference.
//! - `Ledgers`: 50 entries from `ofs`, the newest first, of those after `start` and not after `end`; `count` is how many
//!   there are. It needs the permission to query the ledger, `GetApiKeyInfo` needs none.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use axum::Router;
use axum::extract::{OriginalUri, Path, State as Extracted};
use axum::response::Response;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use crate::host::Host;
use crate::wire::{Encoding, encoding, form, has_user_agent, header, json as json_answer, lock, text};

const PAGE: usize = 50;

/// Kraken's spot API.
#[derive(Clone, Debug)]
pub struct Kraken {
    /// Stands for `https://api.kraken.com`.
    pub host: Host,
    state: Shared,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    keys: HashMap<String, KrakenKey>,
    last_nonces: HashMap<String, u64>,
    entries: Vec<LedgerEntry>,
    made: u64,
    refusal: Option<String>,
}

/// An API key.
#[derive(Clone, Debug)]
pub struct KrakenKey {
    /// The public part.
    pub key: String,
    /// The private part, base64.
    pub secret: String,
    /// What it may do, such as `query-ledger`.
    pub permissions: Vec<&'static str>,
    /// When it runs out, in seconds; nought for never.
    pub valid_until: i64,
    /// From when on it may read the ledger, in seconds; nought for all.
    pub query_from: i64,
    /// Until when.
    pub query_to: i64,
}

impl KrakenKey {
    /// A key that may read the ledger and nothing else.
    #[must_use]
    pub fn reading(key: &str, secret: &str) -> Self {
        Self {
            key: key.to_owned(),
            secret: secret.to_owned(),
            permissions: vec!["query-ledger"],
            valid_until: 0,
            query_from: 0,
            query_to: 0,
        }
    }
}

#[derive(Clone, Debug)]
struct LedgerEntry {
    owner: String,
    id: String,
    refid: String,
    time: f64,
    kind: &'static str,
    asset: String,
    amount: String,
    fee: String,
}

impl Kraken {
    /// Starts a server that knows no key.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Shared::default();
        let router = Router::new().route("/0/private/{method}", post(private)).with_state(Arc::clone(&state));
        Ok(Self { host: Host::start(router).await?, state })
    }

    /// Adds or replaces a key, which is an account of its own.
    pub fn add_key(&self, key: KrakenKey) {
        lock(&self.state).keys.insert(key.key.clone(), key);
    }

    /// True if there is such a key.
    #[must_use]
    pub fn knows(&self, key: &str) -> bool {
        lock(&self.state).keys.contains_key(key)
    }

    /// Deletes a key.
    pub fn revoke(&self, key: &str) {
        lock(&self.state).keys.remove(key);
    }

    /// Answers the next request with this error.
    pub fn refuse_next(&self, error: &str) {
        lock(&self.state).refusal = Some(error.to_owned());
    }

    /// Books a trade: what was paid (negative), what it brought, and a fee in the asset that was paid with.
    pub fn trade(&self, owner: &str, time: f64, paid: (&str, &str), got: (&str, &str), fee: &str) {
        self.book(owner, time, "trade", &[(paid.0, paid.1, fee), (got.0, got.1, "0")]);
    }

    /// Books a deposit.
    pub fn deposit(&self, owner: &str, time: f64, asset: &str, amount: &str) {
        self.book(owner, time, "deposit", &[(asset, amount, "0")]);
    }

    /// Books a withdrawal: below nothing, and the fee. Gives its reference.
    pub fn withdraw(&self, owner: &str, time: f64, asset: &str, amount: &str, fee: &str) -> String {
        self.book(owner, time, "withdrawal", &[(asset, amount, fee)])
    }

    /// Books back what has this reference, because it failed.
    pub fn book_back(&self, refid: &str, time: f64) {
        let turned = |number: &str| number.strip_prefix('-').map_or_else(|| format!("-{number}"), str::to_owned);
        let mut state = lock(&self.state);
        let booked: Vec<LedgerEntry> = state.entries.iter().filter(|entry| entry.refid == refid).cloned().collect();
        for entry in booked {
            state.made += 1;
            let id = format!("L{:05}-LEDGE-RENTRY", state.made);
            let (amount, fee) = (turned(&entry.amount), turned(&entry.fee));
            state.entries.push(LedgerEntry { id, time, amount, fee, ..entry });
        }
    }

    fn book(&self, owner: &str, time: f64, kind: &'static str, legs: &[(&str, &str, &str)]) -> String {
        let mut state = lock(&self.state);
        state.made += 1;
        let refid = format!("T{:05}-REFER-ENCE00", state.made);
        for (asset, amount, fee) in legs {
            state.made += 1;
            let entry = LedgerEntry {
                owner: owner.to_owned(),
                id: format!("L{:05}-LEDGE-RENTRY", state.made),
                refid: refid.clone(),
                time,
                kind,
                asset: (*asset).to_owned(),
                amount: (*amount).to_owned(),
                fee: (*fee).to_owned(),
            };
            state.entries.push(entry);
        }
        refid
    }
}

impl LedgerEntry {
    fn to_json(&self) -> Value {
        json!({
            "refid": self.refid,
            "time": self.time,
            "type": self.kind,
            "subtype": "",
            "aclass": "currency",
            "asset": self.asset,
            "amount": self.amount,
            "fee": self.fee,
            "balance": "0.0000000000",
        })
    }
}

async fn private(
    Extracted(state): Extracted<Shared>,
    Path(method): Path<String>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = match lock(&state).answer(&method, uri.path(), &headers, &body) {
        Ok(result) => json!({ "error": [], "result": result }),
        Err(error) => json!({ "error": [error] }),
    };
    json_answer(StatusCode::OK, &answer)
}

impl State {
    fn answer(&mut self, method: &str, path: &str, headers: &HeaderMap, body: &[u8]) -> Result<Value, String> {
        if let Some(refusal) = self.refusal.take() {
            return Err(refusal);
        }
        if !has_user_agent(headers) || encoding(headers) != Encoding::Form {
            return Err("EGeneral:Invalid arguments".to_owned());
        }
        let fields = form(body);
        let name = header(headers, "api-key").unwrap_or_default();
        let key = self.keys.get(name).cloned().ok_or("EAPI:Invalid key")?;
        if !is_signed(&key, path, text(&fields, "nonce"), headers, body) {
            return Err("EAPI:Invalid signature".to_owned());
        }
        let nonce: u64 = text(&fields, "nonce").parse().map_err(|_| "EAPI:Invalid nonce")?;
        let last = self.last_nonces.entry(name.to_owned()).or_default();
        if nonce <= *last {
            return Err("EAPI:Invalid nonce".to_owned());
        }
        *last = nonce;
        match method {
            "GetApiKeyInfo" => Ok(json!({
                "apiKeyName": "sandbox",
                "apiKey": key.key,
                "nonce": nonce.to_string(),
                "nonceWindow": 0,
                "permissions": key.permissions,
                "iban": "AA25 N84G K54M ICNB",
                "validUntil": key.valid_until.to_string(),
                "queryFrom": key.query_from.to_string(),
                "queryTo": key.query_to.to_string(),
                "ipAllowlist": [],
            })),
            "Ledgers" if key.permissions.contains(&"query-ledger") => Ok(self.ledgers(&key.key, &fields)),
            "Ledgers" => Err("EGeneral:Permission denied".to_owned()),
            _ => Err("EGeneral:Unknown method".to_owned()),
        }
    }

    fn ledgers(&self, owner: &str, fields: &Map<String, Value>) -> Value {
        let start: f64 = text(fields, "start").parse().unwrap_or(f64::MIN);
        let end: f64 = text(fields, "end").parse().unwrap_or(f64::MAX);
        let offset: usize = text(fields, "ofs").parse().unwrap_or_default();
        let mut found: Vec<&LedgerEntry> = self
            .entries
            .iter()
            .filter(|entry| entry.owner == owner && entry.time > start && entry.time <= end)
            .collect();
        found.sort_by(|one, other| other.time.total_cmp(&one.time).then_with(|| other.id.cmp(&one.id)));
        let page: Map<String, Value> =
            found.iter().skip(offset).take(PAGE).map(|entry| (entry.id.clone(), entry.to_json())).collect();
        json!({ "ledger": page, "count": found.len() })
    }
}

fn is_signed(key: &KrakenKey, path: &str, nonce: &str, headers: &HeaderMap, body: &[u8]) -> bool {
    let given = header(headers, "api-sign").and_then(|signature| STANDARD.decode(signature).ok());
    let (Some(given), Ok(secret)) = (given, STANDARD.decode(&key.secret)) else { return false };
    let mut message = path.as_bytes().to_vec();
    message.extend(digest(&SHA256, &[nonce.as_bytes(), body].concat()).as_ref());
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA512, &secret), &message, &given).is_ok()
}
