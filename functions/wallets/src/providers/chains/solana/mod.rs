//! Solana, asked through a node's JSON-RPC: an address and the token accounts that belong to it.
//!
//! # How a history is walked
//! `getSignaturesForAddress` lists the transactions that name an address, newest first. A token that arrives names the
//! account that holds it and not the wallet, so the wallet's own list is not its history. First come the lists of its token
//! accounts, those of the token program and those of Token-2022, in the order of their addresses; then its own. What these
//! transactions closed is on no list of accounts any more, so the list of each closed account is read as soon as it is met,
//! before the list that it was met on goes on: what waits stays short, and of those that were read the beginning of the
//! address is kept, so that each is read once. There may be four thousand in a walk; the owner is told if there are more.
//! The own list comes behind the open accounts because whatever is closed before it could be read is named there.
//!
//! What a transaction did is in its details, one `getTransaction` each, so a page takes as many signatures as it asks
//! details of: nearly a hundred, what is stored at once. Where the node will not go on in the middle, the page ends with
//! what it has, and the next begins behind it. A transaction is one record, named by its signature, whichever lists it is
//! on, and its details do not depend on the list: lamports of the wallet and of its token accounts together, so that
//! neither rent nor wrapped SOL looks like a payment, and each other token by itself. Where more than one asset went the
//! same way the record names one of them, tokens before SOL. What is on several lists is asked for with each of them,
//! unless they meet on one page.
//!
//! A walk notes the slot at which it begins, and the newest signature of the own list. The next walk reads the own list
//! down to that signature (`until`) and every list down to that slot, less a minute, so what arrives meanwhile is its
//! business. Only finalised transactions are taken, and a node that has not come as far as the slot is waited for
//! (`minContextSlot`): several of them may stand behind one address.
//!
//! Nothing is stored of a transaction whose details the node does not have. A node of the whole history is needed; the
//! public one has it and is slow.
//!
//! Facts: solana.com's RPC reference; the node's `rpc-client-api/src/custom_error.rs` for the codes; its limits from
//! "Clusters and public RPC endpoints".

mod address;
mod effect;
#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::egress::Upstream;
use shared::http::FieldProblem;

use self::address::{is_on_curve, parse_address};
use self::effect::Transaction;
use crate::model::{Category, Record};
use crate::providers::{Account, Checked, Cursor, Entry, Fetched, Given, Next, Outside, Source, Trouble};

const NAME: &str = "Solana";
/// The beginning of the main network's first block, in the form of CAIP-2.
const CHAIN: &str = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";
/// The programs whose accounts hold tokens.
const TOKEN_PROGRAMS: [&str; 2] =
    ["TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA", "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"];
/// So many transactions are a page, few enough to be stored at once, and so many lists are looked at for it.
const PAGE: usize = 96;
const LOOKS: usize = 40;
/// Details are asked for so many at a time.
const AT_ONCE: usize = 4;
/// What was finalised so many slots before a walk began, about a minute, is looked at again by the next.
const OVERLAP_SLOTS: u64 = 150;
/// So many closed accounts are read in a walk, and so much of their addresses is kept: chance does not make two of them
/// alike.
const MOST_CLOSED: usize = 4_000;
const KEPT_OF_ADDRESS: usize = 8;
/// What the owner of a wallet that closed more is told.
const TOO_MANY_CLOSED: &str = "This wallet has closed more token accounts than are read at once. Transfers to those beyond the \
    first 4,000 that the wallet did not sign itself may be missing.";
/// What a node does not say: how long it wants to be left alone.
const UNSAID: Duration = Duration::from_secs(5);
/// A transaction this young may not have come to every node yet.
const YOUNG: SignedDuration = SignedDuration::from_mins(10);
/// When the main network began, in seconds, for the few early blocks that have no time: a slot takes 400 ms.
const GENESIS: i64 = 1_584_368_940;

/// Solana in the catalogue.
pub static ENTRY: Entry = Entry {
    id: "solana",
    public_name: NAME,
    category: Category::Blockchain,
    logo_url: "https://cdn.jsdelivr.net/gh/spothq/cryptocurrency-icons@0.18.1/svg/color/sol.svg",
    sources: &[&Solana],
    chains: &[CHAIN],
    takes_csv: false,
    instructions: "Give the wallet's address, which Phantom, Solflare or Ledger Live show under Receive. Its token \
        accounts are found by themselves. Never give a private key or the words of a recovery phrase.",
};

/// Solana's main network.
pub struct Solana;

#[async_trait::async_trait]
impl Source for Solana {
    fn name(&self) -> &'static str {
        "solana"
    }

    fn accepted(&self) -> &'static str {
        "a Solana address (32 bytes in base58)"
    }

    fn account(&self, given: &Given) -> Result<Account, Vec<FieldProblem>> {
        match parse_address(given.address.as_deref().unwrap_or_default()) {
            Ok(bytes) => Ok(Account::of_address(bs58::encode(bytes).into_string(), given.chains_of("solana"))),
            Err(message) => Err(vec![FieldProblem::new("address", "value", message)]),
        }
    }

    async fn check(&self, account: &Account, outside: &Outside<'_>) -> Result<Checked, Trouble> {
        let slice = json!({ "offset": TOKEN_DATA.start, "length": TOKEN_DATA.len() });
        let options = json!({ "encoding": "base64", "commitment": "finalized", "dataSlice": slice });
        let found: Option<InContext<Option<AccountInfo>>> =
            call(outside, "getAccountInfo", json!([account.address(), options])).await?;
        let found = found.ok_or_else(|| Trouble::unreadable(NAME))?.value;
        let mut checked = Checked::default();
        if let Some(owner) = found.as_ref().and_then(AccountInfo::token_owner) {
            checked.warnings.push(format!(
                "This is a token account and not a wallet. Connect {owner}, which it belongs to, to see everything."
            ));
        } else if found.is_some_and(|found| found.executable) {
            checked.is_contract = true;
        } else if parse_address(account.address()).is_ok_and(|bytes| !is_on_curve(bytes)) {
            checked.warnings.push(
                "No private key belongs to this address: a program made it (it is not on the curve). If it is not a \
                 vault or a multi-signature wallet of yours, look for your wallet's own address."
                    .into(),
            );
        }
        Ok(checked)
    }

    async fn page(
        &self,
        account: &Account,
        cursor: Option<&Cursor>,
        outside: &Outside<'_>,
    ) -> Result<Fetched, Trouble> {
        let mut walk = match cursor.and_then(Cursor::read::<Position>) {
            Some(Position::Walking(walk)) => walk,
            Some(Position::Done(mark)) => Walk::begin(Some(mark), outside).await?,
            None => Walk::begin(None, outside).await?,
        };
        let mut page = Page { own: account.address(), outside, records: Vec::new(), seen: HashSet::new(), open: None };
        for number in 0..LOOKS {
            if walk.is_done() || page.room() == 0 {
                break;
            }
            match walk.step(&mut page).await {
                Ok(Step::Whole) => {}
                Ok(Step::Part) => break,
                // What has been read so far is not read again; the trouble comes again if it lasts.
                Err(_) if number > 0 => break,
                Err(trouble) => return Err(trouble),
            }
        }
        let next = if walk.is_done() {
            Next::End(Some(Cursor::of(&Position::Done(walk.mark))))
        } else {
            Next::More(Cursor::of(&Position::Walking(walk)))
        };
        Ok(Fetched { records: page.records, next, expected: None })
    }
}

/// What a cursor holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Position {
    /// In the middle of a walk.
    Walking(Walk),
    /// At the end of one.
    Done(Mark),
}

/// Up to where a history is known.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Mark {
    /// The slot at which the walk began.
    slot: u64,
    /// The newest signature of the wallet's own list then.
    newest: Option<String>,
}

/// A walk through the history.
#[derive(Debug, Serialize, Deserialize)]
struct Walk {
    /// What is older was seen before.
    since: Option<Mark>,
    /// What the next walk goes by.
    mark: Mark,
    place: Place,
    /// The last signature that was read of the list there; none at its beginning.
    before: Option<String>,
    /// Accounts that transactions have closed. As long as there are any, the first one's list is read before `place` goes on.
    closed: VecDeque<String>,
    /// The last signature that was read of that list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    closed_before: Option<String>,
    /// The beginnings of the addresses of all that were ever in `closed`, one behind the other.
    known: String,
}

/// Which list is being read, but for those of closed accounts.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    /// The one of this token account, or, once it is read, of the next.
    Open { account: String, is_read: bool },
    /// The wallet's own.
    Own,
    /// None: they are read.
    Done,
}

/// How far a step came.
enum Step {
    /// As far as it was to.
    Whole,
    /// Only so far.
    Part,
}

/// One page in the making.
struct Page<'a> {
    own: &'a str,
    outside: &'a Outside<'a>,
    records: Vec<Record>,
    /// The signatures of `records`: another list may have them too.
    seen: HashSet<String>,
    /// The token accounts that are open, sorted, once they are needed.
    open: Option<Vec<String>>,
}

impl Page<'_> {
    fn room(&self) -> usize {
        PAGE.saturating_sub(self.records.len())
    }

    /// The accounts that are open at this slot or later.
    async fn open(&mut self, slot: u64) -> Result<&[String], Trouble> {
        if self.open.is_none() {
            let mut accounts = Vec::new();
            for program in TOKEN_PROGRAMS {
                accounts.extend(token_accounts(self.own, program, slot, self.outside).await?);
            }
            accounts.sort_unstable();
            self.open = Some(accounts);
        }
        Ok(self.open.as_deref().unwrap_or_default())
    }
}

impl Walk {
    async fn begin(since: Option<Mark>, outside: &Outside<'_>) -> Result<Self, Trouble> {
        let slot: Option<u64> = call(outside, "getSlot", json!([{ "commitment": "finalized" }])).await?;
        let slot = slot.ok_or_else(|| Trouble::unreadable(NAME))?;
        let newest = since.as_ref().and_then(|since| since.newest.clone());
        let mark = Mark { slot, newest };
        let place = Place::Open { account: String::new(), is_read: true };
        let closed = VecDeque::new();
        Ok(Self { since, mark, place, before: None, closed, closed_before: None, known: String::new() })
    }

    fn is_done(&self) -> bool {
        matches!(self.place, Place::Done) && self.closed.is_empty()
    }

    /// The account whose list is to be read; none at the end.
    async fn account(&mut self, page: &mut Page<'_>) -> Result<Option<String>, Trouble> {
        if let Some(closed) = self.closed.front() {
            return Ok(Some(closed.clone()));
        }
        if let Place::Open { account, is_read: true } = &self.place {
            let next = page.open(self.mark.slot).await?.iter().find(|one| *one > account);
            if next.is_some() {
                return Ok(next.cloned());
            }
            self.place = Place::Own;
        }
        Ok(match &self.place {
            Place::Open { account, .. } => Some(account.clone()),
            Place::Own => Some(page.own.to_owned()),
            Place::Done => None,
        })
    }

    /// Goes on to the list behind the one of `account`.
    fn leave(&mut self, account: String, is_closed: bool) {
        if is_closed {
            self.closed.pop_front();
            self.closed_before = None;
            return;
        }
        self.before = None;
        self.place = match self.place {
            Place::Open { .. } => Place::Open { account, is_read: true },
            Place::Own | Place::Done => Place::Done,
        };
    }

    /// Puts a closed account on the list of those that are to be read, once. False if there are too many.
    fn queue_closed(&mut self, account: String) -> bool {
        let Some(start) = account.get(..KEPT_OF_ADDRESS) else { return true };
        if self.known.as_bytes().chunks_exact(KEPT_OF_ADDRESS).any(|known| known == start.as_bytes()) {
            return true;
        }
        let has_room = self.known.len() < MOST_CLOSED * KEPT_OF_ADDRESS;
        if has_room {
            self.known.push_str(start);
            self.closed.push_back(account);
        }
        has_room
    }

    /// Stays with the list of `account`, behind `last`.
    fn stay(&mut self, account: String, last: String, is_closed: bool) {
        if is_closed {
            self.closed_before = Some(last);
            return;
        }
        self.before = Some(last);
        if matches!(self.place, Place::Open { .. }) {
            self.place = Place::Open { account, is_read: false };
        }
    }

    /// Reads as much of the present list as the page has room for. Nothing has been read if it fails.
    async fn step(&mut self, page: &mut Page<'_>) -> Result<Step, Trouble> {
        let Some(account) = self.account(page).await? else { return Ok(Step::Whole) };
        let is_closed = !self.closed.is_empty();
        let is_own = !is_closed && matches!(self.place, Place::Own);
        let before = if is_closed { &self.closed_before } else { &self.before };
        let until = self.since.as_ref().and_then(|since| since.newest.as_deref()).filter(|_| is_own);
        let limit = page.room();
        let listed = Listing { account: &account, before: before.as_deref(), until, limit, slot: self.mark.slot };
        let listed = listed.read(page.outside).await?;
        let known = self.since.as_ref().map_or(0, |since| since.slot.saturating_sub(OVERLAP_SLOTS));
        let fresh: Vec<&Listed> = listed.iter().take_while(|one| one.slot >= known).collect();
        let goes_on = fresh.len() == limit;

        let fetches: Vec<BoxFuture<'_, Result<Option<Transaction>, Trouble>>> = fresh
            .iter()
            .map(|one| {
                let is_new = !page.seen.contains(&one.signature);
                let outside = page.outside;
                async move { if is_new { one.transaction(outside).await.map(Some) } else { Ok(None) } }.boxed()
            })
            .collect();
        let mut fetches = stream::iter(fetches).buffered(AT_ONCE);
        let mut read: Vec<(&Listed, Option<Transaction>)> = Vec::new();
        while let Some(fetched) = fetches.next().await {
            match (fetched, fresh.get(read.len())) {
                (Ok(transaction), Some(one)) => read.push((one, transaction)),
                (Err(trouble), _) if read.is_empty() => return Err(trouble),
                _ => break,
            }
        }
        drop(fetches);

        let is_whole = read.len() == fresh.len();
        let last = read.last().map(|(one, _)| one.signature.clone());
        for (one, transaction) in read {
            let Some(transaction) = transaction else { continue };
            let effect = transaction.effect(page.own)?;
            page.records.push(effect.record(&one.signature, one.time()));
            page.seen.insert(one.signature.clone());
            for account in effect.closed {
                if !self.queue_closed(account) {
                    page.outside.warn(TOO_MANY_CLOSED);
                }
            }
        }
        if is_own && self.before.is_none() {
            self.mark.newest = listed.first().map(|first| first.signature.clone()).or(self.mark.newest.take());
        }
        match last {
            Some(last) if goes_on || !is_whole => self.stay(account, last, is_closed),
            _ => self.leave(account, is_closed),
        }
        Ok(if is_whole { Step::Whole } else { Step::Part })
    }
}

/// A question for signatures.
struct Listing<'a> {
    account: &'a str,
    before: Option<&'a str>,
    until: Option<&'a str>,
    limit: usize,
    /// The node must have come as far.
    slot: u64,
}

impl Listing<'_> {
    async fn read(&self, outside: &Outside<'_>) -> Result<Vec<Listed>, Trouble> {
        let mut options = json!({ "commitment": "finalized", "limit": self.limit, "minContextSlot": self.slot });
        let places = [("before", self.before), ("until", self.until)];
        if let Some(options) = options.as_object_mut() {
            options.extend(places.into_iter().filter_map(|(name, place)| Some((name.to_owned(), place?.into()))));
        }
        let mut answer = ask(outside, "getSignaturesForAddress", json!([self.account, options])).await?;
        if self.until.is_some() && matches!(&answer, Err(refusal) if refusal.code == NO_SUCH_SIGNATURE) {
            // The slot is enough to stop at.
            if let Some(options) = options.as_object_mut() {
                options.remove("until");
            }
            answer = ask(outside, "getSignaturesForAddress", json!([self.account, options])).await?;
        }
        answer.map_err(Refusal::trouble)?.ok_or_else(|| Trouble::unreadable(NAME))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    signature: String,
    slot: u64,
    block_time: Option<i64>,
}

impl Listed {
    fn time(&self) -> Timestamp {
        let by_slot = || GENESIS.saturating_add_unsigned(self.slot.saturating_mul(2) / 5);
        Timestamp::from_second(self.block_time.unwrap_or_else(by_slot)).unwrap_or_default()
    }

    /// The details.
    async fn transaction(&self, outside: &Outside<'_>) -> Result<Transaction, Trouble> {
        let options =
            json!({ "encoding": "jsonParsed", "commitment": "finalized", "maxSupportedTransactionVersion": 0 });
        let found = call(outside, "getTransaction", json!([self.signature, options])).await?;
        found.ok_or_else(|| {
            let is_young = outside.now().duration_since(self.time()) < YOUNG;
            if is_young { Trouble::Wait { provider: NAME, for_: UNSAID } } else { Refusal::incomplete() }
        })
    }
}

#[derive(Deserialize)]
struct InContext<T> {
    value: T,
}

#[derive(Deserialize)]
struct AccountInfo {
    executable: bool,
    /// The program that it belongs to.
    owner: String,
    /// A part of its data, and the encoding.
    data: (String, String),
}

/// What is asked of an account's data: from its owner's 32 bytes to the one that tells an account with extensions (2) from
/// a mint with extensions (1). An account without extensions ends before that one, a mint long before.
const TOKEN_DATA: std::ops::Range<usize> = 32..166;

impl AccountInfo {
    /// Whose tokens it holds, if it is a token account.
    fn token_owner(&self) -> Option<String> {
        let data = STANDARD.decode(&self.data.0).ok()?;
        let (most, last) = (TOKEN_DATA.len(), data.last().copied());
        let is_account = TOKEN_PROGRAMS.contains(&self.owner.as_str())
            && (data.len() == most - 1 || (data.len() == most && last == Some(2)));
        let owner = data.get(..32).filter(|_| is_account)?;
        Some(bs58::encode(owner).into_string())
    }
}

#[derive(Deserialize)]
struct Owned {
    pubkey: String,
}

/// The addresses of the open accounts of a token program that belong to `owner`.
async fn token_accounts(owner: &str, program: &str, slot: u64, outside: &Outside<'_>) -> Result<Vec<String>, Trouble> {
    let slice = json!({ "offset": 0, "length": 0 });
    let options =
        json!({ "encoding": "base64", "commitment": "finalized", "minContextSlot": slot, "dataSlice": slice });
    let params = json!([owner, { "programId": program }, options]);
    let found: Option<InContext<Vec<Owned>>> = call(outside, "getTokenAccountsByOwner", params).await?;
    let found = found.ok_or_else(|| Trouble::unreadable(NAME))?;
    Ok(found.value.into_iter().map(|one| one.pubkey).collect())
}

#[derive(Deserialize)]
struct Reply<T> {
    #[serde(rename = "jsonrpc")]
    _version: String,
    result: Option<T>,
    error: Option<Refusal>,
}

/// A JSON-RPC error.
#[derive(Debug, Deserialize)]
struct Refusal {
    code: i64,
}

const NO_SUCH_SIGNATURE: i64 = -32020;

impl Refusal {
    fn trouble(self) -> Trouble {
        match self.code {
            // The node is behind, or has not come as far yet; some providers say the first of too many requests.
            -32005 | -32004 | -32014 | -32016 | 429 => Trouble::Wait { provider: NAME, for_: UNSAID },
            // Blocks that were cleaned up, skipped or are missing from long-term storage; no history at all.
            -32001 | -32007 | -32009 | -32011 => Self::incomplete(),
            NO_SUCH_SIGNATURE => Trouble::ProviderDown(
                "The Solana node has lost its place in the history: another of its kind may know it.".into(),
            ),
            // Long-term storage cannot be reached; an internal error.
            -32019 | -32603 => Trouble::ProviderDown("The Solana node has trouble of its own.".into()),
            -32010 => Trouble::Unexpected(
                "The Solana node keeps no list of this address's token accounts. Another node is needed.".into(),
            ),
            -32601 | -32602 => Trouble::Unexpected(format!(
                "The Solana node does not take a question that every node should (error {}). Another node is needed.",
                self.code
            )),
            code => Trouble::Unexpected(format!("The Solana node refused in an unexpected way (error {code}).")),
        }
    }

    fn incomplete() -> Trouble {
        Trouble::ProviderDown(
            "The Solana node does not have every transaction of this address. A node with the whole history is needed."
                .into(),
        )
    }
}

/// Calls a method; `None` is its null.
async fn call<T: DeserializeOwned>(outside: &Outside<'_>, method: &str, params: Value) -> Result<Option<T>, Trouble> {
    ask(outside, method, params).await?.map_err(Refusal::trouble)
}

/// The same; a JSON-RPC error is an answer too.
async fn ask<T: DeserializeOwned>(
    outside: &Outside<'_>,
    method: &str,
    params: Value,
) -> Result<Result<Option<T>, Refusal>, Trouble> {
    // An operator's own node may have a path, with a key in it, that a slash must not be added to.
    let request = outside.request(Method::POST, Upstream::SolanaRpc, "");
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let answer = outside.send(NAME, request.json(&body).repeatable()).await?;
    match answer.status {
        429 => return Err(Trouble::Wait { provider: NAME, for_: answer.retry_after().unwrap_or(UNSAID) }),
        401 | 403 => {
            return Err(Trouble::ProviderDown(
                "The Solana node does not serve this server. Whoever runs the server must look at it.".into(),
            ));
        }
        _ => {}
    }
    match answer.json::<Reply<T>>() {
        Some(Reply { error: Some(refusal), .. }) => Ok(Err(refusal)),
        Some(reply) if answer.is_success() => Ok(Ok(reply.result)),
        _ if answer.is_success() => Err(Trouble::unreadable(NAME)),
        _ => Err(Trouble::of_answer(NAME, &answer)),
    }
}
