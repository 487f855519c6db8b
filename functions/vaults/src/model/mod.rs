//! What the group works with: fingerprints of values and the plan of a sync. Knows no provider and no AWS.

pub mod fingerprint;
pub mod plan;
