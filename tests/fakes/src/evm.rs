//! A JSON-RPC node of an EVM chain, behind a provider that takes a key in the path: `/v2/{key}` as one does, `/v3/{key}`
//! as another; and public nodes, which take none: `/public/{chain}` stands for the node of each.
//!
//! What it reproduces, and from where:
//! - `eth_chainId`, `eth_blockNumber`, `eth_getCode`, `eth_getTransactionCount` and `net_version`. Quantities are
//!   hexadecimal without leading zeros; EIP-695 makes `eth_chainId` one. `net_version` is a decimal text, here of the same
//!   number. `eth_getTransactionCount` counts what an address sent, not what it received.
//! - The code of an account that delegates (EIP-7702) is `0xef0100` and an address.
//! - A JSON-RPC error comes with HTTP 200, so a caller that looks at the status alone is fooled (Alchemy's error page
//!   shows both kinds). The codes are JSON-RPC's own and those of that page.
//! - A missing or unknown key is 401 with code -32600 and "Must be authenticated!", a disabled one 403, too many
//!   requests 429 with code 429 (the same page; the text of the 401 is from people's reports).
//! - A key belongs to one chain, so the wrong chain is a perfectly good answer with another number.
//! - [`EvmNode::answer_with_page`] puts an HTML page with HTTP 200 in place of every answer, as a mistyped address would
//!   give.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State as Extracted};
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::chains::ledger::is_address;
use crate::host::Host;
use crate::wire::{Throttle, json, list, lock, plain, text, whole_seconds, with_headers};

/// A node of one or more EVM chains.
#[derive(Clone, Debug)]
pub struct EvmNode {
    /// Stands for a node provider, addressed by URL.
    pub host: Host,
    state: Shared,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug)]
struct State {
    /// By key: the chain it serves, or nothing when the key is disabled.
    keys: HashMap<String, Option<u64>>,
    /// By lower-case address: the deployed code, on every chain.
    codes: HashMap<String, String>,
    /// By chain and lower-case address: the deployed code.
    codes_on: HashMap<(u64, String), String>,
    /// By chain and lower-case address: how many transactions it has sent.
    sent: HashMap<(u64, String), u64>,
    block: u64,
    error: Option<(i64, String)>,
    answers_page: bool,
    throttle: Throttle,
}

impl EvmNode {
    /// Starts a node without any key, at block 1.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Arc::new(Mutex::new(State {
            keys: HashMap::new(),
            codes: HashMap::new(),
            codes_on: HashMap::new(),
            sent: HashMap::new(),
            block: 1,
            error: None,
            answers_page: false,
            throttle: Throttle::default(),
        }));
        let router = Router::new()
            .route("/v2/{key}", post(answer))
            .route("/v3/{key}", post(answer))
            .route("/public/{chain}", post(answer_anyone))
            .route("/public/{chain}/", post(answer_anyone))
            .fallback(async || unauthenticated())
            .with_state(Arc::clone(&state));
        Ok(Self { host: Host::start(router).await?, state })
    }

    /// Adds a key that serves a chain, or moves it to another chain, and returns its URL.
    pub fn add_key(&self, key: &str, chain_id: u64) -> String {
        lock(&self.state).keys.insert(key.to_owned(), Some(chain_id));
        format!("{}/v2/{key}", self.host.origin())
    }

    /// Deletes a key: 401.
    pub fn revoke_key(&self, key: &str) {
        lock(&self.state).keys.remove(key);
    }

    /// Disables a key, as for an unpaid bill: 403.
    pub fn disable_key(&self, key: &str) {
        lock(&self.state).keys.insert(key.to_owned(), None);
    }

    /// Sets the newest block.
    pub fn set_block(&self, block: u64) {
        lock(&self.state).block = block;
    }

    /// Deploys code, `0x` and hexadecimal, at an address.
    pub fn set_code(&self, address: &str, code: &str) {
        lock(&self.state).codes.insert(address.to_ascii_lowercase(), code.to_owned());
    }

    /// Deploys code, `0x` and hexadecimal, at an address of one chain.
    pub fn set_code_on(&self, chain_id: u64, address: &str, code: &str) {
        lock(&self.state).codes_on.insert((chain_id, address.to_ascii_lowercase()), code.to_owned());
    }

    /// Says how many transactions an address has sent on a chain.
    pub fn set_sent(&self, chain_id: u64, address: &str, count: u64) {
        lock(&self.state).sent.insert((chain_id, address.to_ascii_lowercase()), count);
    }

    /// The URL of a chain's public node.
    #[must_use]
    pub fn public_url(&self, chain_id: u64) -> String {
        format!("{}/public/{chain_id}", self.host.origin())
    }

    /// Answers every call with this JSON-RPC error and HTTP 200, or as usual again.
    pub fn answer_with_error(&self, error: Option<(i64, &str)>) {
        lock(&self.state).error = error.map(|(code, message)| (code, message.to_owned()));
    }

    /// Answers every call with an HTML page and HTTP 200, or as usual again.
    pub fn answer_with_page(&self, answers_page: bool) {
        lock(&self.state).answers_page = answers_page;
    }

    /// Answers the next `count` requests with 429, asking to wait `seconds`.
    pub fn throttle(&self, count: usize, seconds: u32) {
        lock(&self.state).throttle.set(count, seconds.into());
    }

    /// The address as a user may write it in a URL.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.host.address()
    }
}

fn failure(id: &Value, code: i64, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
}

fn unauthenticated() -> Response {
    json(StatusCode::UNAUTHORIZED, &failure(&Value::Null, -32600, "Must be authenticated!"))
}

async fn answer(Extracted(state): Extracted<Shared>, Path(key): Path<String>, body: Bytes) -> Response {
    let mut state = lock(&state);
    if let Some(refusal) = state.refusal() {
        return refusal;
    }
    let chain_id = match state.keys.get(&key) {
        None => return unauthenticated(),
        Some(None) => {
            return json(StatusCode::FORBIDDEN, &failure(&Value::Null, -32600, "App is inactive."));
        }
        Some(Some(chain_id)) => *chain_id,
    };
    state.answer(chain_id, &body)
}

async fn answer_anyone(Extracted(state): Extracted<Shared>, Path(chain_id): Path<u64>, body: Bytes) -> Response {
    let mut state = lock(&state);
    state.refusal().unwrap_or_else(|| state.answer(chain_id, &body))
}

impl State {
    /// The answer that stands in place of any other, if there is one.
    fn refusal(&mut self) -> Option<Response> {
        if self.answers_page {
            return Some(plain(StatusCode::OK, "text/html", "<!doctype html><title>Welcome</title>"));
        }
        let seconds = self.throttle.take()?;
        let message = "Your app has exceeded its compute units per second capacity.";
        let refused = json(StatusCode::TOO_MANY_REQUESTS, &failure(&Value::Null, 429, message));
        Some(with_headers(refused, [("retry-after", whole_seconds(seconds))]))
    }

    fn answer(&self, chain_id: u64, body: &[u8]) -> Response {
        let Ok(request) = serde_json::from_slice::<Value>(body) else {
            return json(StatusCode::BAD_REQUEST, &failure(&Value::Null, -32700, "Parse error"));
        };
        let answer = match request {
            Value::Array(calls) if !calls.is_empty() => calls.iter().map(|call| self.call(chain_id, call)).collect(),
            call => self.call(chain_id, &call),
        };
        json(StatusCode::OK, &answer)
    }

    fn call(&self, chain_id: u64, call: &Value) -> Value {
        let empty = Map::new();
        let call = call.as_object().unwrap_or(&empty);
        let id = call.get("id").cloned().unwrap_or_default();
        let method = text(call, "method");
        if text(call, "jsonrpc") != "2.0" || method.is_empty() {
            return failure(&id, -32600, "Invalid request");
        }
        if let Some((code, message)) = &self.error {
            return failure(&id, *code, message);
        }
        let result = match method {
            "eth_chainId" => format!("{chain_id:#x}"),
            "eth_blockNumber" => format!("{:#x}", self.block),
            "net_version" => chain_id.to_string(),
            "eth_getCode" | "eth_getTransactionCount" => match list(call, "params") {
                [Value::String(address), _] if is_address(address) => {
                    let address = address.to_ascii_lowercase();
                    let place = (chain_id, address.clone());
                    if method == "eth_getCode" {
                        let code = self.codes_on.get(&place).or_else(|| self.codes.get(&address));
                        code.cloned().unwrap_or_else(|| "0x".to_owned())
                    } else {
                        format!("{:#x}", self.sent.get(&place).copied().unwrap_or_default())
                    }
                }
                _ => return failure(&id, -32602, "invalid argument 0: not an address, or no block given"),
            },
            _ => {
                let message = format!("the method {method} does not exist/is not available");
                return failure(&id, -32601, &message);
            }
        };
        json!({ "jsonrpc": "2.0", "id": id, "result": result })
    }
}
