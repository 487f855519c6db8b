//! The vaults group: `/v1/integrations` and `/v1/vaults`.

mod authorization;
pub(crate) mod authorize;
mod automatic;
mod canaries;
mod capacity;
mod connections;
mod faults;
pub(crate) mod fixtures;
mod history;
pub(crate) mod refresh;
mod sandbox;
mod secrets;
mod stacks;
mod sync;
