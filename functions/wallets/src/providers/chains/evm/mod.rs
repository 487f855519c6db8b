//! Ethereum and the chains that work as it does: one address, the same on each.
//!
//! # How a history is walked
//! Nodes tell no history, so explorers are asked: which one, `explorer` says; what they tell is written down alike in
//! `record`, so that an explorer may take another's place and nothing is stored twice. An integration may be of several
//! chains. Its cursor keeps one `walk` for each, and a page of history is a few calls about one of them.
//!
//! A chain that meets trouble is set back, and the others go on; it is tried again when they are done. While it is in
//! trouble the sync is put off, and says so; if that lasts, the others are read anew all the same. A chain that no explorer
//! here covers is left out where there are others, of which its owner is warned when the address is connected.
//!
//! Whether an address is a contract its chains' nodes say (`rpc`), or an explorer where a node cannot.

mod blockscout;
mod chain;
mod etherscan;
mod explorer;
mod record;
mod rpc;
mod walk;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use alloy_primitives::Address;
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use shared::http::FieldProblem;

use self::chain::{ARBITRUM, AVALANCHE, BASE, BSC, Chain, ETHEREUM, OPTIMISM, POLYGON};
use self::etherscan::Service;
use self::explorer::{Explorer, Refusal, explorers};
use self::walk::{Halt, Walk};
use crate::model::{Category, Record};
use crate::providers::{Account, Checked, Cursor, Entry, Fetched, Given, Next, Outside, Source, Trouble};

/// Every chain, CAIP-2: for wallet apps, which are of all of them.
pub const CHAINS: &[&str] = &[ETHEREUM, OPTIMISM, BSC, POLYGON, BASE, ARBITRUM, AVALANCHE];

/// A wait above this is trouble, which keeps no other chain from going on.
const LONGEST_WAIT_SECONDS: u64 = 60;
/// While a chain is in trouble, the others are read anew after this.
const PASS_SECONDS: i64 = 50 * 60;

const SOURCES: &[&dyn Source] = &[&Evm];

const fn entry(
    id: &'static str,
    public_name: &'static str,
    logo_url: &'static str,
    chains: &'static [&'static str],
    instructions: &'static str,
) -> Entry {
    let category = Category::Blockchain;
    Entry { id, public_name, category, logo_url, sources: SOURCES, chains, takes_csv: false, instructions }
}

const INSTRUCTIONS: &str = "Give the address, 0x and 40 letters and digits, as your wallet shows it. It lets us see the \
    history and move nothing. A name such as vitalik.eth is not an address. What validators withdraw from the beacon chain \
    is not read.";

/// Ethereum in the catalogue.
pub static ETHEREUM_ENTRY: Entry = entry(
    "ethereum",
    "Ethereum",
    "https://cdn.jsdelivr.net/gh/spothq/cryptocurrency-icons@0.18.1/svg/color/eth.svg",
    &[ETHEREUM],
    INSTRUCTIONS,
);
/// Polygon in the catalogue.
pub static POLYGON_ENTRY: Entry = entry(
    "polygon",
    "Polygon",
    "https://cdn.jsdelivr.net/gh/spothq/cryptocurrency-icons@0.18.1/svg/color/matic.svg",
    &[POLYGON],
    INSTRUCTIONS,
);
/// Arbitrum in the catalogue.
pub static ARBITRUM_ENTRY: Entry = entry(
    "arbitrum",
    "Arbitrum",
    "https://raw.githubusercontent.com/trustwallet/assets/master/blockchains/arbitrum/info/logo.png",
    &[ARBITRUM],
    INSTRUCTIONS,
);
/// Optimism in the catalogue.
pub static OPTIMISM_ENTRY: Entry = entry(
    "optimism",
    "Optimism",
    "https://raw.githubusercontent.com/trustwallet/assets/master/blockchains/optimism/info/logo.png",
    &[OPTIMISM],
    INSTRUCTIONS,
);
/// Base in the catalogue.
pub static BASE_ENTRY: Entry = entry(
    "base",
    "Base",
    "https://raw.githubusercontent.com/trustwallet/assets/master/blockchains/base/info/logo.png",
    &[BASE],
    INSTRUCTIONS,
);
/// BNB Smart Chain in the catalogue.
pub static BSC_ENTRY: Entry = entry(
    "bsc",
    "BNB Smart Chain",
    "https://cdn.jsdelivr.net/gh/spothq/cryptocurrency-icons@0.18.1/svg/color/bnb.svg",
    &[BSC],
    INSTRUCTIONS,
);
/// Avalanche in the catalogue.
pub static AVALANCHE_ENTRY: Entry = entry(
    "avalanche",
    "Avalanche",
    "https://cdn.jsdelivr.net/gh/spothq/cryptocurrency-icons@0.18.1/svg/color/avax.svg",
    &[AVALANCHE],
    INSTRUCTIONS,
);
/// All of them at once in the catalogue.
pub static ENTRY: Entry = entry(
    "evm",
    "EVM chains",
    "https://cdn.jsdelivr.net/gh/spothq/cryptocurrency-icons@0.18.1/svg/color/eth.svg",
    CHAINS,
    "Give the address, 0x and 40 letters and digits, as your wallet shows it: it is the same on every chain. Name the \
        chains in `chains`, or leave them out for all. The address lets us see the history and move nothing.",
);

/// The EVM chains.
pub struct Evm;

/// What a cursor holds.
#[derive(Debug, Serialize, Deserialize)]
struct Position {
    /// By chain.
    walks: BTreeMap<String, Walk>,
    /// When the present pass began: seconds since 1970.
    began: i64,
}

#[async_trait::async_trait]
impl Source for Evm {
    fn name(&self) -> &'static str {
        "evm"
    }

    fn accepted(&self) -> &'static str {
        "an EVM address (0x and 40 hexadecimal digits)"
    }

    fn account(&self, given: &Given) -> Result<Account, Vec<FieldProblem>> {
        let chains = given.chains_of("eip155");
        if chains.is_empty() || chains.iter().any(|chain| Chain::named(chain).is_none()) {
            let message = format!("must be some of {} for an EVM address", CHAINS.join(", "));
            return Err(vec![FieldProblem::new("chains", "value", message)]);
        }
        match parse_address(given.address.as_deref().unwrap_or_default()) {
            Ok(address) => Ok(Account::of_address(address, chains)),
            Err(message) => Err(vec![FieldProblem::new("address", "value", message)]),
        }
    }

    /// An address that is well formed can be watched. What is asked is whether it is a contract, and whether there is an
    /// explorer for each chain.
    async fn check(&self, account: &Account, outside: &Outside<'_>) -> Result<Checked, Trouble> {
        let chains: Vec<&'static Chain> = account.chains.iter().filter_map(|chain| Chain::named(chain)).collect();
        let asked = join_all(chains.iter().copied().map(|chain| async move {
            (is_contract(chain, account.address(), outside).await, is_covered(chain, account.address(), outside).await)
        }));
        let answers = asked.await;
        let named = |with: &dyn Fn(&(Option<bool>, bool)) -> bool| -> Vec<&str> {
            chains.iter().zip(&answers).filter(|(_, answer)| with(answer)).map(|(chain, _)| chain.name).collect()
        };
        let mut warnings = Vec::new();
        let (unknown, uncovered) = (named(&|answer| answer.0.is_none()), named(&|answer| !answer.1));
        if !unknown.is_empty() {
            let chains = unknown.join(", ");
            warnings.push(format!("Whether the address is a contract could not be told on {chains}."));
        }
        if !uncovered.is_empty() {
            let chains = uncovered.join(", ");
            warnings.push(format!(
                "No history can be read on {chains} until this service's operator has a key with an explorer that covers it."
            ));
        }
        let is_contract = answers.iter().any(|answer| answer.0 == Some(true));
        Ok(Checked { warnings, is_contract, ..Checked::default() })
    }

    async fn page(
        &self,
        account: &Account,
        cursor: Option<&Cursor>,
        outside: &Outside<'_>,
    ) -> Result<Fetched, Trouble> {
        let now = outside.now().as_second();
        let mut position = cursor
            .and_then(Cursor::read::<Position>)
            .unwrap_or_else(|| Position { walks: BTreeMap::new(), began: now });
        position.walks.retain(|chain, _| account.chains.contains(chain));
        for chain in &account.chains {
            position.walks.entry(chain.clone()).or_default();
        }
        if position.walks.values().all(|walk| walk.done) {
            position.begin(now);
        }
        let (mut trouble, mut failed, mut left_out) = (None, Vec::new(), 0);
        // Those that have met no trouble, then those that have; and the others anew, if the trouble lasts.
        for turn in [Turn::Fresh, Turn::SetBack, Turn::Anew] {
            if turn == Turn::Anew {
                if now.saturating_sub(position.began) < PASS_SECONDS || !position.walks.values().any(|walk| walk.done) {
                    break;
                }
                position.begin_the_rest(now);
            }
            for chain in account.chains.iter().filter_map(|chain| Chain::named(chain)) {
                let Some(walk) = position.walks.get_mut(chain.caip) else { continue };
                // What has just failed is not asked again in the same breath.
                if walk.done || walk.set_back != (turn == Turn::SetBack) || failed.contains(&chain.id) {
                    continue;
                }
                match walk.read_on(chain, account.address(), outside).await {
                    Ok(records) => {
                        walk.set_back = false;
                        return Ok(position.fetched(records));
                    }
                    Err(Halt::Uncovered) => {
                        left_out += 1;
                        if left_out == account.chains.len() {
                            return Err(uncovered(chain));
                        }
                        walk.done = true;
                    }
                    Err(Halt::Trouble(Trouble::Interrupted)) => return Err(Trouble::Interrupted),
                    Err(Halt::Trouble(Trouble::Wait { provider, for_ })) if for_.as_secs() <= LONGEST_WAIT_SECONDS => {
                        return Err(Trouble::Wait { provider, for_ });
                    }
                    Err(Halt::Trouble(other)) => {
                        walk.set_back = true;
                        failed.push(chain.id);
                        trouble = trouble.or(Some(other));
                    }
                }
            }
        }
        match trouble {
            Some(trouble) => Err(trouble),
            None => Ok(position.fetched(Vec::new())),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Fresh,
    SetBack,
    Anew,
}

impl Position {
    /// Begins a pass through every chain.
    fn begin(&mut self, now: i64) {
        self.began = now;
        self.walks.values_mut().for_each(Walk::begin);
    }

    /// Begins a pass through those that had come to their end.
    fn begin_the_rest(&mut self, now: i64) {
        self.began = now;
        self.walks.values_mut().filter(|walk| walk.done).for_each(Walk::begin);
    }

    fn fetched(self, records: Vec<Record>) -> Fetched {
        let is_done = self.walks.values().all(|walk| walk.done);
        let cursor = Cursor::of(&self);
        Fetched { records, next: if is_done { Next::End(Some(cursor)) } else { Next::More(cursor) }, expected: None }
    }
}

fn uncovered(chain: &Chain) -> Trouble {
    Trouble::Unexpected(format!(
        "No explorer that this service may ask tells the history of {}. That is for the service's operator to put right; \
         the address is in order.",
        chain.name
    ))
}

/// Whether an address is a contract on a chain; `None` if it cannot be told now.
async fn is_contract(chain: &'static Chain, address: &str, outside: &Outside<'_>) -> Option<bool> {
    match rpc::is_contract(chain, address, outside).await {
        Ok(is_contract) => return Some(is_contract),
        Err(trouble) => tracing::info!(chain = chain.caip, %trouble, "a node could not be asked"),
    }
    for explorer in explorers(chain, outside).await.ok()?.left {
        if let Explorer::Blockscout(blockscout) = explorer {
            return blockscout.is_contract(chain, address, outside).await.ok();
        }
    }
    None
}

/// False if it is certain that no explorer tells of a chain.
async fn is_covered(chain: &'static Chain, address: &str, outside: &Outside<'_>) -> bool {
    let Ok(explorers) = explorers(chain, outside).await else { return true };
    // Those whose chains are known need not be asked.
    let covers = |one: &Explorer| matches!(one, Explorer::Blockscout(_) | Explorer::Etherscan(Service::Routescan));
    if explorers.left.iter().any(covers) {
        return true;
    }
    for explorer in &explorers.left {
        match explorer {
            Explorer::Blockscout(_) => return true,
            Explorer::Etherscan(service) => match service.covers(chain, address, outside).await {
                Err(Refusal::Uncovered(for_)) => explorer.pass_over(chain, for_, false, outside),
                _ => return true,
            },
        }
    }
    explorers.any_barred
}

/// Parses an address and gives its canonical form, with EIP-55's checksum.
fn parse_address(text: &str) -> Result<String, &'static str> {
    const ACCEPTED: &str = "must be 0x and 40 hexadecimal digits";
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).ok_or(ACCEPTED)?;
    if digits.len() != 40 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(ACCEPTED);
    }
    let address: Address = digits.to_ascii_lowercase().parse().map_err(|_| ACCEPTED)?;
    let canonical = address.to_checksum(None);
    // Letters in one case carry no checksum; in both they are one.
    let is_mixed = digits.bytes().any(|b| b.is_ascii_lowercase()) && digits.bytes().any(|b| b.is_ascii_uppercase());
    if is_mixed && canonical.strip_prefix("0x") != Some(digits) {
        return Err("is mistyped: its capital and small letters do not fit together (EIP-55). Copy it once more");
    }
    Ok(canonical)
}
