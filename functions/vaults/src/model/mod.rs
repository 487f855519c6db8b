//! What the group works with: connections, vaults, links and runs, fingerprints of values and the plan of a sync. Knows no
//! provider and no AWS.

pub mod connection;
pub mod fingerprint;
pub mod link;
pub mod name;
pub mod plan;
pub mod vault;

pub use connection::{Connection, Refresh, SecretPart, Status, Way};
pub use link::{DeleteScope, Direction, Drift, Failure, LastRun, Link, Outcome, Run, Tally, Target};
pub use name::{EnvironmentName, VaultName};
pub use vault::{Environment, Pending, Version};
