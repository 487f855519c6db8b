//! A JSON-RPC node of Solana's main network that keeps the whole history.
//!
//! What it reproduces, and from where (solana.com's pages on the methods; the error codes from the node's own source,
//! `rpc-client-api/src/custom_error.rs`, and its messages from people's reports):
//! - `getSignaturesForAddress`: the newest first, 1,000 at most (more is -32602), after `before` and down to `until`, both
//!   excluded. It lists the transactions that name the address, and no others: a token that arrives in an account of the
//!   wallet names that account and not the wallet. A `before` or `until` that the node does not have is -32020.
//! - `getTokenAccountsByOwner` by program, with those that are open as far as this node knows; `getAccountInfo`, null for what was never funded,
//!   both with `dataSlice`; `getSlot`.
//! - `getTransaction` with `jsonParsed`: every account with its balances before and after, and the token balances of those
//!   that are token accounts before or after, with mint and owner. A transaction of version 0 is -32015 to a caller that
//!   does not say `maxSupportedTransactionVersion`; what the node no longer has is null.
//! - `minContextSlot` above the node's own slot is -32016.
//! - Errors come with HTTP 200. Too many requests are 429, with a JSON-RPC error of the same number; the public servers
//!   count by method.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::extract::State as Extracted;
use axum::response::Response;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::host::Host;
use crate::wire::{Throttle, json as json_answer, list, lock, text, whole_seconds, with_headers};

/// The program of tokens.
pub const TOKEN_PROGRAM: &str = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA";
/// The program of tokens with extensions.
pub const TOKEN_2022_PROGRAM: &str = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb";
/// The mint of wrapped SOL: an account of it holds as many lamports as tokens, above its rent.
pub const WRAPPED_SOL: &str = "So11111111111111111111111111111111111111112";
const SYSTEM_PROGRAM: &str = "11111111111111111111111111111111";
const LOADER: &str = "BPFLoaderUpgradeab1e11111111111111111111111";
/// What a signature costs.
pub const FEE: u64 = 5_000;
/// What a token account must hold to exist.
pub const RENT: u64 = 2_039_280;
/// Where and when the chain begins; every transaction has a slot of its own, so long after the one before.
const FIRST_SLOT: u64 = 300_000_000;
const FIRST_TIME: u64 = 1_700_000_000;
const SECONDS_APART: u64 = 10;
const SLOTS_APART: u64 = 25;
const LONGEST_PAGE: u64 = 1_000;
/// Whose coins come from nowhere in particular.
const STRANGER: &str = "9B5XszUGdMaxCZ7uSQhPzdks5ZQSmWxrmzCSvtJ6Ns6g";

/// A node of Solana.
#[derive(Clone, Debug)]
pub struct Solana {
    /// Stands for `https://api.mainnet-beta.solana.com`.
    pub host: Host,
    state: Shared,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    /// In the order in which they were made.
    transactions: Vec<Transaction>,
    /// By address: the numbers of the transactions that name it.
    named: HashMap<String, Vec<usize>>,
    by_signature: HashMap<String, usize>,
    lamports: HashMap<String, u64>,
    tokens: BTreeMap<String, TokenAccount>,
    programs: HashSet<String>,
    /// Signatures of which only the list is left.
    pruned: HashSet<String>,
    /// So many of the newest transactions this node has not seen yet.
    behind: usize,
    calls: HashMap<String, usize>,
    /// By method: how many more calls of it are answered.
    allowed: HashMap<String, usize>,
    wait: f64,
    error: Option<(i64, String)>,
    throttle: Throttle,
}

#[derive(Clone, Debug)]
struct TokenAccount {
    owner: String,
    mint: String,
    decimals: u32,
    program: &'static str,
    amount: u64,
}

#[derive(Clone, Debug)]
struct Transaction {
    signature: String,
    fee: u64,
    failed: bool,
    versioned: bool,
    accounts: Vec<Account>,
}

/// An account of a transaction, before and after it.
#[derive(Clone, Debug)]
struct Account {
    address: String,
    lamports: [u64; 2],
    token: [Option<TokenAccount>; 2],
}

impl Solana {
    /// Starts a node whose chain has no transactions.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Shared::default();
        let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&state));
        Ok(Self { host: Host::start(router).await?, state })
    }

    /// An address that stands for `name`; always the same.
    #[must_use]
    pub fn address(name: &str) -> String {
        bs58::encode(digest(&SHA256, name.as_bytes())).into_string()
    }

    /// The address of an owner's account for a token.
    #[must_use]
    pub fn token_address(owner: &str, mint: &str) -> String {
        Self::address(&format!("{owner}/{mint}"))
    }

    /// Whether a token account is open.
    #[must_use]
    pub fn is_open(&self, account: &str) -> bool {
        lock(&self.state).tokens.contains_key(account)
    }

    /// The signatures of all that ever happened to an address or to a token account of its.
    #[must_use]
    pub fn history(&self, owner: &str) -> HashSet<String> {
        let state = lock(&self.state);
        let is_its = |account: &Account| {
            account.address == owner || account.token.iter().flatten().any(|token| token.owner == owner)
        };
        let its = state.transactions.iter().filter(|one| one.accounts.iter().any(is_its));
        its.map(|one| one.signature.clone()).collect()
    }

    /// A stranger pays so many lamports. Gives the transaction's signature.
    pub fn receive(&self, address: &str, lamports: u64) -> String {
        self.transfer(STRANGER, address, lamports)
    }

    /// Strangers pay so many times.
    pub fn receive_many(&self, address: &str, count: usize) {
        for number in 0..count {
            self.receive(address, 1_000_000 + number as u64);
        }
    }

    /// `from` pays so many lamports and the fee.
    pub fn transfer(&self, from: &str, to: &str, lamports: u64) -> String {
        lock(&self.state).transact(from, &[to, SYSTEM_PROGRAM], |ledger| {
            ledger.take(from, lamports);
            ledger.give(to, lamports);
        })
    }

    /// `payer` opens an account of `owner` for a token, which is named by both; gives its address. The same one, if it
    /// was closed and is opened again.
    pub fn open(&self, payer: &str, owner: &str, mint: &str, decimals: u32, program: &'static str) -> String {
        let address = Self::token_address(owner, mint);
        lock(&self.state).transact(payer, &[&address, owner, mint, program], |ledger| {
            ledger.take(payer, RENT);
            ledger.give(&address, RENT);
            let account = TokenAccount { owner: owner.into(), mint: mint.into(), decimals, program, amount: 0 };
            ledger.tokens.insert(address.clone(), account);
        });
        address
    }

    /// A stranger sends so much of a token to an account: the transaction does not name its owner.
    pub fn receive_token(&self, account: &str, amount: u64) -> String {
        lock(&self.state).transact(STRANGER, &[account], |ledger| ledger.give_token(account, amount))
    }

    /// The account's owner sends so much of it to a stranger.
    pub fn send_token(&self, account: &str, amount: u64) -> String {
        let owner = self.owner(account);
        lock(&self.state).transact(&owner, &[account], |ledger| ledger.take_token(account, amount))
    }

    /// The owner of both sells one token for another, in a transaction of version 0.
    pub fn swap(&self, sold: (&str, u64), bought: (&str, u64)) -> String {
        let owner = self.owner(sold.0);
        let mut state = lock(&self.state);
        let signature = state.transact(&owner, &[sold.0, bought.0], |ledger| {
            ledger.take_token(sold.0, sold.1);
            ledger.give_token(bought.0, bought.1);
        });
        if let Some(last) = state.transactions.last_mut() {
            last.versioned = true;
        }
        signature
    }

    /// The account's owner burns what is left in it and closes it; its lamports go back to the owner.
    pub fn close(&self, account: &str) -> String {
        let owner = self.owner(account);
        lock(&self.state).transact(&owner, &[account], |ledger| {
            let lamports = ledger.lamports.remove(account).unwrap_or_default();
            ledger.tokens.remove(account);
            ledger.give(&owner, lamports);
        })
    }

    /// A transaction of `payer` that fails and costs its fee all the same.
    pub fn fail(&self, payer: &str) -> String {
        let mut state = lock(&self.state);
        let signature = state.transact(payer, &[SYSTEM_PROGRAM], |_| {});
        if let Some(last) = state.transactions.last_mut() {
            last.failed = true;
        }
        signature
    }

    /// A transaction of `payer` that moves nothing.
    pub fn call(&self, payer: &str, program: &str) -> String {
        lock(&self.state).transact(payer, &[program], |_| {})
    }

    /// Makes a program of an address.
    pub fn deploy(&self, address: &str) {
        lock(&self.state).programs.insert(address.to_owned());
    }

    fn owner(&self, account: &str) -> String {
        lock(&self.state).tokens.get(account).map(|token| token.owner.clone()).unwrap_or_default()
    }

    /// Loses the details of a transaction, as a node does that keeps only a part of the history.
    pub fn prune(&self, signature: &str) {
        lock(&self.state).pruned.insert(signature.to_owned());
    }

    /// Falls behind by so many of the newest transactions, as one of the nodes behind a load balancer may.
    pub fn fall_behind(&self, transactions: usize) {
        lock(&self.state).behind = transactions;
    }

    /// How many calls of a method have come in.
    #[must_use]
    pub fn calls(&self, method: &str) -> usize {
        lock(&self.state).calls.get(method).copied().unwrap_or_default()
    }

    /// Forgets the calls so far.
    pub fn forget_calls(&self) {
        lock(&self.state).calls.clear();
    }

    /// Answers so many more calls of a method; the others are refused with 429, asking to wait `seconds`.
    pub fn allow(&self, method: &str, calls: usize, seconds: f64) {
        let mut state = lock(&self.state);
        state.allowed.insert(method.to_owned(), calls);
        state.wait = seconds;
    }

    /// Refuses the next `count` requests with 429, asking to wait `seconds`.
    pub fn throttle(&self, count: usize, seconds: f64) {
        lock(&self.state).throttle.set(count, seconds);
    }

    /// Answers the next call with this JSON-RPC error and HTTP 200.
    pub fn refuse_next(&self, code: i64, message: &str) {
        lock(&self.state).error = Some((code, message.to_owned()));
    }
}

/// What a transaction changes.
struct Ledger<'a> {
    lamports: &'a mut HashMap<String, u64>,
    tokens: &'a mut BTreeMap<String, TokenAccount>,
}

impl Ledger<'_> {
    fn give(&mut self, address: &str, lamports: u64) {
        *self.lamports.entry(address.to_owned()).or_default() += lamports;
    }

    /// Whoever has too little is given it first, out of nowhere.
    fn take(&mut self, address: &str, lamports: u64) {
        let held = self.lamports.entry(address.to_owned()).or_default();
        *held = held.saturating_sub(lamports);
    }

    fn change_token(&mut self, account: &str, change: impl Fn(u64) -> u64) {
        let Some(token) = self.tokens.get_mut(account) else { return };
        token.amount = change(token.amount);
        if token.mint == WRAPPED_SOL {
            let lamports = RENT + token.amount;
            self.lamports.insert(account.to_owned(), lamports);
        }
    }

    fn give_token(&mut self, account: &str, amount: u64) {
        self.change_token(account, |held| held + amount);
    }

    fn take_token(&mut self, account: &str, amount: u64) {
        self.change_token(account, |held| held.saturating_sub(amount));
    }
}

impl State {
    /// Makes a transaction that `payer` pays for and that names these accounts too.
    fn transact(&mut self, payer: &str, others: &[&str], change: impl FnOnce(&mut Ledger<'_>)) -> String {
        // Nobody here runs out of coins.
        let held = self.lamports.entry(payer.to_owned()).or_insert(0);
        if *held < 1_000_000_000_000 {
            *held = 10_000_000_000_000;
        }
        let mut addresses = vec![payer.to_owned()];
        for other in others.iter().filter(|other| **other != payer) {
            addresses.push((*other).to_owned());
        }
        let before = self.look(&addresses);
        if let Some(held) = self.lamports.get_mut(payer) {
            *held -= FEE;
        }
        change(&mut Ledger { lamports: &mut self.lamports, tokens: &mut self.tokens });
        let after = self.look(&addresses);
        let number = self.transactions.len();
        let halves = [0, 1].map(|half| digest(&SHA256, format!("transaction {number}.{half}").as_bytes()));
        let signature = bs58::encode(halves.map(|half| half.as_ref().to_vec()).concat()).into_string();
        for address in &addresses {
            self.named.entry(address.clone()).or_default().push(number);
        }
        let accounts = addresses.into_iter().zip(before).zip(after).map(|((address, before), after)| Account {
            address,
            lamports: [before.0, after.0],
            token: [before.1, after.1],
        });
        self.transactions.push(Transaction {
            signature: signature.clone(),
            fee: FEE,
            failed: false,
            versioned: false,
            accounts: accounts.collect(),
        });
        self.by_signature.insert(signature.clone(), number);
        signature
    }

    fn look(&self, addresses: &[String]) -> Vec<(u64, Option<TokenAccount>)> {
        let of = |address| (self.lamports.get(address).copied().unwrap_or_default(), self.tokens.get(address).cloned());
        addresses.iter().map(of).collect()
    }

    /// How many transactions this node has.
    fn known(&self) -> usize {
        self.transactions.len().saturating_sub(self.behind)
    }

    /// The last slot before the next transaction's.
    fn slot(&self) -> u64 {
        slot_of(self.known()) - 1
    }

    fn call(&mut self, id: &Value, call: &Map<String, Value>) -> Value {
        let method = text(call, "method");
        *self.calls.entry(method.to_owned()).or_default() += 1;
        if let Some((code, message)) = self.error.take() {
            return failure(id, code, &message);
        }
        let params = list(call, "params");
        let options = params.iter().rev().find_map(Value::as_object).cloned().unwrap_or_default();
        if options.get("minContextSlot").and_then(Value::as_u64).is_some_and(|least| least > self.slot()) {
            return failure(id, -32016, "Minimum context slot has not been reached");
        }
        let named = params.first().and_then(Value::as_str).unwrap_or_default();
        let wanted = if method == "getTransaction" { 64 } else { 32 };
        if method != "getSlot" && bs58::decode(named).into_vec().map_or(0, |bytes| bytes.len()) != wanted {
            return failure(id, -32602, "Invalid param: WrongSize");
        }
        let result = match method {
            "getSlot" => Ok(json!(self.slot())),
            "getAccountInfo" => Ok(self.in_context(self.account(named, &options))),
            "getTokenAccountsByOwner" => self.owned(named, params, &options),
            "getSignaturesForAddress" => self.signatures(named, &options),
            "getTransaction" => self.transaction(named, &options),
            _ => Err((-32601, "Method not found")),
        };
        match result {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Err((code, message)) => failure(id, code, message),
        }
    }

    fn in_context(&self, value: Value) -> Value {
        json!({ "context": { "apiVersion": "3.1.11", "slot": self.slot() }, "value": value })
    }

    fn account(&self, address: &str, options: &Map<String, Value>) -> Value {
        let is_program = self.programs.contains(address);
        let (owner, data) = match self.tokens.get(address) {
            Some(token) => (token.program, token.data()),
            None if is_program => (LOADER, vec![0; 36]),
            None if self.lamports.contains_key(address) => (SYSTEM_PROGRAM, Vec::new()),
            None => return Value::Null,
        };
        self.described(address, owner, &data, options)
    }

    fn described(&self, address: &str, owner: &str, data: &[u8], options: &Map<String, Value>) -> Value {
        json!({
            "data": [sliced(data, options), "base64"],
            "executable": self.programs.contains(address),
            "lamports": self.lamports.get(address).copied().unwrap_or(1_141_440),
            "owner": owner,
            "rentEpoch": u64::MAX,
            "space": data.len(),
        })
    }

    /// The token accounts that were open when this node's last transaction had happened.
    fn tokens_known(&self) -> BTreeMap<String, TokenAccount> {
        let mut tokens: BTreeMap<String, TokenAccount> =
            self.tokens.iter().map(|(address, token)| (address.clone(), token.clone())).collect();
        let unknown = self.transactions.iter().skip(self.known()).rev();
        for account in unknown.flat_map(|transaction| &transaction.accounts) {
            match &account.token {
                [Some(before), _] => drop(tokens.insert(account.address.clone(), before.clone())),
                [None, Some(_)] => drop(tokens.remove(&account.address)),
                [None, None] => {}
            }
        }
        tokens
    }

    fn owned(&self, owner: &str, params: &[Value], options: &Map<String, Value>) -> Result<Value, (i64, &'static str)> {
        let filter = params.get(1).and_then(|filter| filter.get("programId")).and_then(Value::as_str);
        let Some(program) = filter.filter(|program| [TOKEN_PROGRAM, TOKEN_2022_PROGRAM].contains(program)) else {
            return Err((-32602, "Invalid param: unrecognized Token program id"));
        };
        let known = self.tokens_known();
        let own = known.iter().filter(|(_, token)| token.owner == owner && token.program == program);
        let own = own.map(|(address, token)| {
            json!({ "pubkey": address, "account": self.described(address, token.program, &token.data(), options) })
        });
        let own: Vec<Value> = own.collect();
        Ok(self.in_context(own.into()))
    }

    fn signatures(&self, address: &str, options: &Map<String, Value>) -> Result<Value, (i64, &'static str)> {
        let limit = options.get("limit").and_then(Value::as_u64).unwrap_or(LONGEST_PAGE);
        if !(1..=LONGEST_PAGE).contains(&limit) {
            return Err((-32602, "Invalid limit; max 1000"));
        }
        let place = |name: &str| match text(options, name) {
            "" => Ok(None),
            signature => match self.by_signature.get(signature) {
                Some(number) if *number < self.known() => Ok(Some(*number)),
                _ => Err((-32020, "Transaction not found")),
            },
        };
        let (before, until) = (place("before")?.unwrap_or(self.known()), place("until")?);
        let named = self.named.get(address).map_or(&[][..], Vec::as_slice);
        let fits = |number: &&usize| **number < before && until.is_none_or(|until| **number > until);
        let end = named.partition_point(|number| *number < before);
        let page: Vec<Value> = named
            .iter()
            .take(end)
            .rev()
            .take_while(fits)
            .take(usize::try_from(limit).unwrap_or_default())
            .filter_map(|number| Some(self.transactions.get(*number)?.listed(*number)))
            .collect();
        Ok(page.into())
    }

    fn transaction(&self, signature: &str, options: &Map<String, Value>) -> Result<Value, (i64, &'static str)> {
        let number = self.by_signature.get(signature).copied().filter(|number| *number < self.known());
        let Some(number) = number.filter(|_| !self.pruned.contains(signature)) else { return Ok(Value::Null) };
        let Some(transaction) = self.transactions.get(number) else { return Ok(Value::Null) };
        if transaction.versioned && !options.contains_key("maxSupportedTransactionVersion") {
            return Err((-32015, "Transaction version (0) is not supported by the requesting client"));
        }
        if text(options, "encoding") != "jsonParsed" {
            return Err((-32602, "Invalid params: this node answers jsonParsed only"));
        }
        Ok(transaction.to_json(number))
    }
}

fn slot_of(number: usize) -> u64 {
    FIRST_SLOT + number as u64 * SLOTS_APART
}

fn time_of(number: usize) -> u64 {
    FIRST_TIME + number as u64 * SECONDS_APART
}

/// A part of an account's data, in base64.
fn sliced(data: &[u8], options: &Map<String, Value>) -> String {
    let slice = options.get("dataSlice").and_then(Value::as_object);
    let number = |name: &str| slice?.get(name)?.as_u64().and_then(|number| usize::try_from(number).ok());
    let (from, length) = (number("offset").unwrap_or(0), number("length").unwrap_or(data.len()));
    STANDARD.encode(data.iter().copied().skip(from).take(length).collect::<Vec<u8>>())
}

impl TokenAccount {
    /// As the program lays it out: mint, owner, amount, and what is left empty here.
    fn data(&self) -> Vec<u8> {
        let bytes = |address: &str| bs58::decode(address).into_vec().unwrap_or_default();
        let mut data = [bytes(&self.mint), bytes(&self.owner), self.amount.to_le_bytes().to_vec()].concat();
        data.resize(165, 0);
        if self.program == TOKEN_2022_PROGRAM {
            // The kind of account, and an extension that says it cannot change its owner.
            data.extend([2, 7, 0, 0, 0]);
        }
        data
    }
}

impl Transaction {
    fn error(&self) -> Value {
        if self.failed { json!({ "InstructionError": [0, { "Custom": 1 }] }) } else { Value::Null }
    }

    fn listed(&self, number: usize) -> Value {
        json!({
            "signature": self.signature,
            "slot": slot_of(number),
            "err": self.error(),
            "memo": null,
            "blockTime": time_of(number),
            "confirmationStatus": "finalized",
        })
    }

    fn to_json(&self, number: usize) -> Value {
        let keys = self.accounts.iter().enumerate().map(|(place, account)| {
            let source = if self.versioned && place > 1 { "lookupTable" } else { "transaction" };
            json!({ "pubkey": account.address, "signer": place == 0, "writable": true, "source": source })
        });
        let lamports = |side: usize| -> Vec<u64> {
            self.accounts.iter().filter_map(|account| account.lamports.get(side).copied()).collect()
        };
        let tokens = |side: usize| -> Vec<Value> {
            let of = |(place, account): (usize, &Account)| {
                let token = account.token.get(side)?.as_ref()?;
                Some(json!({
                    "accountIndex": place,
                    "mint": token.mint,
                    "owner": token.owner,
                    "programId": token.program,
                    "uiTokenAmount": { "amount": token.amount.to_string(), "decimals": token.decimals },
                }))
            };
            self.accounts.iter().enumerate().filter_map(of).collect()
        };
        json!({
            "blockTime": time_of(number),
            "slot": slot_of(number),
            "version": if self.versioned { json!(0) } else { json!("legacy") },
            "transaction": {
                "signatures": [self.signature],
                "message": { "accountKeys": keys.collect::<Vec<Value>>(), "instructions": [] },
            },
            "meta": {
                "err": self.error(),
                "fee": self.fee,
                "preBalances": lamports(0),
                "postBalances": lamports(1),
                "preTokenBalances": tokens(0),
                "postTokenBalances": tokens(1),
                "innerInstructions": [],
                "logMessages": [],
            },
        })
    }
}

fn failure(id: &Value, code: i64, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
}

async fn answer(Extracted(state): Extracted<Shared>, body: Bytes) -> Response {
    let mut state = lock(&state);
    let Ok(Value::Object(call)) = serde_json::from_slice(&body) else {
        return json_answer(StatusCode::OK, &failure(&Value::Null, -32700, "Parse error"));
    };
    let id = call.get("id").cloned().unwrap_or_default();
    let refused = match state.allowed.get_mut(text(&call, "method")) {
        Some(0) => Some(state.wait),
        Some(left) => {
            *left -= 1;
            None
        }
        None => state.throttle.take(),
    };
    if let Some(seconds) = refused {
        let message = "Too many requests for a specific RPC call";
        let refused = json_answer(StatusCode::TOO_MANY_REQUESTS, &failure(&id, 429, message));
        return with_headers(refused, [("retry-after", whole_seconds(seconds))]);
    }
    if text(&call, "jsonrpc") != "2.0" {
        return json_answer(StatusCode::OK, &failure(&id, -32600, "Invalid request"));
    }
    json_answer(StatusCode::OK, &state.call(&id, &call))
}
