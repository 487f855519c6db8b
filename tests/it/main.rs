//! Black-box tests: what a user may rely on, over HTTP, against the embedded AWS and stateful fakes. Folders are the URLs.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod egress;
mod keys;
mod local;
mod openapi;
mod rules;
mod secrets;
mod services;
mod sweep;
mod vaults;
mod wallets;
