//! What explorers tell, as records: the same record with the same identity whichever explorer told it.
//!
//! A transaction is named by its hash. What happened within one has no name that all explorers tell (Etherscan leaves out
//! the log's index, Blockscout gives the parts of a batch the same one), so it is named by what it is, and by how many
//! like it came before in the same block: whichever of several that are alike comes first, the records are the same. That
//! holds because a block's transfers are always read whole, from the block's one end to the other.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::digest::sha256_hex;

use super::chain::Chain;
use crate::model::{Amount, Quantity, Record, RecordKind};

const COIN_DECIMALS: u32 = 18;
/// So much of a digest tells a transaction's transfers apart.
const KEPT_OF_DIGEST: usize = 16;
/// The longest symbol that is kept; anyone may name a token anything.
const LONGEST_SYMBOL: usize = 40;

/// Counts what is alike within a block. What a page ends in the middle of goes on with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    block: u64,
    seen: BTreeMap<String, u32>,
}

impl Tally {
    /// A name of what happened in a block, of which nothing else has the same.
    fn name(&mut self, block: u64, what: &str) -> String {
        if self.block != block {
            *self = Self { block, seen: BTreeMap::new() };
        }
        let digest: String = sha256_hex(what.as_bytes()).chars().take(KEPT_OF_DIGEST).collect();
        let count = self.seen.entry(digest.clone()).or_default();
        let name = format!("{digest}:{count}");
        *count = count.saturating_add(1);
        name
    }
}

/// Where and when something happened.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) hash: String,
    pub(super) block: u64,
    /// Seconds since 1970.
    pub(super) time: i64,
    pub(super) from: String,
    /// Empty where a contract was made.
    pub(super) to: String,
}

/// A transaction.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) place: Place,
    /// In wei, as text.
    pub(super) value: String,
    /// In wei, as text; empty if it is not told.
    pub(super) fee: String,
    pub(super) failed: bool,
}

/// A token that moved.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) place: Place,
    pub(super) contract: String,
    pub(super) symbol: String,
    pub(super) decimals: u32,
    /// In the token's units, as text; empty for one of which there is one, and where it is not told.
    pub(super) value: String,
    /// Which one it is, of those that are not all alike.
    pub(super) token_id: Option<String>,
}

/// Writes down what happened to one address of one chain.
#[derive(Debug)]
pub(super) struct Scribe {
    chain: &'static Chain,
    /// In lower case.
    own: String,
}

impl Scribe {
    pub(super) fn new(chain: &'static Chain, address: &str) -> Self {
        Self { chain, own: address.to_ascii_lowercase() }
    }

    fn is_own(&self, address: &str) -> bool {
        address.eq_ignore_ascii_case(&self.own)
    }

    fn coins(&self, wei: &str) -> Option<Amount> {
        Amount::of(Quantity::of_digits(wei, COIN_DECIMALS)?, self.chain.coin)
    }

    fn record(&self, kind: RecordKind, place: &Place, within: &str) -> Option<Record> {
        let hash = place.hash.to_ascii_lowercase();
        let id = format!("{}:{hash}{within}", self.chain.caip);
        let mut record = Record::new(kind, id, Timestamp::from_second(place.time).ok()?);
        record.tx_hash = Some(hash);
        Some(record)
    }

    fn moved(&self, mut record: Record, place: &Place, amount: Option<Amount>) -> Record {
        record.sent = amount.clone().filter(|_| self.is_own(&place.from));
        record.received = amount.filter(|_| self.is_own(&place.to));
        record
    }

    /// A transaction that the address sent or received. Whoever sent it paid for it, even where it failed.
    pub(super) fn transaction(&self, one: &Transaction) -> Option<Record> {
        let amount = self.coins(&one.value).filter(|_| !one.failed);
        let kind = if amount.is_some() { RecordKind::Transfer } else { RecordKind::ContractCall };
        let mut record = self.moved(self.record(kind, &one.place, "")?, &one.place, amount);
        record.fee = self.coins(&one.fee).filter(|_| self.is_own(&one.place.from));
        Some(record)
    }

    /// Coins that a contract moved; `None` if it moved nothing.
    pub(super) fn internal(&self, place: &Place, wei: &str, tally: &mut Tally) -> Option<Record> {
        let amount = self.coins(wei)?;
        let what = format!("{} {} {} {wei}", place.hash, place.from, place.to).to_ascii_lowercase();
        let within = format!(":{}", tally.name(place.block, &what));
        let record = self.record(RecordKind::InternalTransfer, place, &within)?;
        Some(self.moved(record, place, Some(amount)))
    }

    /// A token that moved.
    pub(super) fn transfer(&self, one: &Transfer, tally: &mut Tally) -> Option<Record> {
        let Transfer { place, contract, value, token_id, .. } = one;
        let id = token_id.as_deref().unwrap_or_default();
        let what = format!("{} {contract} {} {} {value} {id}", place.hash, place.from, place.to).to_ascii_lowercase();
        let within = format!(":{}", tally.name(place.block, &what));
        let kind = if token_id.is_some() { RecordKind::NftTransfer } else { RecordKind::TokenTransfer };
        let mut asset: String = one.symbol.trim().chars().filter(|c| !c.is_control()).take(LONGEST_SYMBOL).collect();
        if asset.is_empty() {
            contract.clone_into(&mut asset);
        }
        if token_id.is_some() {
            asset = format!("{asset} #{id}");
        }
        let one_of_a_kind = (value.is_empty() && token_id.is_some()).then(|| Quantity::of_units(1, 0));
        let quantity = one_of_a_kind.or_else(|| Quantity::of_digits(value, one.decimals));
        let amount = quantity.and_then(|quantity| Amount::of(quantity, asset));
        Some(self.moved(self.record(kind, place, &within)?, place, amount))
    }
}
