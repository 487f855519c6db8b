//! Coinbase's API for its app, with keys of its developer platform.
//!
//! What it reproduces, and from where (docs.cdp.coinbase.com: "Coinbase App authentication", "Pagination", "Accounts",
//! "Transactions", "Get API key permissions"):
//! - Every request has a token of its own: ES256 or EdDSA, `kid` and `sub` the key's name, `iss` `cdp`, `uri` the method,
//!   host and path without the query, a `nonce` in the header, two minutes of life. Anything wrong is 401 in plain text. How
//!   far ahead a token may be is not documented: nothing, here, so that a client does not rely on it.
//! - What comes in on a chain is `receive`, what goes out `send`, with the network's fee in its amount and beside it.
//! - Lists: `limit` (25, at most 100), `starting_after`, `order`, and `pagination.next_uri`, which is null at the end.
//! - 429 has errors in the form of the second version: `{"errors": [{"id", "message"}]}`.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex};

use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    UnparsedPublicKey,
};
use axum::Router;
use axum::extract::{OriginalUri, State as Extracted};
use axum::response::Response;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::host::Host;
use crate::wire::{
    Throttle, bearer, form, json as json_answer, lock, plain, text, unix_seconds, whole_seconds, with_headers,
};

/// Coinbase's API for its app.
#[derive(Clone, Debug)]
pub struct Coinbase {
    /// Stands for `https://api.coinbase.com`.
    pub host: Host,
    state: Shared,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    /// Seconds; the system's clock if not set.
    clock: Option<i64>,
    keys: HashMap<String, Key>,
    nonces: HashSet<String>,
    accounts: Vec<String>,
    transactions: Vec<Transaction>,
    throttle: Throttle,
}

#[derive(Clone, Debug)]
struct Key {
    algorithm: &'static str,
    public: Vec<u8>,
    scopes: Vec<&'static str>,
}

#[derive(Clone, Debug)]
struct Transaction {
    account: String,
    id: String,
    body: Value,
}

impl Coinbase {
    /// Starts a server that knows no key.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Shared::default();
        let router = Router::new().route("/v2/time", get(time)).fallback(private).with_state(Arc::clone(&state));
        Ok(Self { host: Host::start(router).await?, state })
    }

    /// Stops the server's clock at this second.
    pub fn set_clock(&self, seconds: i64) {
        lock(&self.state).clock = Some(seconds);
    }

    /// Makes a key that signs with ES256 and may do some of `view`, `trade`, `transfer`. Gives its private part, PEM;
    /// empty if none could be made.
    pub fn add_es256_key(&self, name: &str, scopes: &[&'static str]) -> String {
        let Ok(pair) = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING) else { return String::new() };
        let der: Result<EcPrivateKeyRfc5915Der<'_>, _> = pair.private_key().as_der();
        let Ok(der) = der else { return String::new() };
        let public = pair.public_key().as_ref().to_vec();
        lock(&self.state).keys.insert(name.to_owned(), Key { algorithm: "ES256", public, scopes: scopes.to_vec() });
        let body = STANDARD.encode(der.as_ref());
        let (first, second) = body.split_at(body.len() / 2);
        format!("-----BEGIN EC PRIVATE KEY-----\n{first}\n{second}\n-----END EC PRIVATE KEY-----\n")
    }

    /// Makes a key that signs with Ed25519. Gives its private part, base64 of 64 bytes; empty if none could be made.
    pub fn add_ed25519_key(&self, name: &str, scopes: &[&'static str]) -> String {
        let mut seed = [0_u8; 32];
        if SystemRandom::new().fill(&mut seed).is_err() {
            return String::new();
        }
        let Ok(pair) = Ed25519KeyPair::from_seed_unchecked(&seed) else { return String::new() };
        let public = pair.public_key().as_ref().to_vec();
        let secret = STANDARD.encode([seed.as_slice(), &public].concat());
        lock(&self.state).keys.insert(name.to_owned(), Key { algorithm: "EdDSA", public, scopes: scopes.to_vec() });
        secret
    }

    /// Deletes a key.
    pub fn revoke(&self, name: &str) {
        lock(&self.state).keys.remove(name);
    }

    /// Opens an account.
    pub fn open_account(&self, id: &str) {
        lock(&self.state).accounts.push(id.to_owned());
    }

    /// Books a transaction. Gives its id.
    pub fn transact(&self, account: &str, kind: &str, time: i64, amount: (&str, &str), status: &str) -> String {
        self.book(account, kind, time, amount, status, None)
    }

    /// Books what was sent on a chain: how much left the account, and how much of that the network took.
    pub fn send_on_chain(&self, account: &str, time: i64, amount: (&str, &str), fee: &str) -> String {
        let id = self.book(account, "send", time, amount, "completed", None);
        let network = json!({ "status": "confirmed", "hash": format!("hash-of-{id}"), "network_name": "bitcoin",
            "transaction_fee": { "amount": fee, "currency": amount.1 } });
        self.set(&id, "network", network);
        id
    }

    /// Books a fill of an order: what the first account paid, what the second one got, and the commission.
    pub fn fill(&self, payer: &str, taker: &str, time: i64, paid: (&str, &str), got: (&str, &str), commission: &str) {
        let product = format!("{}-{}", got.1, paid.1);
        let fill = json!({ "fill_price": "1", "product_id": product, "order_id": "o", "commission": commission,
            "order_side": "buy" });
        for (account, amount) in [(payer, paid), (taker, got)] {
            self.book(account, "advanced_trade_fill", time, amount, "completed", Some(fill.clone()));
        }
    }

    fn book(
        &self,
        account: &str,
        kind: &str,
        time: i64,
        amount: (&str, &str),
        status: &str,
        fill: Option<Value>,
    ) -> String {
        let mut state = lock(&self.state);
        let id = format!("transaction-{}", state.transactions.len());
        let created = Timestamp::from_second(time).unwrap_or_default().to_string();
        let mut body = json!({
            "id": id,
            "type": kind,
            "status": status,
            "amount": { "amount": amount.0, "currency": amount.1 },
            "native_amount": { "amount": "1.00", "currency": "USD" },
            "created_at": created,
            "resource": "transaction",
            "resource_path": format!("/v2/accounts/{account}/transactions/{id}"),
        });
        if let (Some(fill), Some(body)) = (fill, body.as_object_mut()) {
            body.insert("advanced_trade_fill".to_owned(), fill);
        }
        state.transactions.push(Transaction { account: account.to_owned(), id: id.clone(), body });
        id
    }

    /// Completes a transaction that is under way.
    pub fn settle(&self, id: &str) {
        self.set(id, "status", "completed".into());
    }

    fn set(&self, id: &str, name: &str, value: Value) {
        let mut state = lock(&self.state);
        let found = state.transactions.iter_mut().find(|one| one.id == id);
        if let Some(body) = found.and_then(|one| one.body.as_object_mut()) {
            body.insert(name.to_owned(), value);
        }
    }

    /// Refuses the next `count` requests with 429, asking to wait `seconds`.
    pub fn throttle(&self, count: usize, seconds: f64) {
        lock(&self.state).throttle.set(count, seconds);
    }
}

async fn time(Extracted(state): Extracted<Shared>) -> Response {
    let now = lock(&state).now();
    let iso = Timestamp::from_second(now).unwrap_or_default().to_string();
    json_answer(StatusCode::OK, &json!({ "data": { "iso": iso, "epoch": now } }))
}

async fn private(Extracted(state): Extracted<Shared>, OriginalUri(uri): OriginalUri, headers: HeaderMap) -> Response {
    let mut state = lock(&state);
    let answer = state.answer(uri.path(), uri.query().unwrap_or_default(), &headers);
    let now = Timestamp::from_second(state.now()).unwrap_or_default();
    with_headers(answer, [("date", now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())])
}

impl State {
    fn now(&self) -> i64 {
        self.clock.unwrap_or_else(|| i64::try_from(unix_seconds()).unwrap_or_default())
    }

    fn answer(&mut self, path: &str, query: &str, headers: &HeaderMap) -> Response {
        if let Some(seconds) = self.throttle.take() {
            let body = json!({ "errors": [{ "id": "rate_limit_exceeded", "message": "Too many requests" }] });
            let refused = json_answer(StatusCode::TOO_MANY_REQUESTS, &body);
            return with_headers(refused, [("retry-after", whole_seconds(seconds))]);
        }
        let Some(key) = bearer(headers).and_then(|token| self.key_of(token, path)) else {
            return plain(StatusCode::UNAUTHORIZED, "text/plain", "Unauthorized\n");
        };
        let may = |scope| key.scopes.contains(&scope);
        if path == "/api/v3/brokerage/key_permissions" {
            let body = json!({ "can_view": may("view"), "can_trade": may("trade"), "can_transfer": may("transfer"),
                "portfolio_uuid": "00000000-0000-4000-8000-000000000001", "portfolio_type": "DEFAULT" });
            return json_answer(StatusCode::OK, &body);
        }
        if !may("view") {
            let body = json!({ "errors": [{ "id": "invalid_scope", "message": "Missing required scopes: view" }] });
            return json_answer(StatusCode::FORBIDDEN, &body);
        }
        let fields = form(query.as_bytes());
        if path == "/v2/accounts" {
            let accounts = self.accounts.iter().map(|id| (id.as_str(), json!({ "id": id, "type": "wallet" })));
            return page(path, accounts.collect(), &fields);
        }
        let account = path.strip_prefix("/v2/accounts/").and_then(|rest| rest.strip_suffix("/transactions"));
        match account.filter(|account| self.accounts.iter().any(|known| known == account)) {
            Some(account) => {
                let own = self.transactions.iter().filter(|one| one.account == account);
                let mut own: Vec<(&str, Value)> = own.map(|one| (one.id.as_str(), one.body.clone())).collect();
                if text(&fields, "order") != "asc" {
                    own.reverse();
                }
                page(path, own, &fields)
            }
            None => {
                let body = json!({ "errors": [{ "id": "not_found", "message": "Not found" }] });
                json_answer(StatusCode::NOT_FOUND, &body)
            }
        }
    }

    /// The key that signed the token, if the token is good for this request.
    fn key_of(&mut self, token: &str, path: &str) -> Option<Key> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let parsed = |part: &str| -> Option<Map<String, Value>> {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
        };
        let (header, claims) = (parsed(header)?, parsed(claims)?);
        let key = self.keys.get(text(&header, "kid")).cloned()?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let public = key.public.as_slice();
        let verified = match key.algorithm {
            "ES256" => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public).verify(message.as_bytes(), &signature),
            _ => UnparsedPublicKey::new(&ED25519, public).verify(message.as_bytes(), &signature),
        };
        let number = |name: &str| claims.get(name).and_then(Value::as_i64);
        let (from, until) = (number("nbf")?, number("exp")?);
        let good = verified.is_ok()
            && text(&header, "alg") == key.algorithm
            && text(&claims, "sub") == text(&header, "kid")
            && text(&claims, "iss") == "cdp"
            && text(&claims, "uri") == format!("GET api.coinbase.com{path}")
            && until - from <= 120
            && (from..until).contains(&self.now())
            && !text(&header, "nonce").is_empty()
            && self.nonces.insert(text(&header, "nonce").to_owned());
        good.then_some(key)
    }
}

fn page(path: &str, rows: Vec<(&str, Value)>, fields: &Map<String, Value>) -> Response {
    let limit = text(fields, "limit").parse().unwrap_or(25_usize).min(100);
    let after = text(fields, "starting_after");
    let known = rows.iter().position(|(id, _)| *id == after).map_or(0, |position| position + 1);
    let rest = rows.len().saturating_sub(known);
    let page: Vec<(&str, Value)> = rows.into_iter().skip(known).take(limit).collect();
    let next = page.last().filter(|_| rest > limit).map(|(id, _)| format!("{path}?limit={limit}&starting_after={id}"));
    let data: Vec<Value> = page.into_iter().map(|(_, row)| row).collect();
    let pagination = json!({ "ending_before": null, "starting_after": null, "limit": limit, "order": "desc",
        "previous_uri": null, "next_uri": next });
    json_answer(StatusCode::OK, &json!({ "pagination": pagination, "data": data }))
}
