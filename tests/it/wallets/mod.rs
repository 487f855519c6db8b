//! `/wallets/api`.

mod authorization;
mod capacity;
mod chains_evm;
mod create_integration;
mod credentials;
mod faults;
mod fixtures;
mod list_integrations;
mod list_providers;
mod sync;
mod update_integration;
