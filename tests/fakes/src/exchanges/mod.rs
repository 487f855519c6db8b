//! Exchanges, asked with API keys.

pub mod kraken;
