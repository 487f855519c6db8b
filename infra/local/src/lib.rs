//! The local stack and the operator's command line: what the `causeway` binary is made of.

pub mod secrets_manager;
