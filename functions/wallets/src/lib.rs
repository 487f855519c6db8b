//! The wallets group: crypto exchanges, wallets, chains and exported files that a product's customers connect, synced in
//! the background.

pub mod model;
pub mod providers;

/// The group's name in keys, secrets and logs.
pub const GROUP: &str = "wallets";
