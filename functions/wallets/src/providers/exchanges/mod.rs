//! Exchanges, asked with API keys.

pub mod binance;
pub mod bitfinex;
pub mod bybit;
pub mod coinbase;
pub mod gemini;
pub mod kraken;
pub mod kucoin;
pub mod legs;
pub mod loose;
pub mod okx;
pub mod pace;
pub mod signing;
pub mod stages;
pub mod windows;
