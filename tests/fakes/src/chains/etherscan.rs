//! Etherscan's API, version 2: one address for every chain. Routescan's speaks the same and takes no key.
//!
//! What it reproduces, and from where (docs.etherscan.io: the endpoints, "Common error messages", "Rate limits", "Supported
//! chains"):
//! - `GET /v2/api?chainid=…&module=account&action=txlist|txlistinternal|tokentx|tokennfttx|token1155tx`, upwards or
//!   downwards between two blocks, `page` and `offset`. Everything is text. No token list tells a log's index.
//! - Every answer is HTTP 200 with `status`, `message` and `result`. Nothing found is status 0, "No transactions found".
//!   What is refused is status 0, "NOTOK", and the reason in `result`.
//! - A free plan's call gives 1,000 rows at most, whatever `offset` asks for; `page` times `offset` may not pass 10,000.
//! - A free plan covers some chains only. After five wrong keys every call is refused for a while.
//! - Internal transactions that move nothing are left out.
//!
//! Routescan: `/v2/network/mainnet/evm/{chain}/etherscan/api`, no key needed (from other clients' source).

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{OriginalUri, Path, State as Extracted};
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::ledger::{Ledger, Mined, Transfer, is_address};
use crate::host::Host;
use crate::wire::{Throttle, form, json as json_answer, lock, text};

/// The chains that Etherscan knows here, and those among them that a free plan covers.
const CHAINS: [u64; 7] = [1, 10, 56, 137, 8453, 42161, 43114];
const FREE_CHAINS: [u64; 3] = [1, 137, 42161];
const FREE_ROWS: usize = 1_000;
const WINDOW: usize = 10_000;
const MOST_WRONG_KEYS: u32 = 5;

/// Etherscan's API, or one that speaks as it does.
#[derive(Clone, Debug)]
pub struct Etherscan {
    /// Stands for `https://api.etherscan.io`, or `https://api.routescan.io`.
    pub host: Host,
    state: Shared,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    ledger: Ledger,
    keys: BTreeSet<String>,
    paid: bool,
    wrong_keys: u32,
    daily_limit_reached: bool,
    lacking: BTreeSet<String>,
    throttle: Throttle,
}

impl Etherscan {
    /// Starts Etherscan and Routescan over a ledger. Etherscan knows no keys.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(ledger: &Ledger) -> io::Result<Self> {
        let state = Arc::new(Mutex::new(State { ledger: ledger.clone(), ..State::default() }));
        let router = Router::new()
            .route("/v2/api", get(etherscan))
            .route("/v2/network/mainnet/evm/{chain}/etherscan/api", get(routescan))
            .with_state(Arc::clone(&state));
        Ok(Self { host: Host::start(router).await?, state })
    }

    /// Adds a key of a free plan.
    pub fn add_key(&self, key: &str) {
        lock(&self.state).keys.insert(key.to_owned());
    }

    /// Takes a key away.
    pub fn revoke_key(&self, key: &str) {
        lock(&self.state).keys.remove(key);
    }

    /// Forgets wrong keys, as it does after half a minute.
    pub fn forgive(&self) {
        lock(&self.state).wrong_keys = 0;
    }

    /// Moves every key to a paid plan, which covers all chains and 10,000 rows a call.
    pub fn pay(&self) {
        lock(&self.state).paid = true;
    }

    /// Says that the day's calls are used up, or that they are not.
    pub fn reach_daily_limit(&self, reached: bool) {
        lock(&self.state).daily_limit_reached = reached;
    }

    /// Behaves as one that has no such action.
    pub fn lack(&self, action: &str) {
        lock(&self.state).lacking.insert(action.to_owned());
    }

    /// Refuses the next `count` requests as too many within a second.
    pub fn throttle(&self, count: usize) {
        lock(&self.state).throttle.set(count, 1.0);
    }
}

fn refusal(reason: &str) -> Response {
    json_answer(StatusCode::OK, &json!({ "status": "0", "message": "NOTOK", "result": reason }))
}

async fn etherscan(Extracted(state): Extracted<Shared>, OriginalUri(uri): OriginalUri) -> Response {
    let query = form(uri.query().unwrap_or_default().as_bytes());
    let mut state = lock(&state);
    if state.throttle.take().is_some() {
        return refusal("Max calls per sec rate limit reached (3/sec)");
    }
    let Some(chain) = text(&query, "chainid").parse().ok().filter(|chain| CHAINS.contains(chain)) else {
        return refusal(
            "Missing or unsupported chainid parameter (required for v2 api), please see chainlist for the list of \
             supported chainids",
        );
    };
    if state.wrong_keys >= MOST_WRONG_KEYS {
        return refusal("Too many invalid api key attempts, please try again later");
    }
    match text(&query, "apikey") {
        "" => return refusal("Missing/Invalid API Key"),
        key if !state.keys.contains(key) => {
            state.wrong_keys += 1;
            return refusal("Invalid API Key");
        }
        _ => {}
    }
    if state.daily_limit_reached {
        return refusal("Max daily rate limit reached. 100000 (100%) of 100000 day/limit");
    }
    if !state.paid && !FREE_CHAINS.contains(&chain) {
        return refusal(
            "Free API access is not supported for this chain. Please upgrade your api plan for full chain coverage. \
             https://etherscan.io/apis",
        );
    }
    state.answer(chain, &query)
}

async fn routescan(
    Extracted(state): Extracted<Shared>,
    Path(chain): Path<u64>,
    OriginalUri(uri): OriginalUri,
) -> Response {
    let query = form(uri.query().unwrap_or_default().as_bytes());
    let state = lock(&state);
    if ![1, 43114].contains(&chain) {
        return refusal("chain not supported");
    }
    state.answer(chain, &query)
}

impl State {
    fn answer(&self, chain: u64, query: &Map<String, Value>) -> Response {
        let address = text(query, "address").to_ascii_lowercase();
        if text(query, "module") != "account" {
            return refusal("Error! Missing Or invalid Module name");
        }
        if !is_address(&address) {
            return refusal("Error! Invalid address format");
        }
        if self.lacking.contains(text(query, "action")) {
            return refusal("Error! Missing Or invalid Action name");
        }
        let number = |name: &str, default: usize| text(query, name).parse().unwrap_or(default);
        let (page, offset) = (number("page", 1).max(1), number("offset", WINDOW));
        if page.saturating_mul(offset) > WINDOW {
            return refusal("Result window is too large, PageNo x Offset size must be less than or equal to 10000");
        }
        let (first, last) = (number("startblock", 0) as u64, number("endblock", usize::MAX) as u64);
        let chains = self.ledger.chains();
        let height = chains.height(chain);
        let mined = chains.transactions(chain).iter().filter(|one| (first..=last).contains(&one.block));
        let listed: Option<Vec<Value>> = mined
            .map(|one| rows(text(query, "action"), &address, one, height))
            .collect::<Option<Vec<Vec<Value>>>>()
            .map(|rows| rows.into_iter().flatten().collect());
        let Some(mut rows) = listed else { return refusal("Error! Missing Or invalid Action name") };
        if text(query, "sort") == "desc" {
            rows.reverse();
        }
        let most = if self.paid { WINDOW } else { FREE_ROWS };
        let rows: Vec<Value> = rows.into_iter().skip((page - 1) * offset).take(offset.min(most)).collect();
        if rows.is_empty() {
            let body = json!({ "status": "0", "message": "No transactions found", "result": [] });
            return json_answer(StatusCode::OK, &body);
        }
        json_answer(StatusCode::OK, &json!({ "status": "1", "message": "OK", "result": rows }))
    }
}

/// What an action tells of a transaction to an address; `None` if there is no such action.
fn rows(action: &str, address: &str, one: &Mined, height: u64) -> Option<Vec<Value>> {
    let what = &one.what;
    let common = json!({
        "blockNumber": one.block.to_string(),
        "timeStamp": one.time().to_string(),
        "hash": one.hash,
        "blockHash": format!("0x{:064x}", one.block),
        "nonce": "1",
        "transactionIndex": one.index.to_string(),
        "gas": "300000",
        "gasPrice": what.gas_price.to_string(),
        "gasUsed": what.gas_used.to_string(),
        "cumulativeGasUsed": "21000000",
        "input": "deprecated",
        "methodId": "0x",
        "functionName": "",
        "confirmations": (height - one.block + 1).to_string(),
    });
    let row = |own: Value| {
        let mut row = common.clone();
        if let (Value::Object(row), Value::Object(own)) = (&mut row, own) {
            row.extend(own);
        }
        row
    };
    let transfers = |standard: &str, own: &dyn Fn(&Transfer) -> Value| {
        let moved = what.transfers.iter().filter(|_| !what.failed);
        let moved = moved.filter(|one| one.standard == standard && (one.from == address || one.to == address));
        moved
            .map(|transfer| {
                let mut told = row(json!({
                    "from": transfer.from,
                    "to": transfer.to,
                    "contractAddress": transfer.contract,
                    "tokenName": transfer.symbol,
                    "tokenSymbol": transfer.symbol,
                }));
                if let (Value::Object(told), Value::Object(own)) = (&mut told, own(transfer)) {
                    told.extend(own);
                }
                told
            })
            .collect()
    };
    Some(match action {
        "txlist" if what.from == address || what.to == address => vec![row(json!({
            "from": what.from,
            "to": what.to,
            "value": what.value.to_string(),
            "contractAddress": "",
            "isError": if what.failed { "1" } else { "0" },
            "txreceipt_status": if what.failed { "0" } else { "1" },
            "L1FeesPaid": what.l1_fee.to_string(),
        }))],
        "txlist" => Vec::new(),
        "txlistinternal" => {
            let moved = what.internals.iter().enumerate().filter(|(_, one)| one.value > 0 && one.kind == "call");
            let own = moved.filter(|(_, one)| one.from == address || one.to == address);
            own.map(|(number, internal)| {
                json!({
                    "blockNumber": one.block.to_string(),
                    "timeStamp": one.time().to_string(),
                    "hash": one.hash,
                    "from": internal.from,
                    "to": internal.to,
                    "value": internal.value.to_string(),
                    "contractAddress": "",
                    "input": "",
                    "type": internal.kind,
                    "gas": "2300",
                    "gasUsed": "0",
                    "traceId": format!("0_{number}"),
                    "isError": if what.failed { "1" } else { "0" },
                    "errCode": "",
                })
            })
            .collect()
        }
        "tokentx" => {
            transfers("ERC-20", &|one| json!({ "value": one.value, "tokenDecimal": one.decimals.to_string() }))
        }
        "tokennfttx" => transfers("ERC-721", &|one| json!({ "tokenID": one.token_id, "tokenDecimal": "0" })),
        "token1155tx" => transfers("ERC-1155", &|one| json!({ "tokenID": one.token_id, "tokenValue": one.value })),
        _ => return None,
    })
}
