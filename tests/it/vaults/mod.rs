//! The vaults group: `/v1/integrations` and `/v1/vaults`.

mod authorization;
mod authorize;
mod automatic;
mod connections;
mod faults;
mod fixtures;
mod secrets;
mod sync;
