//! The chains, and what is particular to each.

use shared::egress::Upstream;

/// One EVM chain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chain {
    /// Its number.
    pub(super) id: u64,
    /// The same in the form of CAIP-2.
    pub(super) caip: &'static str,
    /// What people call it.
    pub(super) name: &'static str,
    /// Its own coin, of eighteen decimals.
    pub(super) coin: &'static str,
    /// A node of it.
    pub(super) node: Upstream,
    /// True if Blockscout hosts an explorer of it.
    pub(super) on_blockscout: bool,
    /// True if Routescan tells its history without a key.
    pub(super) on_routescan: bool,
    /// About ten minutes' worth of blocks: explorers add internal and token transfers some time after their block, and a
    /// chain may drop its last blocks for others.
    pub(super) overlap: u64,
}

pub(super) const ETHEREUM: &str = "eip155:1";
pub(super) const OPTIMISM: &str = "eip155:10";
pub(super) const BSC: &str = "eip155:56";
pub(super) const POLYGON: &str = "eip155:137";
pub(super) const BASE: &str = "eip155:8453";
pub(super) const ARBITRUM: &str = "eip155:42161";
pub(super) const AVALANCHE: &str = "eip155:43114";

/// Every chain. Which ones the explorers cover is what their own lists of chains say.
static CHAINS: &[Chain] = &[
    Chain {
        id: 1,
        caip: ETHEREUM,
        name: "Ethereum",
        coin: "ETH",
        node: Upstream::EvmRpc1,
        on_blockscout: true,
        on_routescan: false,
        overlap: 50,
    },
    Chain {
        id: 10,
        caip: OPTIMISM,
        name: "Optimism",
        coin: "ETH",
        node: Upstream::EvmRpc10,
        on_blockscout: true,
        on_routescan: false,
        overlap: 300,
    },
    Chain {
        id: 56,
        caip: BSC,
        name: "BNB Smart Chain",
        coin: "BNB",
        node: Upstream::EvmRpc56,
        on_blockscout: false,
        on_routescan: false,
        overlap: 1_200,
    },
    Chain {
        id: 137,
        caip: POLYGON,
        name: "Polygon",
        coin: "POL",
        node: Upstream::EvmRpc137,
        on_blockscout: true,
        on_routescan: false,
        overlap: 400,
    },
    Chain {
        id: 8453,
        caip: BASE,
        name: "Base",
        coin: "ETH",
        node: Upstream::EvmRpc8453,
        on_blockscout: true,
        on_routescan: false,
        overlap: 300,
    },
    Chain {
        id: 42161,
        caip: ARBITRUM,
        name: "Arbitrum",
        coin: "ETH",
        node: Upstream::EvmRpc42161,
        on_blockscout: true,
        on_routescan: false,
        overlap: 2_400,
    },
    Chain {
        id: 43114,
        caip: AVALANCHE,
        name: "Avalanche",
        coin: "AVAX",
        node: Upstream::EvmRpc43114,
        on_blockscout: false,
        on_routescan: true,
        overlap: 600,
    },
];

impl Chain {
    /// The chain of this CAIP-2 name.
    pub(super) fn named(caip: &str) -> Option<&'static Self> {
        CHAINS.iter().find(|chain| chain.caip == caip)
    }
}
