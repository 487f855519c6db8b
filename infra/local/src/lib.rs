//! The local stack and the operator's command line: what the `causeway` binary is made of.
//!
//! | module | what it is for |
//! |---|---|
//! | [`emulators`] | embedded DynamoDB and Secrets Manager on loopback ports |
//! | [`secrets_manager`] | the Secrets Manager emulator |
//! | [`template`] | what the stack takes from `template.yaml`: the table, the functions, the schedules |
//! | [`streams`] | the table's stream, filtered for the functions that take it |
//! | [`stack`] | the functions on one port, Lambda's Invoke API, the schedules, the stream |
//! | [`demo`] | the demo tenants and `dev.json` |
//! | [`dev`], [`openapi`], [`operate`], [`audit`], [`environment`] | the commands |
//! | [`deployed`] | a deployed stack, found by its name |

pub mod audit;
pub mod demo;
pub mod deployed;
pub mod dev;
pub mod emulators;
pub mod environment;
pub mod openapi;
pub mod operate;
pub mod secrets_manager;
pub mod stack;
pub mod streams;
pub mod template;
mod token_view;
