//! The keys group's monitor on Lambda.

use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    shared::function::run_scheduled(|platform| Arc::new(keys::monitor::Monitor::new(platform))).await
}
