//! The group's items in the table and its secrets: connections, vaults, links and what their syncs leave.
//!
//! | file | what it keeps |
//! |---|---|
//! | [`connections`] | platforms' accounts and their tokens |
//! | [`vaults`] | vaults' environments, spread over secrets, with their versions |
//! | [`values`] | names and values as they are read, checked, written and shown |
//! | [`links`] | links, their ledgers, their runs, and the lease of a target |
//! | [`authorizations`] | what an OAuth callback comes back to |
//!
//! The item is the commit point for its secrets, as in the other groups: secret first, item second; the item names the
//! versions that belong to it.

pub mod authorizations;
pub mod connections;
pub mod links;
pub mod values;
pub mod vaults;

pub use authorizations::{Authorization, Authorizations};
pub use connections::{Connections, NewConnection};
pub use links::{Book, Held, Links};
pub use values::Values;
pub use vaults::{Edit, Environments, VaultRow};

/// A change is tried so often while others get in between.
const TRIES: u32 = 24;
/// Background work waits in so many queues, so that no one partition of the index takes every write.
pub const QUEUES: u8 = 4;

/// The queue of a job that a thing waits in, by its id.
fn queue(job: &str, id: &str) -> String {
    queue_named(job, id.bytes().fold(0_u8, u8::wrapping_add) % QUEUES)
}

/// The name of a job's queue.
#[must_use]
pub fn queue_named(job: &str, number: u8) -> String {
    format!("{job}#{number}")
}
