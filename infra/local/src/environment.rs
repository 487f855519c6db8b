//! `causeway env`: the environment of a function that runs beside the local stack, on its table and its secrets.
//!
//! Two tools run functions one at a time. `cargo lambda watch --env-file` takes lines, `sam local invoke --env-vars` takes
//! JSON: each function's variables under its name in the template. SAM passes on only variables that the template
//! declares, and adds a region and credentials of its own.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::demo::{AwsEntry, DevFile};
use crate::operate::OperateError;
use crate::template::Template;

/// The local stack's name.
const STACK: &str = "causeway";

/// Options of `causeway env`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Print JSON for `sam local invoke --env-vars` instead of lines for `cargo lambda watch --env-file`.
    #[arg(long)]
    pub sam: bool,
    /// The data folder of the running local stack.
    #[arg(long, default_value = ".causeway", value_name = "FOLDER")]
    pub data_dir: PathBuf,
}

/// Runs `causeway env`.
///
/// # Errors
/// [`OperateError`], above all where no local stack runs.
pub fn run(options: &Options) -> Result<(), OperateError> {
    let file = DevFile::read(&options.data_dir)
        .map_err(|source| OperateError::NoStack { folder: options.data_dir.clone(), source })?;
    let mut out = io::stdout().lock();
    if options.sam {
        let template = Template::embedded().and_then(|template| template.functions());
        let functions = template.map_err(|error| OperateError::Argument(error.to_string()))?;
        return Ok(writeln!(out, "{:#}", for_sam(functions.keys().map(String::as_str), &file.aws))?);
    }
    for (name, value) in variables(&file.aws) {
        writeln!(out, "{name}={value}")?;
    }
    // Whatever they are, the emulators take them.
    for (name, value) in [("REGION", "us-east-1"), ("ACCESS_KEY_ID", "local"), ("SECRET_ACCESS_KEY", "local")] {
        writeln!(out, "AWS_{name}={value}")?;
    }
    Ok(())
}

/// What leads a function to the stack's table and secrets.
fn variables(aws: &AwsEntry) -> BTreeMap<&'static str, &str> {
    BTreeMap::from([
        ("AWS_ENDPOINT_URL_DYNAMODB", aws.dynamodb_endpoint.as_str()),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", aws.secretsmanager_endpoint.as_str()),
        ("CAUSEWAY_STACK", STACK),
        ("CAUSEWAY_TABLE", aws.table.as_str()),
    ])
}

/// The file of `--env-vars`: these functions' variables, under their names in the template.
#[must_use]
pub fn for_sam<'a>(functions: impl IntoIterator<Item = &'a str>, aws: &AwsEntry) -> Value {
    let variables = json!(variables(aws));
    let functions = functions.into_iter().map(|function| (logical_name(function), variables.clone()));
    Value::Object(functions.collect::<Map<_, _>>())
}

/// What the template calls a function: `WalletsApiFunction` for `wallets-api`.
fn logical_name(function: &str) -> String {
    let words = function.split('-').map(|word| {
        let (first, rest) = word.split_at_checked(1).unwrap_or_default();
        first.to_uppercase() + rest
    });
    words.chain(["Function".to_owned()]).collect()
}
