//! `/services/api`.

mod list_integrations;
