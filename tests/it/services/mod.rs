//! `/services/api`.

mod faults;
mod list_integrations;
