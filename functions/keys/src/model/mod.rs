//! Domain types: no runtime, no AWS, no provider.

mod probe;

pub use probe::{Amounts, Billing, Probe, Verdict};
