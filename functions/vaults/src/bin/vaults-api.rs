//! The vaults group's API on Lambda.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    shared::function::run_api(vaults::api::router).await
}
