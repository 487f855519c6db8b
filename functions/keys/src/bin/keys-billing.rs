//! The keys group's hourly billing sync on Lambda.

use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    shared::function::run_scheduled(|platform| Arc::new(keys::billing::BillingJob::new(platform))).await
}
