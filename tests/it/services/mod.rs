//! `/services/api`.

mod create_integration;
mod delete_integration;
mod faults;
mod fixtures;
mod get_integration;
mod list_integration_types;
mod list_integrations;
mod operations;
mod providers;
mod send_message;
mod test_integration;
mod try_integration;
mod update_integration;
