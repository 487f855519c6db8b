//! Domain types: no runtime, no AWS, no provider.

mod choose;
mod health;
mod key;
mod preview;
mod probe;
mod report;
#[cfg(test)]
mod testing;

pub use choose::{
    Choice, PassedOver, Reason, Usage, choose, day_of_minute, earliest, first_minute_of_day, main_reason, minute_of,
    objection,
};
pub use health::{Event, Health, HealthStatus, LastError, Outage};
pub use key::{Key, KeyId, Period, SecretPart, SpendAction, SpendLimit, Spent, Told, Work, day_of};
pub use preview::preview;
pub use probe::{Amounts, Billing, Probe, Verdict};
pub use report::{Outcome, Report};
