//! `/wallets/api`.

mod fixtures;
mod list_integrations;
mod sync;
