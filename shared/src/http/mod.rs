//! What a handler is written with: errors, request ids, extractors, idempotency.
//!
//! # Theory of operation
//! [`Api`] wraps a group's routes. On the way in it gives the request an id, a deadline and the [`Platform`]; on the way
//! out it turns an [`ApiError`] into the group's own envelope, writes one log line, and catches a panic. Handlers and
//! extractors return the closed [`ApiError`]; it travels as a response extension until the group's presenter, the only
//! place that knows the envelope, writes it.
//!
//! [`Platform`]: crate::Platform

mod api;
mod audited;
mod described;
mod error;
mod fields;
mod html;
mod idempotency;
mod operations;
mod query;
pub(crate) mod rate_limit;
mod request_id;

pub use api::{Api, Group, Present};
pub use described::Described;
pub use error::{ApiError, FieldProblem, Place, Problem, Received};
pub use fields::{Body, BodyLimit, Fields, OptionalBody, RawBody, line};
pub use html::escape_html;
pub use idempotency::{Reserved, idempotent};
pub use operations::{Audit, Handler, Operation, Operations, Routes};
pub use query::Query;
pub use rate_limit::{RateLimiter, Standing};
pub use request_id::RequestId;
