//! The only HTTP client, and the guard on where it may go.
//!
//! # Theory of operation
//! A request goes to one of two kinds of target. An *upstream* is a provider whose address the code knows; the operator
//! may override it with `CAUSEWAY_ENDPOINT_<UPSTREAM>`, and such an address needs no other leave. A *user's URL* came in
//! with a request and may point anywhere, so it passes the [`guard`]: literal addresses are judged before a connection
//! is tried, names by the addresses that they resolve to, inside the connector, so that what was judged is what is
//! connected to (a name that resolves differently the second time gains nothing). A user's URL at an upstream's own origin
//! is a user's URL like any other: where the operator has put the upstream is no place for requests of a user's making.
//!
//! The AWS SDK sends its requests through here too ([`aws`]), past the guard: its addresses are the operator's.
//!
//! No redirect is followed, no proxy is used, an answer is read up to a cap, and every request has a deadline: 3 s to
//! connect, 8 s in all, less where the invocation ends sooner. Only requests that are safe to repeat are tried twice.
//! Errors never hold a URL, because for some providers the URL is the credential. What is noted of a call, in the log and
//! in [`metrics`](crate::telemetry::metrics), is the upstream's name, how it ended, and how long it took.

pub mod aws;
mod client;
mod error;
pub mod guard;
mod trust;
mod upstream;

pub use client::{Answer, Egress, Names, Outgoing};
pub use error::EgressError;
pub use guard::Allowed;
pub use upstream::Upstream;
