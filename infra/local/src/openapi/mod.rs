//! `causeway openapi`: writes the groups' OpenAPI documents and their reading pages, or checks that they are current.

mod page;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

/// A group's document, made from the code.
type Described = fn() -> Result<Value, serde_json::Error>;

const GROUPS: [(&str, Described); 4] = [
    ("wallets", wallets::api::openapi),
    ("services", services::api::openapi),
    ("keys", keys::api::openapi),
    ("vaults", vaults::api::openapi),
];

/// Options of `causeway openapi`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Change nothing; fail if a file is not what the code says.
    #[arg(long)]
    pub check: bool,
    /// The folder of the files.
    #[arg(long, default_value = "infra/openapi", value_name = "FOLDER")]
    pub folder: PathBuf,
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub enum OpenApiError {
    /// The files are not what the code says.
    #[error("{} differ from the code. Write them anew with `cargo run -- openapi`, then build again", .0.join(", "))]
    Differ(Vec<String>),
    /// The examples of a group cannot be read.
    #[error("the examples of the group {group} are not JSON: {source}")]
    Examples {
        /// The group.
        group: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A file cannot be written, or standard output is closed.
    #[error("{}: {source}. Run this at the root of the tree, or name the folder with --folder", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A file as the code says it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its name in `infra/openapi`.
    pub name: String,
    /// Its whole text.
    pub text: String,
}

/// The documents by their groups' names.
///
/// # Errors
/// [`OpenApiError::Examples`].
pub fn documents() -> Result<Vec<(&'static str, Value)>, OpenApiError> {
    let made = GROUPS.into_iter().map(|(group, describe)| match describe() {
        Ok(document) => Ok((group, document)),
        Err(source) => Err(OpenApiError::Examples { group, source }),
    });
    made.collect()
}

/// Every file: of each group the document and its page.
///
/// # Errors
/// [`OpenApiError::Examples`].
pub fn files() -> Result<Vec<File>, OpenApiError> {
    let files = documents()?.into_iter().flat_map(|(group, document)| {
        let json = File { name: format!("{group}.json"), text: format!("{document:#}\n") };
        [json, File { name: format!("{group}.html"), text: page::of(&document) }]
    });
    Ok(files.collect())
}

/// Runs `causeway openapi`.
///
/// # Errors
/// [`OpenApiError`].
pub fn run(options: &Options) -> Result<(), OpenApiError> {
    let mut out = io::stdout().lock();
    let mut differ = Vec::new();
    for File { name, text } in files()? {
        let path = options.folder.join(&name);
        if std::fs::read_to_string(&path).is_ok_and(|present| present == text) {
            continue;
        }
        if !options.check {
            let failed = |source| OpenApiError::Io { path: path.clone(), source };
            std::fs::write(&path, text).map_err(failed)?;
            writeln!(out, "wrote {}", path.display()).map_err(failed)?;
        }
        differ.push(name);
    }
    if options.check && !differ.is_empty() { Err(OpenApiError::Differ(differ)) } else { Ok(()) }
}
