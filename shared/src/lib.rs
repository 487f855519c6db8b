//! What every function of Causeway stands on.
//!
//! | module | what it is for |
//! |---|---|
//! | [`audit`] | who did what to which integration: entries that are only ever added |
//! | [`config`] | the environment, read once, every problem reported at once |
//! | [`clock`] | the only source of time, ids and randomness |
//! | [`auth`] | tokens, principals, permissions, and the extractor that hands out a tenant |
//! | [`http`] | errors, request ids, extractors, idempotency: what a handler is written with |
//! | [`openapi`] | what the OpenAPI documents of all groups have in common; runs in no function |
//! | [`table`] | the DynamoDB table: key schema, versions, pages, cursors, the due index |
//! | [`credentials`] | Secrets Manager, the only place a secret rests |
//! | [`digest`] | hashes as text |
//! | [`deadline`] | how long an invocation still has |
//! | [`egress`] | the only HTTP client, and the guard on where it may go |
//! | [`job`] | scheduled work: claims, runs, deadlines |
//! | [`telemetry`] | JSON logs, with what looks like a credential struck out; metrics; the trace |
//! | [`verdict`] | what a check of a credential says |
//! | [`platform`] | all of it assembled, as a function receives it |
//! | [`function`] | Lambda mains, and the same functions invoked in process |

pub mod audit;
pub mod auth;
pub mod clock;
pub mod config;
pub mod credentials;
pub mod deadline;
pub mod digest;
pub mod egress;
pub mod function;
pub mod http;
pub mod job;
pub mod openapi;
pub mod platform;
pub mod table;
pub mod telemetry;
pub mod verdict;

pub use platform::Platform;
