//! `/services/api`.

mod authorization;
mod canaries;
mod capacity;
mod check;
mod concurrency;
mod create_integration;
mod delete_integration;
mod errors;
mod faults;
pub(crate) mod fixtures;
mod get_integration;
mod idempotency;
mod list_integration_types;
mod list_integrations;
mod operations;
mod providers;
mod send_message;
mod tenancy;
mod test_integration;
mod try_integration;
mod update_integration;
