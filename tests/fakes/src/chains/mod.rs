//! EVM chains as explorers tell them: one ledger of what happened, and the explorers that stand over it.

pub mod blockscout;
pub mod etherscan;
pub mod ledger;
