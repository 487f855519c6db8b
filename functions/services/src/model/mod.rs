//! Domain types: no runtime, no AWS, no provider.

mod integration;
mod message;
mod report;

pub use integration::{CheckState, Integration, IntegrationId, Kind, LastTest, SecretPart};
pub use message::{Delivery, Message, Recipients, Refusal};
pub use report::{Report, Verdict};
