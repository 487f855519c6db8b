//! The vaults group: `/v1/integrations` and `/v1/vaults`.

mod authorization;
mod authorize;
mod automatic;
mod canaries;
mod capacity;
mod connections;
mod faults;
pub(crate) mod fixtures;
pub(crate) mod refresh;
mod secrets;
mod sync;
