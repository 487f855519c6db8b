//! A function on the real `lambda_runtime` that does as its event says: what the Runtime API double is tested with.
//!
//! `{"do": "fail"}` reports an error, `"exit"` ends the process with code 7, `"hang"` never answers; any other event is
//! answered with itself.

use std::io::Write;

use lambda_runtime::{Error, LambdaEvent};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(lambda_runtime::service_fn(handle)).await
}

async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let (payload, context) = event.into_parts();
    writeln!(std::io::stderr(), "handling {} in {}", context.request_id, context.env_config.function_name)?;
    match payload.get("do").and_then(Value::as_str) {
        Some("fail") => Err("as asked".into()),
        Some("exit") => std::process::exit(7),
        Some("hang") => std::future::pending().await,
        _ => Ok(json!({ "echo": payload, "region": std::env::var("AWS_REGION")? })),
    }
}
