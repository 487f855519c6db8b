//! The keys group: pooled provider API keys, with their health, limits, spend and selection.

pub mod lease;
pub mod model;
pub mod providers;
pub mod store;

/// The group's name in keys, secrets and logs.
pub const GROUP: &str = "keys";
