//! The vaults group's renewal of tokens, on Lambda.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    shared::function::run_scheduled(vaults::refresh::FUNCTION, vaults::refresh::job).await
}
