//! The services group's daily job on Lambda.

use std::sync::Arc;

use services::check::{Check, FUNCTION};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    shared::function::run_scheduled(FUNCTION, |platform| Arc::new(Check::new(platform))).await
}
