//! `/services/api`.

mod canaries;
mod check;
mod faults;
pub(crate) mod fixtures;
mod list_integrations;
mod providers;
mod send_message;
mod test_integration;
mod try_integration;
