//! The real `causeway` binary, as its user runs it: what it prints, what it writes, what it answers, how it ends.
//!
//! Every test has a data folder and a process of its own. Nothing is inherited from the environment of the tests but
//! `PATH`, so that no variable of the developer's shell changes what happens.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy.toml allows it in test functions, not in what they share"
)]

mod audit;
mod crash;
mod data;
mod deployed;
mod dev_file;
mod ending;
mod env;
mod help;
mod invoke;
mod oidc;
mod process;
mod ready;
mod refusals;
mod token;
mod upstreams;
