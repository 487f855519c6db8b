//! Stateful fakes of the outside providers that integrations talk to, on real sockets of 127.0.0.1.

pub mod ai_gateway;
pub mod discord;
pub mod evm;
pub mod fault;
mod host;
pub mod resend;
pub mod sendgrid;
pub mod slack;
pub mod telegram;
pub mod webhook;
mod wire;

pub use crate::fault::{Answer, Fault, Faults};
pub use crate::host::{Host, Recorded};
