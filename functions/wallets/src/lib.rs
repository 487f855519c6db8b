//! The wallets group: crypto exchanges, wallets, chains and exported files that a product's customers connect, synced in
//! the background.
//!
//! # Theory of operation
//! An integration is an item in the table and, where it is asked with something secret, one secret ([`store`]). Whom it is
//! asked from, with what, and how its history is walked is each source's own, behind one trait ([`providers`]); the
//! [`model`] knows none of them. Handlers ([`api`]) parse, take the tenant out of the permission check, make one call, and
//! present. Histories are brought in by [`sync`], page by page, each record once; or from files, by [`imports`].
//!
//! `wallets-api` serves [`api::router`]; `wallets-sync` runs [`sync::SyncJob`] on the table's stream and every minute.

pub mod api;
pub mod imports;
pub mod model;
pub mod providers;
pub mod store;
pub mod sync;

use shared::Platform;
use store::Integrations;

/// The group's name in keys, secrets and logs.
pub const GROUP: &str = "wallets";

/// What the group's handlers and jobs work with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Wallets {
    /// The integrations.
    pub integrations: Integrations,
    /// The platform they stand on.
    pub platform: Platform,
}

impl Wallets {
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
        ("wallets-api", Function::Api(api::router(platform))),
        (sync::FUNCTION, Function::job(platform, sync::FUNCTION, sync::job(platform))),
    ]
}
