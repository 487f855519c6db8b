//! `causeway`: the local stack and the operator's command line.

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use local::{audit, dev, environment, openapi, operate};

/// Causeway, an integrations backend. Without a command: `dev --sandbox`.
#[derive(Debug, Parser)]
#[command(name = "causeway", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole stack on one port.
    Dev(dev::Options),
    /// Mint, list, show, rotate and revoke tokens, on the local stack or a deployed one.
    #[command(subcommand)]
    Token(operate::TokenCommand),
    /// Show who did what to which integration, on the local stack or a deployed one.
    Audit(audit::Options),
    /// List the outside providers and the variables that point them elsewhere.
    Upstreams,
    /// Send an event to a function of the running local stack.
    Invoke(operate::Invoke),
    /// Print the environment of a function that runs beside the running local stack.
    Env(environment::Options),
    /// Write the OpenAPI documents and their reading pages from the code, or check them.
    Openapi(openapi::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    // What the SDK warns of is what a command then says in one line.
    shared::telemetry::init_with(std::io::stderr, "warn,aws_config=error");
    let command = Arguments::parse().command.unwrap_or_else(|| Command::Dev(dev::Options::sandbox()));
    let outcome: Result<(), Box<dyn std::error::Error>> = match command {
        Command::Dev(options) => dev::run(options).await.map_err(Into::into),
        Command::Token(command) => operate::token(command).await.map_err(Into::into),
        Command::Audit(options) => audit::run(options).await.map_err(Into::into),
        Command::Upstreams => operate::upstreams().map_err(Into::into),
        Command::Invoke(options) => operate::invoke(options).await.map_err(Into::into),
        Command::Env(options) => environment::run(&options).map_err(Into::into),
        Command::Openapi(options) => openapi::run(&options).map_err(Into::into),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "causeway: {error}");
            ExitCode::FAILURE
        }
    }
}
