//! `/wallets/api`.

mod authorization;
mod capacity;
mod create_integration;
mod fixtures;
mod list_integrations;
mod list_providers;
mod sync;
mod update_integration;
