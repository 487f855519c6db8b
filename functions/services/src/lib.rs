//! The services group: notification channels and outside services that a product's customers connect, tested and used to
//! send.
//!
//! # Theory of operation
//! An integration is an item in the table and, where its config has something secret, one secret. The item holds the plain
//! part of the config, the names of the secret keys, and the version of the secret that belongs to it; it is the commit
//! point of every change ([`store`]). What a type's config may hold, how a credential is judged without anyone noticing
//! and how a message is delivered is each provider's own, behind one trait ([`providers`]); the [`model`] knows none of
//! them. Handlers ([`api`]) parse, take the tenant out of the permission check, make one call, and present.
//!
//! `services-api` serves [`api::router`]; `services-check` runs [`check::Check`] once a day.

pub mod api;
pub mod check;
pub mod model;
pub mod providers;
pub mod store;

use shared::Platform;
use std::sync::Arc;
use store::Integrations;

/// The group's name in keys, secrets and logs.
pub const GROUP: &str = "services";

/// What the group's handlers and jobs work with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Services {
    /// The integrations.
    pub integrations: Integrations,
    /// The platform they stand on.
    pub platform: Platform,
}

impl Services {
    /// The group on `platform`.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        Self { integrations: Integrations::new(platform), platform: platform.clone() }
    }
}

/// The group's functions by name, as they are deployed.
#[must_use]
pub fn functions(platform: &Platform) -> Vec<(&'static str, shared::function::Function)> {
    use shared::function::Function;
    vec![
        ("services-api", Function::Api(api::router(platform))),
        (check::FUNCTION, Function::job(platform, check::FUNCTION, Arc::new(check::Check::new(platform)))),
    ]
}
