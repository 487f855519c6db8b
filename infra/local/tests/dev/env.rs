//! `causeway env`.

use std::path::Path;

use serde_json::Value;

use crate::process::{Ended, Stack, causeway, run};

async fn env(folder: &Path, arguments: &[&str]) -> Ended {
    run(causeway(&[&["env"], arguments, &["--data-dir", folder.to_str().unwrap()]].concat())).await
}

#[tokio::test]
async fn without_a_running_stack_it_says_how_to_start_one() {
    let folder = tempfile::tempdir().unwrap();
    let ended = env(folder.path(), &[]).await;
    assert!(ended.refusal().starts_with(&format!("no stack runs in {} (", folder.path().display())), "{ended:?}");
}

#[tokio::test]
async fn both_forms_lead_to_the_emulators_of_the_running_stack() {
    let folder = tempfile::tempdir().unwrap();
    let _stack = Stack::start(folder.path()).await;
    let file: Value = serde_json::from_slice(&std::fs::read(folder.path().join("dev.json")).unwrap()).unwrap();
    let aws = |name: &str| file["aws"][name].as_str().unwrap().to_owned();
    let expected = [
        ("AWS_ENDPOINT_URL_DYNAMODB", aws("dynamodb_endpoint")),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", aws("secretsmanager_endpoint")),
        ("CAUSEWAY_STACK", "causeway".to_owned()),
        ("CAUSEWAY_TABLE", aws("table")),
    ];
    let lines = env(folder.path(), &[]).await;
    for (name, value) in &expected {
        assert!(lines.printed().lines().any(|line| line == format!("{name}={value}")), "{name}: {lines:?}");
    }
    for line in lines.printed().lines() {
        assert!(line.split_once('=').is_some_and(|(_, value)| !value.is_empty()), "{line}");
    }
    // A function can be configured with them.
    let variables = lines.printed().lines().filter_map(|line| line.split_once('='));
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert!(shared::config::Config::from_variables(variables).is_ok());

    let sam = env(folder.path(), &["--sam"]).await;
    let sam: Value = serde_json::from_str(sam.printed()).unwrap();
    assert_eq!(sam.as_object().unwrap().len(), 11);
    for (name, value) in &expected {
        assert_eq!(sam["WalletsApiFunction"][*name], value.as_str());
        assert_eq!(sam["SweepFunction"][*name], value.as_str());
    }
}
