//! Solana, asked through a node's JSON-RPC: an address and the token accounts that belong to it.
//!
//! # How a history is walked
//! `getSignaturesForAddress` lists the transactions that name an address, newest first. A token that arrives names the
//! account that holds it and not the wallet, so the wallet's own list is not its history. First come the lists of its token
//! accounts, those of the token program and those of Token-2022, in the order of their addresses; then its own; then those
//! of the accounts that these transactions closed, which are on no list of accounts any more, two hundred of them at most.
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

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use alloy_primitives::U256;
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

use crate::model::{Amount, Category, Quantity, Record, RecordKind};
use crate::providers::{Account, Checked, Cursor, Entry, Fetched, Given, Next, Outside, Source, Trouble};

const NAME: &str = "Solana";
/// The beginning of the main network's first block, in the form of CAIP-2.
const CHAIN: &str = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";
/// The programs whose accounts hold tokens.
const TOKEN_PROGRAMS: [&str; 2] =
    ["TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA", "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"];
/// The mint of wrapped SOL.
const WRAPPED_SOL: &str = "So11111111111111111111111111111111111111112";
const SOL_DECIMALS: u32 = 9;
/// Tokens that are called by their symbols. Any token can claim any symbol, so others are called by their mints.
const SYMBOLS: [(&str, &str); 2] = [
    ("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", "USDC"),
    ("Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB", "USDT"),
];
/// So many transactions are a page, few enough to be stored at once, and so many lists are looked at for it.
const PAGE: usize = 96;
const LOOKS: usize = 40;
/// Details are asked for so many at a time.
const AT_ONCE: usize = 4;
/// What was finalised so many slots before a walk began, about a minute, is looked at again by the next.
const OVERLAP_SLOTS: u64 = 150;
/// So many closed accounts are read in a walk.
const MOST_CLOSED: usize = 200;
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

/// Parses an address, without a word about the text itself: people paste private keys.
fn parse_address(text: &str) -> Result<[u8; 32], &'static str> {
    const WRONG: &str = "is not a Solana address, or is mistyped: 32 to 44 letters and digits, 32 bytes in base58";
    let bytes = bs58::decode(text).into_vec().map_err(|_| WRONG)?;
    if bytes.len() == 64 {
        return Err(
            "is no address but a transaction's signature or a PRIVATE key, which nobody should ever be given. \
                    Nothing of it was kept. Give the wallet's address",
        );
    }
    bytes.try_into().map_err(|_| WRONG)
}

/// True if a private key may belong to an address: if its bytes are a point of edwards25519. They are its y; there is an x
/// if (y² - 1) / (d·y² + 1) is a square, where d is -121665/121666 (RFC 8032, section 5.1.3). By Euler's criterion a
/// number is a square if its power with (p - 1) / 2 is not -1, and a quotient is one if the product is.
fn is_on_curve(mut bytes: [u8; 32]) -> bool {
    let one = U256::from(1);
    let prime = (one << 255) - U256::from(19);
    let (top, below) = (U256::from(121_666), U256::from(121_665));
    let [.., last] = &mut bytes;
    *last &= 0x7f;
    let y = U256::from_le_bytes(bytes).reduce_mod(prime);
    let square = y.mul_mod(y, prime);
    let numerator = square.add_mod(prime - one, prime);
    let denominator = top.add_mod(prime - below.mul_mod(square, prime), prime);
    let product = numerator.mul_mod(denominator, prime).mul_mod(top, prime);
    product.pow_mod((prime - one) >> 1, prime) <= one
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
    /// The last signature that was read of the present list; none at its beginning.
    before: Option<String>,
    /// Accounts that transactions have closed.
    closed: Vec<String>,
}

/// Which list is being read.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    /// The one of this token account, or, once it is read, of the next.
    Open { account: String, is_read: bool },
    /// The wallet's own.
    Own,
    /// The one of the closed account of this number; behind the last, the walk is done.
    Closed { number: usize },
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
        Ok(Self { since, mark, place, before: None, closed: Vec::new() })
    }

    fn is_done(&self) -> bool {
        matches!(self.place, Place::Closed { number } if number >= self.closed.len())
    }

    /// The account whose list is to be read; none at the end.
    async fn account(&mut self, page: &mut Page<'_>) -> Result<Option<String>, Trouble> {
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
            Place::Closed { number } => self.closed.get(*number).cloned(),
        })
    }

    /// Goes on to the list behind the one of `account`.
    fn leave(&mut self, account: String) {
        self.before = None;
        self.place = match self.place {
            Place::Open { .. } => Place::Open { account, is_read: true },
            Place::Own => Place::Closed { number: 0 },
            Place::Closed { number } => Place::Closed { number: number + 1 },
        };
    }

    /// Stays with the list of `account`, behind `last`.
    fn stay(&mut self, account: String, last: String) {
        self.before = Some(last);
        if matches!(self.place, Place::Open { .. }) {
            self.place = Place::Open { account, is_read: false };
        }
    }

    /// Reads as much of the present list as the page has room for. Nothing has been read if it fails.
    async fn step(&mut self, page: &mut Page<'_>) -> Result<Step, Trouble> {
        let Some(account) = self.account(page).await? else { return Ok(Step::Whole) };
        let is_own = matches!(self.place, Place::Own);
        let until = self.since.as_ref().and_then(|since| since.newest.as_deref()).filter(|_| is_own);
        let limit = page.room();
        let listed = Listing { account: &account, before: self.before.as_deref(), until, limit, slot: self.mark.slot };
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
            page.records.push(effect.record(one));
            page.seen.insert(one.signature.clone());
            for account in effect.closed {
                if self.closed.len() < MOST_CLOSED && !self.closed.contains(&account) {
                    self.closed.push(account);
                }
            }
        }
        if is_own && self.before.is_none() {
            self.mark.newest = listed.first().map(|first| first.signature.clone()).or(self.mark.newest.take());
        }
        match last {
            Some(last) if goes_on || !is_whole => self.stay(account, last),
            _ => self.leave(account),
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
struct Transaction {
    meta: Meta,
    transaction: Signed,
}

#[derive(Deserialize)]
struct Signed {
    message: Message,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    account_keys: Vec<AccountKey>,
}

#[derive(Deserialize)]
struct AccountKey {
    pubkey: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    /// Null if it succeeded.
    err: Value,
    fee: u64,
    /// Lamports of each account.
    pre_balances: Vec<u64>,
    post_balances: Vec<u64>,
    /// Null in the earliest blocks.
    pre_token_balances: Option<Vec<TokenBalance>>,
    post_token_balances: Option<Vec<TokenBalance>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenBalance {
    account_index: usize,
    mint: String,
    owner: Option<String>,
    ui_token_amount: TokenAmount,
}

#[derive(Deserialize)]
struct TokenAmount {
    amount: String,
    decimals: u32,
}

/// What a token is called.
fn asset(mint: &str) -> &str {
    SYMBOLS.iter().find(|(known, _)| *known == mint).map_or(mint, |(_, symbol)| symbol)
}

/// What a transaction did to a wallet.
struct Effect {
    kind: RecordKind,
    sent: Option<Amount>,
    received: Option<Amount>,
    fee: Option<Amount>,
    /// The wallet's token accounts that it closed.
    closed: Vec<String>,
}

impl Transaction {
    fn effect(&self, own: &str) -> Result<Effect, Trouble> {
        let (meta, keys) = (&self.meta, &self.transaction.message.account_keys);
        let pays = keys.first().is_some_and(|first| first.pubkey == own);
        let before = meta.pre_token_balances.as_deref().unwrap_or_default();
        let after = meta.post_token_balances.as_deref().unwrap_or_default();
        let mut accounts: Vec<usize> = Vec::new();
        let mut tokens: BTreeMap<&str, (i128, u32)> = BTreeMap::new();
        for (balances, sign) in [(before, -1), (after, 1)] {
            for balance in balances.iter().filter(|one| one.owner.as_deref() == Some(own)) {
                let amount: i128 = balance.ui_token_amount.amount.parse().map_err(|_| Trouble::unreadable(NAME))?;
                let decimals = balance.ui_token_amount.decimals;
                tokens.entry(&balance.mint).or_insert((0, decimals)).0 += sign * amount;
                accounts.push(balance.account_index);
            }
        }
        // It moves with the lamports of its account.
        tokens.remove(WRAPPED_SOL);
        accounts.sort_unstable();
        accounts.dedup();
        let lamports = |number: &usize| -> i128 {
            let of = |balances: &[u64]| balances.get(*number).copied().map_or(0, i128::from);
            of(&meta.post_balances) - of(&meta.pre_balances)
        };
        let closed = accounts.iter().filter(|number| meta.post_balances.get(**number) == Some(&0));
        let closed = closed.filter_map(|number| Some(keys.get(*number)?.pubkey.clone())).collect();
        accounts.extend(keys.iter().position(|key| key.pubkey == own).filter(|own| !accounts.contains(own)));
        let fee = if pays { i128::from(meta.fee) } else { 0 };
        let sol = accounts.iter().map(lamports).sum::<i128>() + fee;

        let amount = |change: i128, decimals, asset: &str| Amount::of(Quantity::of_units(change, decimals), asset);
        let (mut sent, mut received) = (None, None);
        let changes = tokens.iter().map(|(mint, (change, decimals))| (*change, *decimals, asset(mint)));
        for (change, decimals, asset) in changes.chain([(sol, SOL_DECIMALS, "SOL")]) {
            let side = if change < 0 { &mut sent } else { &mut received };
            *side = side.take().or(amount(change, decimals, asset));
        }
        let moved = || tokens.values().filter(|(change, _)| *change != 0);
        let kind = match (&sent, &received) {
            (None, None) if !meta.err.is_null() && pays => RecordKind::Fee,
            (None, None) => RecordKind::ContractCall,
            (Some(_), Some(_)) => RecordKind::Trade,
            _ if moved().next().is_none() => RecordKind::Transfer,
            _ if moved().all(|(change, decimals)| *decimals == 0 && change.abs() == 1) => RecordKind::NftTransfer,
            _ => RecordKind::TokenTransfer,
        };
        Ok(Effect { kind, sent, received, fee: amount(fee, SOL_DECIMALS, "SOL"), closed })
    }
}

impl Effect {
    fn record(&self, listed: &Listed) -> Record {
        Record {
            sent: self.sent.clone(),
            received: self.received.clone(),
            fee: self.fee.clone(),
            tx_hash: Some(listed.signature.clone()),
            ..Record::new(self.kind, listed.signature.clone(), listed.time())
        }
    }
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

#[cfg(test)]
mod tests {
    use fakes::solana::{FEE, RENT, Solana as Fake, TOKEN_2022_PROGRAM, TOKEN_PROGRAM};
    use proptest::prelude::*;

    use super::*;
    use crate::providers::testing::World;

    /// On the curve, like every address with a private key.
    const WALLET: &str = "6D8GtWkKJgToM5UoiByHqjQCCC9Dq1Hh7iNmU4jKSs12";
    const FRIEND: &str = "q5xfHVuAsGmKRTmJNshERHHkVnHKxRX3cKzz5cYnFRn";
    /// Off it: the example of a program's address that the first client library is tested with.
    const OFF_CURVE: &str = "12rqwuEgBYiGhBrDJStCiqEtzQpTTiZbh7teNVLuYcFA";
    const USDC: &str = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";

    fn given(address: &str) -> Given {
        Given { address: Some(address.to_owned()), chains: vec![CHAIN.to_owned()], ..Given::default() }
    }

    fn account(address: &str) -> Account {
        Solana.account(&given(address)).unwrap()
    }

    async fn start() -> (Fake, World, Account) {
        let fake = Fake::start().await.unwrap();
        let world = World::of(&[("SOLANA_RPC", fake.host.origin())]);
        (fake, world, account(WALLET))
    }

    fn ids(records: &[Record]) -> HashSet<&str> {
        records.iter().map(|record| record.provider_id.as_str()).collect()
    }

    fn sol(lamports: u64) -> Option<Amount> {
        Amount::of(Quantity::of_units(lamports.into(), 9), "SOL")
    }

    #[test]
    fn addresses_are_told_from_others() {
        for good in [WALLET, FRIEND, OFF_CURVE, WRAPPED_SOL, "11111111111111111111111111111111"] {
            assert_eq!(account(good).address(), good);
        }
        assert_eq!(account(WALLET).identities, [format!("{CHAIN}:{WALLET}")]);
        for bad in [
            "",
            // 31 and 33 bytes.
            "1111111111111111111111111111111",
            "111111111111111111111111111111111",
            // Not letters of base58.
            "6D8GtWkKJgToM5UoiByHqjQCCC9Dq1Hh7iNmU4jKSs0O",
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        ] {
            assert_eq!(Solana.account(&given(bad)).unwrap_err()[0].field, "address", "{bad}");
        }
    }

    #[test]
    fn a_private_key_is_refused_and_never_repeated() {
        let key = bs58::encode([7_u8; 64]).into_string();
        let problems = Solana.account(&given(&key)).unwrap_err();
        assert!(problems[0].message.contains("PRIVATE") && !problems[0].message.contains(&key));
    }

    #[test]
    fn points_of_the_curve_are_told_from_others() {
        let on = |address: &str| is_on_curve(parse_address(address).unwrap());
        // The last two: the examples of RFC 8032, section 7.1.
        let keys = [
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        ];
        let keys = keys.map(|key| {
            let bytes = (0..32).map(|at| u8::from_str_radix(&key[2 * at..2 * at + 2], 16).unwrap());
            bs58::encode(bytes.collect::<Vec<u8>>()).into_string()
        });
        for good in [WALLET, FRIEND, "11111111111111111111111111111111", &keys[0], &keys[1]] {
            assert!(on(good), "{good}");
        }
        for off in [OFF_CURVE, "6D8GtWkKJgToM5UoiByHqjQCCC9Dq1Hh7iNmU4jKSs14"] {
            assert!(!on(off), "{off}");
        }
        let share = (0..100).filter(|number| on(&Fake::address(&format!("anything {number}")))).count();
        assert!((25..75).contains(&share), "about half of all numbers are: {share}");
    }

    #[tokio::test]
    async fn an_address_is_judged() {
        let (fake, world, wallet) = start().await;
        let check = async |account: &Account| Solana.check(account, &world.outside()).await.unwrap();
        assert_eq!(check(&wallet).await, Checked::default(), "an address that was never used is good");
        fake.receive(WALLET, 1);
        assert_eq!(check(&wallet).await, Checked::default());
        let warnings = check(&account(OFF_CURVE)).await.warnings;
        assert!(matches!(&warnings[..], [warning] if warning.contains("not on the curve")), "{warnings:?}");
        fake.deploy(FRIEND);
        assert_eq!(check(&account(FRIEND)).await, Checked { is_contract: true, ..Checked::default() });
        for program in [TOKEN_PROGRAM, TOKEN_2022_PROGRAM] {
            let tokens = fake.open(FRIEND, WALLET, program, 6, program);
            let warnings = check(&account(&tokens)).await.warnings;
            assert!(matches!(&warnings[..], [warning] if warning.contains(WALLET)), "{warnings:?}");
        }
    }

    #[tokio::test]
    async fn a_history_is_that_of_the_address_and_of_its_token_accounts() {
        let (fake, world, wallet) = start().await;
        fake.receive_many(WALLET, 230);
        let old = fake.open(FRIEND, WALLET, USDC, 6, TOKEN_PROGRAM);
        let new = fake.open(FRIEND, WALLET, &Fake::address("mint"), 2, TOKEN_2022_PROGRAM);
        let strangers = fake.open(FRIEND, FRIEND, USDC, 6, TOKEN_PROGRAM);
        let quiet = fake.receive_token(&old, 1_500_000);
        for _ in 0..120 {
            fake.receive_token(&new, 250);
        }
        fake.receive_token(&strangers, 1);
        let sent = fake.send_token(&old, 500_000);
        let (records, end) = world.walk(&Solana, &wallet, None).await.unwrap();
        assert_eq!(ids(&records).len(), 230 + 2 + 1 + 120 + 1);
        let of = |id: &str| records.iter().find(|record| record.provider_id == id).unwrap();
        let usdc = |units| Amount::of(Quantity::of_units(units, 6), "USDC");
        assert_eq!((of(&quiet).kind, &of(&quiet).received), (RecordKind::TokenTransfer, &usdc(1_500_000)));
        assert_eq!((&of(&sent).sent, &of(&sent).fee), (&usdc(500_000), &sol(FEE)), "{:?}", of(&sent));
        assert!(records.iter().filter(|record| record.provider_id == sent).all(|record| record == of(&sent)));
        // Two lists of accounts, one look at each of three lists, and the slot.
        fake.forget_calls();
        let (records, end) = world.walk(&Solana, &wallet, end).await.unwrap();
        assert!(records.len() < 20, "only a minute is looked at again: {}", records.len());
        assert_eq!((fake.calls("getSlot"), fake.calls("getSignaturesForAddress")), (1, 3));
        assert_eq!(fake.calls("getTokenAccountsByOwner"), 2);
        fake.receive_many(WALLET, 3);
        let fresh = fake.receive_token(&new, 1);
        let (again, _) = world.walk(&Solana, &wallet, end).await.unwrap();
        let before = ids(&records);
        let news: HashSet<&str> = ids(&again).into_iter().filter(|id| !before.contains(id)).collect();
        assert!(news.len() == 4 && news.contains(fresh.as_str()), "{news:?}");
    }

    #[tokio::test]
    async fn what_arrives_meanwhile_is_left_to_the_next_walk_and_nothing_is_lost() {
        let (fake, world, wallet) = start().await;
        fake.receive_many(WALLET, 250);
        let tokens = fake.open(FRIEND, WALLET, USDC, 6, TOKEN_PROGRAM);
        let mut seen: HashSet<String> = HashSet::new();
        let mut arrived = HashSet::new();
        let mut cursor = None;
        let end = loop {
            let fetched = world.page(&Solana, &wallet, cursor.as_ref()).await.unwrap();
            assert!(fetched.records.len() <= PAGE);
            let fresh = fetched.records.iter().filter(|record| seen.insert(record.provider_id.clone())).count();
            assert!(fetched.records.len() <= fresh + 1, "only the opening is on two lists");
            arrived.extend((0..7).map(|_| fake.receive(WALLET, 3)));
            match fetched.next {
                Next::More(next) => cursor = Some(next),
                Next::End(end) => break end,
            }
        };
        assert_eq!(seen.len(), 251, "what was there when the walk began");
        arrived.insert(fake.receive_token(&tokens, 5));
        let (records, _) = world.walk(&Solana, &wallet, end).await.unwrap();
        seen.extend(records.into_iter().map(|record| record.provider_id));
        assert!(seen.is_superset(&arrived));
        assert_eq!(seen.len(), 251 + arrived.len());
    }

    /// What happens in a wallet, to its node, and to its walk.
    #[derive(Debug, Clone)]
    enum Event {
        Receive(usize),
        Open(usize),
        Close(usize),
        TokensArrive(usize, usize),
        /// The node answers so many questions for details and no more.
        Allow(usize),
        FallBehind(usize),
        Page,
    }

    fn event() -> impl Strategy<Value = Event> {
        const ACCOUNTS: std::ops::Range<usize> = 0..3;
        prop_oneof![
            (1..40_usize).prop_map(Event::Receive),
            ACCOUNTS.prop_map(Event::Open),
            ACCOUNTS.prop_map(Event::Close),
            (ACCOUNTS, 1..9_usize).prop_map(|(account, count)| Event::TokensArrive(account, count)),
            (0..30_usize).prop_map(Event::Allow),
            (0..4_usize).prop_map(Event::FallBehind),
            Just(Event::Page),
            Just(Event::Page),
            Just(Event::Page),
        ]
    }

    /// Lets everything happen and walks to the end; gives what the chain knows of the wallet and what came of the walks.
    async fn live(events: Vec<Event>) -> (HashSet<String>, HashSet<String>) {
        let (fake, world, wallet) = start().await;
        let mut seen: BTreeMap<String, Record> = BTreeMap::new();
        let mut take = |records: Vec<Record>| {
            for record in records {
                let before = seen.entry(record.provider_id.clone()).or_insert_with(|| record.clone());
                assert_eq!(*before, record, "one transaction is always the same record");
            }
            seen.keys().cloned().collect::<HashSet<String>>()
        };
        let account = |number: usize| Fake::token_address(WALLET, &format!("mint {number}"));
        let mut cursor = None;
        for event in events {
            match event {
                Event::Receive(count) => fake.receive_many(WALLET, count),
                Event::Open(number) if !fake.is_open(&account(number)) => {
                    fake.open(FRIEND, WALLET, &format!("mint {number}"), 6, TOKEN_PROGRAM);
                }
                Event::Close(number) if fake.is_open(&account(number)) => {
                    fake.close(&account(number));
                }
                Event::TokensArrive(number, count) if fake.is_open(&account(number)) => {
                    (0..count).for_each(|_| drop(fake.receive_token(&account(number), 1)));
                }
                Event::Open(_) | Event::Close(_) | Event::TokensArrive(..) => {}
                Event::Allow(calls) => fake.allow("getTransaction", calls, 1.0),
                Event::FallBehind(count) => fake.fall_behind(count),
                Event::Page => match world.page(&Solana, &wallet, cursor.as_ref()).await {
                    Ok(fetched) => {
                        take(fetched.records);
                        cursor = match fetched.next {
                            Next::More(next) => Some(next),
                            Next::End(end) => end,
                        };
                    }
                    Err(trouble) => {
                        let lost = matches!(trouble, Trouble::ProviderDown(_));
                        assert!(lost || matches!(trouble, Trouble::Wait { .. }), "{trouble}");
                    }
                },
            }
        }
        fake.fall_behind(0);
        fake.allow("getTransaction", usize::MAX, 1.0);
        let (records, end) = world.walk(&Solana, &wallet, cursor).await.unwrap();
        take(records);
        let (records, _) = world.walk(&Solana, &wallet, end).await.unwrap();
        (fake.history(WALLET), take(records))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

        #[test]
        fn whatever_happens_meanwhile_nothing_is_lost(events in proptest::collection::vec(event(), 1..40)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let (known, seen) = runtime.block_on(live(events));
            prop_assert_eq!(known, seen);
        }
    }

    #[tokio::test]
    async fn accounts_that_were_closed_are_read_too() {
        let (fake, world, wallet) = start().await;
        let tokens = fake.open(FRIEND, WALLET, USDC, 6, TOKEN_PROGRAM);
        fake.call(FRIEND, WALLET);
        let quiet = fake.receive_token(&tokens, 9);
        let closing = fake.close(&tokens);
        let (records, end) = world.walk(&Solana, &wallet, None).await.unwrap();
        assert_eq!(ids(&records).len(), 4);
        assert!(ids(&records).contains(quiet.as_str()));
        let closing = records.iter().find(|record| record.provider_id == closing).unwrap();
        assert_eq!((&closing.sent, &closing.received), (&Amount::of(Quantity::of_units(9, 6), "USDC"), &None));
        // Opened again, it is an account like any other.
        fake.open(FRIEND, WALLET, USDC, 6, TOKEN_PROGRAM);
        let quiet = fake.receive_token(&tokens, 8);
        let (records, _) = world.walk(&Solana, &wallet, end).await.unwrap();
        assert!(ids(&records).contains(quiet.as_str()));
    }

    #[tokio::test]
    async fn records_say_what_a_transaction_did() {
        let (fake, world, wallet) = start().await;
        let mint = Fake::address("mint");
        let usdc = fake.open(WALLET, WALLET, USDC, 6, TOKEN_PROGRAM);
        let wrapped = fake.open(WALLET, WALLET, WRAPPED_SOL, 9, TOKEN_PROGRAM);
        let other = fake.open(FRIEND, WALLET, &mint, 0, TOKEN_PROGRAM);
        let paid = fake.transfer(WALLET, FRIEND, 2_000_000_000);
        let came = fake.receive(WALLET, 7);
        let token = fake.receive_token(&usdc, 10_000_000);
        let piece = fake.receive_token(&other, 1);
        let sol_came = fake.receive_token(&wrapped, 30);
        let swap = fake.swap((&usdc, 4_000_000), (&wrapped, 20_000_000));
        let failed = fake.fail(WALLET);
        let called = fake.call(FRIEND, WALLET);
        let opened = fake.open(WALLET, FRIEND, USDC, 6, TOKEN_PROGRAM);
        let (records, _) = world.walk(&Solana, &wallet, None).await.unwrap();
        let of = |id: &str| {
            let record = records.iter().find(|record| record.provider_id == id).unwrap();
            assert_eq!(record.tx_hash.as_deref(), Some(id));
            (record.kind, record.sent.clone(), record.received.clone(), record.fee.clone())
        };
        let dollars = |units| Amount::of(Quantity::of_units(units, 6), "USDC");
        assert_eq!(of(&paid), (RecordKind::Transfer, sol(2_000_000_000), None, sol(FEE)));
        assert_eq!(of(&came), (RecordKind::Transfer, None, sol(7), None));
        assert_eq!(of(&token), (RecordKind::TokenTransfer, None, dollars(10_000_000), None));
        let one = Amount::of(Quantity::of_units(1, 0), mint);
        assert_eq!(of(&piece), (RecordKind::NftTransfer, None, one, None));
        assert_eq!(of(&sol_came), (RecordKind::Transfer, None, sol(30), None));
        assert_eq!(of(&swap), (RecordKind::Trade, dollars(4_000_000), sol(20_000_000), sol(FEE)));
        assert_eq!(of(&failed), (RecordKind::Fee, None, None, sol(FEE)));
        assert_eq!(of(&called), (RecordKind::ContractCall, None, None, None));
        // What a new account of its own holds is still the wallet's; what it pays for another's is not.
        let kinds: Vec<_> = records.iter().filter(|record| record.sent == sol(RENT)).collect();
        assert_eq!(kinds.len(), 1, "{opened}: {kinds:?}");
    }

    #[tokio::test]
    async fn throttling_is_waited_for_and_what_was_read_before_is_kept() {
        let (fake, world, wallet) = start().await;
        fake.receive_many(WALLET, 60);
        fake.throttle(1, 7.0);
        let trouble = world.page(&Solana, &wallet, None).await.unwrap_err();
        assert_eq!(trouble, Trouble::Wait { provider: NAME, for_: Duration::from_secs(7) });
        fake.allow("getTransaction", 23, 10.0);
        let first = world.page(&Solana, &wallet, None).await.unwrap();
        let Next::More(cursor) = first.next else { panic!("there is more") };
        let kept = first.records.len();
        assert!(
            (24 - AT_ONCE..=23).contains(&kept),
            "those that are asked together may be refused in any order: {kept}"
        );
        let trouble = world.page(&Solana, &wallet, Some(&cursor)).await.unwrap_err();
        assert_eq!(trouble, Trouble::Wait { provider: NAME, for_: Duration::from_secs(10) });
        fake.allow("getTransaction", 1_000, 0.0);
        let (rest, _) = world.walk(&Solana, &wallet, Some(cursor)).await.unwrap();
        let all: HashSet<&str> = ids(&first.records).union(&ids(&rest)).copied().collect();
        assert_eq!((rest.len(), all.len()), (60 - kept, 60));
    }

    #[tokio::test]
    async fn a_node_that_is_behind_is_waited_for_and_one_that_has_forgotten_is_not_believed() {
        let (fake, world, wallet) = start().await;
        let wait = Trouble::Wait { provider: NAME, for_: UNSAID };
        fake.receive_many(WALLET, 5);
        let first = Walk::begin(None, &world.outside()).await.unwrap();
        let cursor = Cursor::of(&Position::Walking(first));
        fake.fall_behind(3);
        assert_eq!(world.page(&Solana, &wallet, Some(&cursor)).await.unwrap_err(), wait);
        fake.fall_behind(0);
        let lost = fake.receive(WALLET, 9);
        fake.prune(&lost);
        let trouble = world.page(&Solana, &wallet, None).await.unwrap_err();
        assert_eq!(trouble, Refusal::incomplete(), "the chain is years behind this test's clock");
        // The newest signature is not known any more: the slot is enough to stop at.
        let slot = Walk::begin(None, &world.outside()).await.unwrap().mark.slot;
        let newest = Some(bs58::encode([9_u8; 64]).into_string());
        let done = Cursor::of(&Position::Done(Mark { slot: slot + 1 + OVERLAP_SLOTS, newest }));
        let fresh = fake.receive(WALLET, 10);
        let (records, _) = world.walk(&Solana, &wallet, Some(done)).await.unwrap();
        assert_eq!(ids(&records), HashSet::from([fresh.as_str()]));
    }

    #[tokio::test]
    async fn troubles_are_told_apart() {
        let (fake, world, wallet) = start().await;
        let wait = Trouble::Wait { provider: NAME, for_: UNSAID };
        let down = "The Solana node has trouble of its own.";
        for (code, message, expected) in [
            (-32005, "Node is behind by 42 slots", wait.clone()),
            (429, "Too many requests", wait),
            (-32009, "Slot 5 was skipped, or missing in long-term storage", Refusal::incomplete()),
            (-32007, "Slot 5 was skipped, or missing due to ledger jump", Refusal::incomplete()),
            (-32011, "Transaction history is not available from this node", Refusal::incomplete()),
            (-32019, "Failed to query long-term storage; please try again", Trouble::ProviderDown(down.into())),
            (-32603, "Internal error", Trouble::ProviderDown(down.into())),
        ] {
            fake.refuse_next(code, message);
            assert_eq!(world.page(&Solana, &wallet, None).await.unwrap_err(), expected, "{message}");
        }
        for code in [-32602, -32601, -32010, -32099] {
            fake.refuse_next(code, "No");
            let trouble = world.page(&Solana, &wallet, None).await.unwrap_err();
            assert!(matches!(trouble, Trouble::Unexpected(_)), "{trouble}");
        }
        for (answer, expected) in [
            (fakes::Answer::status(200).body("<html>"), Trouble::unreadable(NAME)),
            (fakes::Answer::status(502), Trouble::ProviderDown("Solana has trouble of its own (HTTP 502).".into())),
        ] {
            fake.host.faults().next(1, fakes::Fault::Answer(answer));
            assert_eq!(world.page(&Solana, &wallet, None).await.unwrap_err(), expected);
        }
        fake.host.faults().next(1, fakes::Fault::Answer(fakes::Answer::status(403)));
        let trouble = world.page(&Solana, &wallet, None).await.unwrap_err();
        assert!(matches!(trouble, Trouble::ProviderDown(_)), "{trouble}");
    }
}
