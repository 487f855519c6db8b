//! Chains, asked by an address.

pub mod bitcoin;
pub mod evm;
pub mod solana;
