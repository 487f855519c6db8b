//! The wallets group's background job on Lambda.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    shared::function::run_scheduled(wallets::sync::FUNCTION, wallets::sync::job).await
}
