//! The vaults group's pushes over automatic links, on Lambda.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    shared::function::run_scheduled(vaults::sync::FUNCTION, vaults::sync::job).await
}
