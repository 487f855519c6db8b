//! The test kit.
//!
//! | module | what it is for |
//! |---|---|
//! | [`app`] | `TestApp`: the whole stack on a free port, with fakes, faults, a fixed clock, and clients |
//! | [`fault_proxy`] | a proxy that injects faults between the functions and the AWS emulators |
//! | [`logs`] | every line logged by the test process |
//! | [`malformed`] | events that nobody sends, and what a function owes them |
//! | [`metrics`] | everything that a stack measures, and a strict reader of the lines that tell it |
//! | [`names`] | a resolver that answers whatever a test wants |
//! | [`oidc`] | the operator's issuer behind TLS, and what a function's real binary owes its tokens |
//! | [`runtime_api`] | a double of the Lambda Runtime API that runs a function's real binary |
//! | [`tls`] | TLS in front of something that has none |

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up should say so and end")]

pub mod app;
pub mod fault_proxy;
pub mod logs;
pub mod malformed;
pub mod metrics;
pub mod names;
pub mod oidc;
pub mod runtime_api;
pub mod tls;

pub use app::{Answer, Client, Process, TestApp};
