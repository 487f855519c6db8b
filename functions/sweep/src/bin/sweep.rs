//! The orphan sweep on Lambda.

use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    shared::function::run_scheduled(sweep::FUNCTION, |platform| Arc::new(sweep::Sweep::new(platform))).await
}
