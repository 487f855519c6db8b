//! `/wallets/api`.

mod authorization;
mod capacity;
mod chains_evm;
mod chains_solana;
mod create_integration;
mod credentials;
mod faults;
mod fixtures;
mod import_csv;
mod list_integrations;
mod list_providers;
mod providers;
mod providers_apps;
mod providers_gemini;
mod sync;
mod update_integration;
