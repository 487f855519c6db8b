//! What happened on EVM chains, which every explorer of them tells in its own way.
//!
//! A transaction stands in a block and carries what came of it: coins that contracts moved (internal transactions) and
//! token transfers, in the order of their logs. Addresses are kept in lower case.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use aws_lc_rs::digest::{SHA256, digest};

use crate::wire::lock;

/// When block 0 was found.
const FIRST_BLOCK_TIME: u64 = 1_700_000_000;
/// One follows every so many seconds.
const BLOCK_TIME: u64 = 12;
/// Whose coins come from nowhere in particular.
const STRANGER: &str = "0xfb6916095ca1df60bb79ce92ce3ea74c37c5d359";

/// What happened on EVM chains, by their numbers. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<Chains>>);

#[derive(Debug, Default)]
pub(crate) struct Chains {
    made: u64,
    by_id: BTreeMap<u64, Chain>,
}

#[derive(Debug, Default)]
struct Chain {
    height: u64,
    /// In the order of their blocks.
    transactions: Vec<Mined>,
    /// Addresses with code, and whether it only delegates (EIP-7702).
    contracts: BTreeMap<String, bool>,
}

/// A transaction in its block.
#[derive(Clone, Debug)]
pub(crate) struct Mined {
    pub(crate) hash: String,
    pub(crate) block: u64,
    pub(crate) index: usize,
    /// Of its first token transfer.
    pub(crate) first_log: usize,
    pub(crate) what: EvmTransaction,
}

impl Mined {
    /// Seconds since 1970.
    pub(crate) fn time(&self) -> u64 {
        FIRST_BLOCK_TIME + self.block * BLOCK_TIME
    }
}

/// A transaction that is to be mined.
#[derive(Clone, Debug)]
pub struct EvmTransaction {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) value: u128,
    pub(crate) gas_used: u128,
    pub(crate) gas_price: u128,
    pub(crate) l1_fee: u128,
    pub(crate) failed: bool,
    pub(crate) internals: Vec<Internal>,
    pub(crate) transfers: Vec<Transfer>,
}

/// A coin that a contract moved.
#[derive(Clone, Debug)]
pub(crate) struct Internal {
    pub(crate) kind: &'static str,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) value: u128,
}

/// A token that moved.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    pub(crate) standard: &'static str,
    pub(crate) contract: String,
    pub(crate) symbol: String,
    pub(crate) decimals: u32,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) value: String,
    pub(crate) token_id: String,
}

impl EvmTransaction {
    /// So many wei from one address to another. 21,000 units of gas are used, at 10 gwei each.
    #[must_use]
    pub fn new(from: &str, to: &str, wei: u128) -> Self {
        Self {
            from: from.to_ascii_lowercase(),
            to: to.to_ascii_lowercase(),
            value: wei,
            gas_used: 21_000,
            gas_price: 10_000_000_000,
            l1_fee: 0,
            failed: false,
            internals: Vec::new(),
            transfers: Vec::new(),
        }
    }

    /// It was reverted: nothing moved, the gas is gone.
    #[must_use]
    pub fn failed(self) -> Self {
        Self { failed: true, ..self }
    }

    /// It cost so many wei on top, for its data on the chain below.
    #[must_use]
    pub fn l1_fee(self, wei: u128) -> Self {
        Self { l1_fee: wei, ..self }
    }

    /// A contract moved coins.
    #[must_use]
    pub fn internal(self, from: &str, to: &str, wei: u128) -> Self {
        self.inner("call", from, to, wei)
    }

    /// A contract ran another's code as its own; the value that such a call carries does not move.
    #[must_use]
    pub fn delegate_call(self, from: &str, to: &str, wei: u128) -> Self {
        self.inner("delegatecall", from, to, wei)
    }

    fn inner(mut self, kind: &'static str, from: &str, to: &str, value: u128) -> Self {
        self.internals.push(Internal { kind, from: from.to_ascii_lowercase(), to: to.to_ascii_lowercase(), value });
        self
    }

    /// A token (ERC-20) of six decimals moved.
    #[must_use]
    pub fn token(self, contract: &str, symbol: &str, from: &str, to: &str, units: u128) -> Self {
        self.moved("ERC-20", contract, symbol, (from, to), units, "")
    }

    /// A non-fungible token (ERC-721) moved.
    #[must_use]
    pub fn nft(self, contract: &str, symbol: &str, from: &str, to: &str, token_id: &str) -> Self {
        self.moved("ERC-721", contract, symbol, (from, to), 1, token_id)
    }

    /// So many of a token of many kinds (ERC-1155) moved.
    #[must_use]
    pub fn multi_token(self, contract: &str, symbol: &str, from: &str, to: &str, (id, count): (&str, u128)) -> Self {
        self.moved("ERC-1155", contract, symbol, (from, to), count, id)
    }

    fn moved(
        mut self,
        standard: &'static str,
        contract: &str,
        symbol: &str,
        (from, to): (&str, &str),
        value: u128,
        token_id: &str,
    ) -> Self {
        self.transfers.push(Transfer {
            standard,
            contract: contract.to_ascii_lowercase(),
            symbol: symbol.to_owned(),
            decimals: if standard == "ERC-20" { 6 } else { 0 },
            from: from.to_ascii_lowercase(),
            to: to.to_ascii_lowercase(),
            value: value.to_string(),
            token_id: token_id.to_owned(),
        });
        self
    }
}

impl Ledger {
    pub(crate) fn chains(&self) -> MutexGuard<'_, Chains> {
        lock(&self.0)
    }

    /// Mines a transaction in a block of its own. Gives its hash.
    pub fn mine(&self, chain: u64, transaction: EvmTransaction) -> String {
        self.mine_together(chain, vec![transaction]).remove(0)
    }

    /// Mines transactions in one block. Gives their hashes.
    pub fn mine_together(&self, chain: u64, transactions: Vec<EvmTransaction>) -> Vec<String> {
        let mut chains = self.chains();
        let mut hashes = Vec::new();
        let first = chains.made + 1;
        chains.made += transactions.len() as u64;
        let own = chains.by_id.entry(chain).or_default();
        own.height += 1;
        let mut first_log = 0;
        for (index, what) in transactions.into_iter().enumerate() {
            let hash = digest(&SHA256, format!("evm transaction {}", first + index as u64).as_bytes());
            let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            hashes.push(format!("0x{hash}"));
            let logs = what.transfers.len();
            own.transactions.push(Mined { hash: format!("0x{hash}"), block: own.height, index, first_log, what });
            first_log += logs;
        }
        hashes
    }

    /// Mines so many payments of strangers to an address, each in a block of its own.
    pub fn receive_many(&self, chain: u64, address: &str, count: usize) {
        for number in 0..count {
            self.mine(chain, EvmTransaction::new(STRANGER, address, 1_000_000_000_000_000 + number as u128));
        }
    }

    /// Lets so many empty blocks pass.
    pub fn skip_blocks(&self, chain: u64, count: u64) {
        self.chains().by_id.entry(chain).or_default().height += count;
    }

    /// Puts code at an address: a contract's, or one that only delegates (EIP-7702).
    pub fn put_code(&self, chain: u64, address: &str, only_delegates: bool) {
        let address = address.to_ascii_lowercase();
        self.chains().by_id.entry(chain).or_default().contracts.insert(address, only_delegates);
    }
}

impl Chains {
    /// The newest block.
    pub(crate) fn height(&self, chain: u64) -> u64 {
        self.by_id.get(&chain).map_or(0, |chain| chain.height)
    }

    /// Whether there is code at an address, and whether that only delegates.
    pub(crate) fn code(&self, chain: u64, address: &str) -> Option<bool> {
        self.by_id.get(&chain)?.contracts.get(address).copied()
    }

    /// Every transaction, in the order of their blocks.
    pub(crate) fn transactions(&self, chain: u64) -> &[Mined] {
        self.by_id.get(&chain).map_or(&[], |chain| chain.transactions.as_slice())
    }
}

/// Whether this is `0x` and forty hexadecimal digits.
pub(crate) fn is_address(address: &str) -> bool {
    let digits = address.strip_prefix("0x").unwrap_or_default();
    digits.len() == 40 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}
