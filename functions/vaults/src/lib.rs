//! The vaults group: deploy platforms that a product's customers connect, and secrets that are synced with their projects.
//!
//! # Theory of operation
//! A connection is a deploy platform's account, reached by OAuth or by a pasted token. A vault holds secrets by owner,
//! repository and environment. A sync compares one environment of a vault with one environment of a project, either way:
//! both sides are read, [`model::plan`] says what is to be created, changed, deleted and left alone, and the provider is
//! told with as few calls as it allows ([`providers`]). The planner sees no values, only keyed fingerprints of them.

pub mod model;
pub mod providers;

/// The group's name in keys, secrets and logs.
pub const GROUP: &str = "vaults";
