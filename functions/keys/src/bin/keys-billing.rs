//! The keys group's hourly billing sync on Lambda.

use std::sync::Arc;

use keys::billing::{BillingJob, FUNCTION};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    shared::function::run_scheduled(FUNCTION, |platform| Arc::new(BillingJob::new(platform))).await
}
