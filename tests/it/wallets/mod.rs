//! `/wallets/api`.

mod authorization;
mod capacity;
mod create_integration;
mod credentials;
mod faults;
mod fixtures;
mod import_csv;
mod list_integrations;
mod list_providers;
mod sync;
mod update_integration;
