//! The keys group's monitor on Lambda.

use std::sync::Arc;

use keys::monitor::{FUNCTION, Monitor};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    shared::function::run_scheduled(FUNCTION, |platform| Arc::new(Monitor::new(platform))).await
}
