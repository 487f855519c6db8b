//! Blockscout's API, one address for every chain that it hosts.
//!
//! What it reproduces, and from where (docs.blockscout.com: the API reference, "PRO API", and the breaking changes of
//! version 12, which came on 2026-10-07 and reached the chains one after another):
//! - `GET /{chain}/api/v2/addresses/{address}`, and of it `/transactions`, `/internal-transactions`, `/token-transfers`,
//!   `/counters`. Lists are newest first, fifty rows a page; `next_page_params` names the next page.
//! - Version 11 puts `items_count` among those, which counts what was given, and gives the caller's `key` back if that came
//!   in the query. In version 12 `items_count` asks for a page's size, up to 100; below 1 it is 422.
//! - Version 11 knows nothing of an address without a history (404); version 12 answers empty lists.
//! - Transactions that wait are in the list, without a block.
//! - Internal transactions that move nothing, and delegated calls, are in the list too.
//! - The key is `apikey` in the query or a bearer token. Nobody is answered without one, on the free plan neither.
//! - 429 tells in `x-ratelimit-reset` how many milliseconds to wait.

use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{OriginalUri, Path, State as Extracted};
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::ledger::{Ledger, Mined, is_address};
use crate::host::Host;
use crate::wire::{Throttle, bearer, form, json as json_answer, lock, text, with_headers};

const CHAINS: [u64; 5] = [1, 10, 137, 8453, 42161];
const PAGE: usize = 50;
const LARGEST_PAGE: usize = 100;

/// Blockscout's API.
#[derive(Clone, Debug)]
pub struct Blockscout {
    /// Stands for `https://api.blockscout.com`.
    pub host: Host,
    state: Shared,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug)]
struct State {
    ledger: Ledger,
    key: String,
    version: u32,
    throttle: Throttle,
}

impl Blockscout {
    /// The key that is taken unless another one is set.
    pub const KEY: &'static str = "proapi_sandbox_not_a_real_key";

    /// Starts version 12 over a ledger.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(ledger: &Ledger) -> io::Result<Self> {
        let state =
            State { ledger: ledger.clone(), key: Self::KEY.to_owned(), version: 12, throttle: Throttle::default() };
        let state = Arc::new(Mutex::new(state));
        let router = Router::new()
            .route("/{chain}/api/v2/addresses/{address}", get(address))
            .route("/{chain}/api/v2/addresses/{address}/{list}", get(list))
            .with_state(Arc::clone(&state));
        Ok(Self { host: Host::start(router).await?, state })
    }

    /// Takes this key from now on and no other.
    pub fn require_key(&self, key: &str) {
        key.clone_into(&mut lock(&self.state).key);
    }

    /// Answers as this version does: 11 or 12.
    pub fn set_version(&self, version: u32) {
        lock(&self.state).version = version;
    }

    /// Refuses the next `count` requests with 429, asking to wait `milliseconds`.
    pub fn throttle(&self, count: usize, milliseconds: u32) {
        lock(&self.state).throttle.set(count, milliseconds.into());
    }
}

fn message(status: StatusCode, message: &str) -> Response {
    json_answer(status, &json!({ "message": message }))
}

impl State {
    /// The answer that stands in place of any other, if there is one.
    fn refusal(
        &mut self,
        chain: u64,
        address: &str,
        query: &Map<String, Value>,
        headers: &HeaderMap,
    ) -> Option<Response> {
        if let Some(milliseconds) = self.throttle.take() {
            let refused = message(StatusCode::TOO_MANY_REQUESTS, "Too many requests");
            let reset = ("x-ratelimit-reset", format!("{milliseconds:.0}"));
            return Some(with_headers(refused, [reset, ("x-ratelimit-remaining", "0".into())]));
        }
        let given = bearer(headers).unwrap_or_else(|| text(query, "apikey"));
        if self.key != given {
            return Some(message(StatusCode::UNAUTHORIZED, "Invalid API key"));
        }
        if !CHAINS.contains(&chain) {
            return Some(message(StatusCode::NOT_FOUND, "Chain not found"));
        }
        (!is_address(address)).then(|| message(StatusCode::UNPROCESSABLE_ENTITY, "Invalid parameter(s)"))
    }

    fn knows(&self, chain: u64, address: &str) -> bool {
        let chains = self.ledger.chains();
        let has_any =
            chains.transactions(chain).iter().any(|one| LISTS.iter().any(|list| !rows(list, address, one).is_empty()));
        self.version >= 12 || has_any
    }
}

fn party(address: &str) -> Value {
    if address.is_empty() { Value::Null } else { json!({ "hash": address, "is_contract": false, "name": null }) }
}

async fn address(
    Extracted(state): Extracted<Shared>,
    Path((chain, address)): Path<(u64, String)>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Response {
    let address = address.to_ascii_lowercase();
    let query = form(uri.query().unwrap_or_default().as_bytes());
    let mut state = lock(&state);
    if let Some(refusal) = state.refusal(chain, &address, &query, &headers) {
        return refusal;
    }
    let code = state.ledger.chains().code(chain, &address);
    if code.is_none() && !state.knows(chain, &address) {
        return message(StatusCode::NOT_FOUND, "Not found");
    }
    let proxy_type = code.filter(|delegates| *delegates).map(|_| "eip7702");
    json_answer(
        StatusCode::OK,
        &json!({ "hash": address, "is_contract": code.is_some(), "proxy_type": proxy_type, "coin_balance": "0" }),
    )
}

const LISTS: [&str; 3] = ["transactions", "internal-transactions", "token-transfers"];

/// Where a row stands among all of its list: by block, then within it.
type Rank = (u64, usize, usize);

/// What a list tells of a transaction to an address.
fn rows(list: &str, address: &str, one: &Mined) -> Vec<(Rank, Value)> {
    let what = &one.what;
    let time = i64::try_from(one.time()).ok().and_then(|time| Timestamp::from_second(time).ok());
    let time = time.map(|time| time.strftime("%Y-%m-%dT%H:%M:%S.000000Z").to_string());
    match list {
        "transactions" if what.from == address || what.to == address => {
            let fee = what.gas_used * what.gas_price + what.l1_fee;
            let row = json!({
                "hash": one.hash,
                "block_number": one.block,
                "position": one.index,
                "timestamp": time,
                "from": party(&what.from),
                "to": party(&what.to),
                "created_contract": null,
                "value": what.value.to_string(),
                "fee": { "type": "actual", "value": fee.to_string() },
                "gas_used": what.gas_used.to_string(),
                "gas_price": what.gas_price.to_string(),
                "status": if what.failed { "error" } else { "ok" },
                "result": if what.failed { "Reverted" } else { "success" },
            });
            vec![((one.block, one.index, 0), row)]
        }
        "internal-transactions" => {
            let own = what.internals.iter().enumerate().filter(|(_, one)| one.from == address || one.to == address);
            own.map(|(number, internal)| {
                let row = json!({
                    "transaction_hash": one.hash,
                    "block_number": one.block,
                    "transaction_index": one.index,
                    "index": number + 1,
                    "timestamp": time,
                    "type": internal.kind,
                    "from": party(&internal.from),
                    "to": party(&internal.to),
                    "created_contract": null,
                    "value": internal.value.to_string(),
                    "success": !what.failed,
                    "error": null,
                });
                ((one.block, one.index, number + 1), row)
            })
            .collect()
        }
        "token-transfers" => {
            let moved = what.transfers.iter().enumerate().filter(|_| !what.failed);
            let own = moved.filter(|(_, one)| one.from == address || one.to == address);
            own.map(|(number, transfer)| {
                let total = match transfer.standard {
                    "ERC-20" => json!({ "value": transfer.value, "decimals": transfer.decimals.to_string() }),
                    "ERC-721" => json!({ "token_id": transfer.token_id, "token_instance": null }),
                    _ => json!({ "token_id": transfer.token_id, "value": transfer.value, "decimals": null }),
                };
                let decimals = (transfer.standard == "ERC-20").then(|| transfer.decimals.to_string());
                let row = json!({
                    "transaction_hash": one.hash,
                    "block_hash": format!("0x{:064x}", one.block),
                    "block_number": one.block,
                    "log_index": one.first_log + number,
                    "timestamp": time,
                    "from": party(&transfer.from),
                    "to": party(&transfer.to),
                    "token": {
                        "address_hash": transfer.contract,
                        "symbol": transfer.symbol,
                        "name": transfer.symbol,
                        "decimals": decimals,
                        "type": transfer.standard,
                    },
                    "token_type": transfer.standard,
                    "total": total,
                    "type": "token_transfer",
                });
                ((one.block, one.first_log + number, 0), row)
            })
            .collect()
        }
        _ => Vec::new(),
    }
}

async fn list(
    Extracted(state): Extracted<Shared>,
    Path((chain, address, list)): Path<(u64, String, String)>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Response {
    let address = address.to_ascii_lowercase();
    let query = form(uri.query().unwrap_or_default().as_bytes());
    let mut state = lock(&state);
    if let Some(refusal) = state.refusal(chain, &address, &query, &headers) {
        return refusal;
    }
    if !state.knows(chain, &address) {
        return message(StatusCode::NOT_FOUND, "Not found");
    }
    if !LISTS.contains(&list.as_str()) {
        return message(StatusCode::NOT_FOUND, "Not found");
    }
    let number = |name: &str| text(&query, name).parse::<usize>().ok();
    let size = match number("items_count") {
        Some(0) if state.version >= 12 => return message(StatusCode::UNPROCESSABLE_ENTITY, "Invalid parameter(s)"),
        Some(size) if state.version >= 12 => size.min(LARGEST_PAGE),
        _ => PAGE,
    };
    let after: Option<Rank> = match (number("block_number"), number("index"), number("part")) {
        (Some(block), Some(index), part) => Some((block as u64, index, part.unwrap_or_default())),
        _ => None,
    };
    let chains = state.ledger.chains();
    let mut all: Vec<(Rank, Value)> =
        chains.transactions(chain).iter().flat_map(|one| rows(&list, &address, one)).collect();
    all.sort_by_key(|(rank, _)| std::cmp::Reverse(*rank));
    let mut page: Vec<(Rank, Value)> =
        all.into_iter().filter(|(rank, _)| after.is_none_or(|after| *rank < after)).collect();
    let is_last = page.len() <= size;
    page.truncate(size);
    let next = page.last().filter(|_| !is_last).map(|((block, index, part), _)| {
        let numbers = [("block_number", json!(block)), ("index", json!(index)), ("part", json!(part))];
        let mut next: Map<String, Value> = numbers.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        if state.version < 12 {
            let count = number("items_count").unwrap_or_default() + page.len();
            next.insert("items_count".to_owned(), json!(count));
            next.extend(query.get("apikey").map(|key| ("key".to_owned(), key.clone())));
        }
        next
    });
    let mut items: Vec<Value> = page.into_iter().map(|(_, row)| row).collect();
    if list == "transactions" && after.is_none() {
        items.insert(0, waiting(&address));
    }
    json_answer(StatusCode::OK, &json!({ "items": items, "next_page_params": next }))
}

/// A transaction that waits.
fn waiting(address: &str) -> Value {
    json!({
        "hash": format!("0x{}", "ee".repeat(32)),
        "block_number": null,
        "timestamp": null,
        "from": party(address),
        "to": party(address),
        "created_contract": null,
        "value": "1",
        "fee": { "type": "maximum", "value": "1" },
        "status": null,
        "result": "pending",
    })
}
