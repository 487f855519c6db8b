//! Black-box tests: what a user may rely on, over HTTP, against the embedded AWS and stateful fakes. Folders are the URLs.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod audit;
mod canaries;
mod egress;
mod fault_table;
mod keys;
mod local;
mod oidc;
mod openapi;
mod rate_limit;
mod rules;
mod secrets;
mod services;
mod stacks;
mod sweep;
mod telemetry;
mod tokens;
mod trust;
mod unreadable;
mod vaults;
mod wallets;
