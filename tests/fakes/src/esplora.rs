//! An Esplora server of Bitcoin's main network, as blockstream.info and mempool.space run it.
//!
//! What it reproduces, and from where (Esplora's `API.md`, and its server's source for what the document leaves out):
//! - `GET /api/address/{address}`: `chain_stats` and `mempool_stats`, each with `tx_count` and what was funded and spent.
//!   An address that was never used answers the same way, with noughts.
//! - `GET /api/address/{address}/txs`: up to 50 that wait, then the newest 25 that are confirmed;
//!   `/txs/chain[/{last_seen_txid}]`: 25 confirmed ones a page, the newest first; `/txs/mempool`: those that wait. After an
//!   id that the address does not have, there is nothing: an empty list, no error.
//! - What cannot be an address is 400, in plain text. There is no endpoint for extended public keys.
//! - Inputs carry the output that they spend (`prevout`; null where coins are made), outputs their address.
//! - Too many requests are 429, in plain text, sometimes without a `Retry-After`.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::extract::{Path, State as Extracted};
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use serde_json::{Value, json};

use crate::host::Host;
use crate::wire::{Throttle, json as json_answer, lock, plain, whole_seconds, with_headers};

const PAGE: usize = 25;
const WAITING: usize = 50;
/// When the first block was found; one follows every ten minutes.
const FIRST_BLOCK_TIME: u64 = 1_700_000_000;
/// Whose coins come from nowhere in particular.
const STRANGER: &str = "1BoatSLRHtKNngkdXEeobR76b53LETtpyT";

/// An Esplora server.
#[derive(Clone, Debug)]
pub struct Esplora {
    /// Stands for `https://blockstream.info`.
    pub host: Host,
    state: Shared,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    /// In the order in which they were made.
    transactions: Vec<Transaction>,
    /// By address: the places of its confirmed transactions, the oldest first.
    confirmed: HashMap<String, Vec<usize>>,
    made: u64,
    height: u64,
    throttle: Throttle,
}

#[derive(Clone, Debug)]
struct Transaction {
    txid: String,
    inputs: Vec<Coin>,
    outputs: Vec<Coin>,
    fee: u64,
    /// The block that holds it; none while it waits.
    height: Option<u64>,
}

#[derive(Clone, Debug)]
struct Coin {
    address: String,
    satoshis: u64,
}

impl Esplora {
    /// Starts a server whose chain has no transactions.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Shared::default();
        let router = Router::new()
            .route("/api/address/{address}", get(stats))
            .route("/api/address/{address}/txs", get(all))
            .route("/api/address/{address}/txs/mempool", get(waiting))
            .route("/api/address/{address}/txs/chain", get(first_page))
            .route("/api/address/{address}/txs/chain/{last_seen}", get(next_page))
            .route("/api/blocks/tip/height", get(height))
            .with_state(Arc::clone(&state));
        Ok(Self { host: Host::start(router).await?, state })
    }

    /// Confirms a payment from a stranger in a block of its own. Gives the transaction's id.
    pub fn receive(&self, address: &str, satoshis: u64) -> String {
        self.transact(&[(STRANGER, satoshis + 500)], &[(address, satoshis)])
    }

    /// Confirms so many payments from strangers, each in a block of its own.
    pub fn receive_many(&self, address: &str, count: usize) {
        for number in 0..count {
            self.receive(address, 1_000 + number as u64);
        }
    }

    /// Confirms a transaction in a block of its own; what the inputs have over the outputs is the fee.
    pub fn transact(&self, inputs: &[(&str, u64)], outputs: &[(&str, u64)]) -> String {
        let txid = self.announce(inputs, outputs);
        self.confirm(&txid);
        txid
    }

    /// Makes a transaction that waits to be confirmed.
    pub fn announce(&self, inputs: &[(&str, u64)], outputs: &[(&str, u64)]) -> String {
        let mut state = lock(&self.state);
        state.made += 1;
        let hash = digest(&SHA256, format!("transaction {}", state.made).as_bytes());
        let txid: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let coins = |coins: &[(&str, u64)]| -> Vec<Coin> {
            coins
                .iter()
                .map(|(address, satoshis)| Coin { address: (*address).to_owned(), satoshis: *satoshis })
                .collect()
        };
        let (inputs, outputs) = (coins(inputs), coins(outputs));
        let sum = |coins: &[Coin]| coins.iter().map(|coin| coin.satoshis).sum::<u64>();
        let fee = sum(&inputs).saturating_sub(sum(&outputs));
        state.transactions.push(Transaction { txid: txid.clone(), inputs, outputs, fee, height: None });
        txid
    }

    /// Confirms a transaction in a block of its own.
    pub fn confirm(&self, txid: &str) {
        let mut state = lock(&self.state);
        state.height += 1;
        let height = state.height;
        // The newest first: it is mostly the one that was just made.
        let Some(place) = state.transactions.iter().rposition(|one| one.txid == txid) else { return };
        let Some(transaction) = state.transactions.get_mut(place) else { return };
        if transaction.height.replace(height).is_some() {
            return;
        }
        let coins = transaction.inputs.iter().chain(&transaction.outputs);
        let touched: HashSet<String> = coins.map(|coin| coin.address.clone()).collect();
        for address in touched {
            state.confirmed.entry(address).or_default().push(place);
        }
    }

    /// How many confirmed transactions an address has.
    #[must_use]
    pub fn count(&self, address: &str) -> usize {
        lock(&self.state).confirmed(address).len()
    }

    /// Refuses the next `count` requests with 429, asking to wait `seconds`.
    pub fn throttle(&self, count: usize, seconds: f64) {
        lock(&self.state).throttle.set(count, seconds);
    }
}

impl Transaction {
    fn touches(&self, address: &str) -> bool {
        self.inputs.iter().chain(&self.outputs).any(|coin| coin.address == address)
    }

    fn to_json(&self) -> Value {
        let output = |coin: &Coin| {
            json!({
                "scriptpubkey": "",
                "scriptpubkey_asm": "",
                "scriptpubkey_type": "v0_p2wpkh",
                "scriptpubkey_address": coin.address,
                "value": coin.satoshis,
            })
        };
        let inputs: Vec<Value> = self
            .inputs
            .iter()
            .enumerate()
            .map(|(number, coin)| {
                json!({
                    "txid": "00".repeat(32),
                    "vout": number,
                    "prevout": output(coin),
                    "scriptsig": "",
                    "scriptsig_asm": "",
                    "is_coinbase": false,
                    "sequence": 4_294_967_293_u64,
                })
            })
            .collect();
        let status = match self.height {
            Some(height) => json!({
                "confirmed": true,
                "block_height": height,
                "block_hash": format!("{height:064x}"),
                "block_time": FIRST_BLOCK_TIME + height * 600,
            }),
            None => json!({ "confirmed": false }),
        };
        json!({
            "txid": self.txid,
            "version": 2,
            "locktime": 0,
            "vin": inputs,
            "vout": self.outputs.iter().map(output).collect::<Vec<Value>>(),
            "size": 222,
            "weight": 561,
            "fee": self.fee,
            "status": status,
        })
    }
}

impl State {
    /// The answer that stands in place of any other, if there is one.
    fn refusal(&mut self, address: &str) -> Option<Response> {
        if let Some(seconds) = self.throttle.take() {
            let refused = plain(StatusCode::TOO_MANY_REQUESTS, "text/plain", "Too Many Requests");
            return Some(with_headers(refused, [("retry-after", whole_seconds(seconds))]));
        }
        let known = address.starts_with(['1', '3']) || address.starts_with("bc1");
        let plausible =
            known && (26..=90).contains(&address.len()) && address.bytes().all(|b| b.is_ascii_alphanumeric());
        (!plausible).then(|| plain(StatusCode::BAD_REQUEST, "text/plain", "Invalid Bitcoin address"))
    }

    /// The newest first.
    fn confirmed(&self, address: &str) -> Vec<&Transaction> {
        let places = self.confirmed.get(address).map_or(&[][..], Vec::as_slice);
        places.iter().rev().filter_map(|place| self.transactions.get(*place)).collect()
    }

    fn waiting(&self, address: &str) -> Vec<&Transaction> {
        self.transactions.iter().rev().filter(|one| one.height.is_none() && one.touches(address)).collect()
    }
}

fn sums(address: &str, transactions: &[&Transaction]) -> Value {
    let count = |side: fn(&Transaction) -> &[Coin]| {
        let coins = transactions.iter().flat_map(|one| side(one)).filter(|coin| coin.address == address);
        coins.fold((0_u64, 0_u64), |(count, sum), coin| (count + 1, sum + coin.satoshis))
    };
    let (funded_count, funded) = count(|one| &one.outputs);
    let (spent_count, spent) = count(|one| &one.inputs);
    json!({
        "funded_txo_count": funded_count,
        "funded_txo_sum": funded,
        "spent_txo_count": spent_count,
        "spent_txo_sum": spent,
        "tx_count": transactions.len(),
    })
}

fn list(transactions: &[&Transaction]) -> Response {
    let all: Vec<Value> = transactions.iter().map(|one| one.to_json()).collect();
    json_answer(StatusCode::OK, &all.into())
}

async fn stats(Extracted(state): Extracted<Shared>, Path(address): Path<String>) -> Response {
    let mut state = lock(&state);
    if let Some(refusal) = state.refusal(&address) {
        return refusal;
    }
    let body = json!({
        "address": address,
        "chain_stats": sums(&address, &state.confirmed(&address)),
        "mempool_stats": sums(&address, &state.waiting(&address)),
    });
    json_answer(StatusCode::OK, &body)
}

async fn all(Extracted(state): Extracted<Shared>, Path(address): Path<String>) -> Response {
    let mut state = lock(&state);
    if let Some(refusal) = state.refusal(&address) {
        return refusal;
    }
    let waiting = state.waiting(&address).into_iter().take(WAITING);
    list(&waiting.chain(state.confirmed(&address).into_iter().take(PAGE)).collect::<Vec<_>>())
}

async fn waiting(Extracted(state): Extracted<Shared>, Path(address): Path<String>) -> Response {
    let mut state = lock(&state);
    if let Some(refusal) = state.refusal(&address) {
        return refusal;
    }
    list(&state.waiting(&address).into_iter().take(WAITING).collect::<Vec<_>>())
}

async fn first_page(Extracted(state): Extracted<Shared>, Path(address): Path<String>) -> Response {
    page(&state, &address, None)
}

async fn next_page(Extracted(state): Extracted<Shared>, Path((address, last)): Path<(String, String)>) -> Response {
    page(&state, &address, Some(&last))
}

fn page(state: &Shared, address: &str, last_seen: Option<&str>) -> Response {
    let mut state = lock(state);
    if let Some(refusal) = state.refusal(address) {
        return refusal;
    }
    let confirmed = state.confirmed(address).into_iter();
    let page: Vec<&Transaction> = match last_seen {
        Some(last) => confirmed.skip_while(|one| one.txid != last).skip(1).take(PAGE).collect(),
        None => confirmed.take(PAGE).collect(),
    };
    list(&page)
}

async fn height(Extracted(state): Extracted<Shared>) -> Response {
    plain(StatusCode::OK, "text/plain", lock(&state).height.to_string())
}
