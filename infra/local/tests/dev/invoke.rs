//! `causeway invoke`, against a running stack.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::process::{Ended, Stack, causeway, run};

/// `causeway invoke …` on the stack of `folder`.
async fn invoke(folder: &Path, arguments: &[&str]) -> Ended {
    run(causeway(&[&["invoke"], arguments, &["--data-dir", folder.to_str().unwrap()]].concat())).await
}

/// What the function answered.
#[track_caller]
fn result(ended: &Ended) -> Value {
    serde_json::from_str(ended.printed()).unwrap()
}

/// What a function that failed said, and the line that says so.
#[track_caller]
fn failure(ended: &Ended) -> Value {
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), "causeway: the function failed\n"), "{ended:?}");
    serde_json::from_str(&ended.out).unwrap()
}

#[tokio::test]
async fn without_a_running_stack_it_says_how_to_start_one() {
    let folder = tempfile::tempdir().unwrap();
    let ended = invoke(folder.path(), &["sweep"]).await;
    assert!(ended.refusal().starts_with(&format!("no stack runs in {} (", folder.path().display())), "{ended:?}");
    let stack = Stack::start(folder.path()).await;
    let url = stack.url().to_owned();
    stack.stop().await;
    let ended = invoke(folder.path(), &["sweep"]).await;
    let line = ended.refusal();
    assert!(line.starts_with(&format!("the stack at {url} could not be asked: ")), "{line}");
    assert!(line.ends_with("Is it running?"), "{line}");
}

#[tokio::test]
async fn what_cannot_be_sent_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let _stack = Stack::start(folder.path()).await;
    let missing = folder.path().join("no-such-event.json");
    let ended = invoke(folder.path(), &["sweep", missing.to_str().unwrap()]).await;
    assert!(ended.refusal().starts_with(&format!("{} cannot be read: ", missing.display())), "{ended:?}");
}

#[tokio::test]
async fn a_function_that_fails_makes_the_command_fail() {
    let folder = tempfile::tempdir().unwrap();
    let _stack = Stack::start(folder.path()).await;
    let unknown = failure(&invoke(folder.path(), &["services-chek"]).await);
    assert_eq!(unknown["Type"], "User");
    let message = unknown["Message"].as_str().unwrap();
    assert!(message.contains("services-chek") && message.contains("services-check"), "{message}");

    let event = folder.path().join("event.json");
    std::fs::write(&event, r#"{"id": "1", "time": "yesterday"}"#).unwrap();
    let malformed = failure(&invoke(folder.path(), &["services-check", event.to_str().unwrap()]).await);
    assert_eq!(malformed["errorType"], "MalformedEvent");
    std::fs::write(&event, "{").unwrap();
    let invalid = failure(&invoke(folder.path(), &["services-check", event.to_str().unwrap()]).await);
    assert!(invalid["Message"].as_str().unwrap().starts_with("Could not parse request body into json"), "{invalid}");
}

#[tokio::test]
async fn services_check_tests_what_there_is_and_says_what_came_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack::start(folder.path()).await;
    let id = stack.services().create_slack("mistyped", "https://hooks.slack.com/services/T0/B0/mistyped").await;
    let ran = result(&invoke(folder.path(), &["services-check"]).await);
    assert_eq!(ran, json!({ "valid": 0, "limited": 0, "invalid": 1, "inconclusive": 0, "finished": true }));
    let read = stack.services().expect(200, "GET", &format!("/{id}"), None).await;
    assert_eq!((&read["needsAttention"], &read["lastTest"]["verdict"]), (&json!(true), &json!("invalid")));
}

#[tokio::test]
async fn an_event_is_sent_as_it_is_in_a_file_or_on_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack::start(folder.path()).await;
    stack.services().create_slack("mistyped", "https://hooks.slack.com/services/T0/B0/mistyped").await;
    // A `Resume` starts no run of its own, which shows that this event was sent and not one of now.
    let resume = json!({ "id": "resume", "time": "1970-01-01T00:00:00Z", "detail-type": "Resume" }).to_string();
    let event = folder.path().join("event.json");
    std::fs::write(&event, &resume).unwrap();
    let idle = json!({ "valid": 0, "limited": 0, "invalid": 0, "inconclusive": 0, "finished": true });
    assert_eq!(result(&invoke(folder.path(), &["services-check", event.to_str().unwrap()]).await), idle);

    let mut input = tempfile::tempfile().unwrap();
    input.write_all(resume.as_bytes()).unwrap();
    std::io::Seek::rewind(&mut input).unwrap();
    let mut command = causeway(&["invoke", "services-check", "-", "--data-dir", folder.path().to_str().unwrap()]);
    command.stdin(Stdio::from(input));
    assert_eq!(result(&run(command).await), idle);

    let now = result(&invoke(folder.path(), &["services-check"]).await);
    assert_eq!(now["invalid"], 1);
}

/// The function that an event of `tests/events` is for: the beginning of its file's name.
fn function_of<'a>(functions: &'a [String], event: &str) -> &'a str {
    let named = |function: &&String| event == **function || event.starts_with(&format!("{function}-"));
    functions.iter().find(named).unwrap_or_else(|| panic!("{event} is no function's"))
}

#[tokio::test]
async fn every_event_of_the_tree_is_taken_by_its_function() {
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack::start(folder.path()).await;
    let functions: Vec<String> =
        local::template::Template::embedded().unwrap().functions().unwrap().into_keys().collect();
    let tenant = &stack.file["tenants"][0];
    let mut sent = 0;
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/events")).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_stem().unwrap().to_str().unwrap();
        if name == "env" {
            continue;
        }
        let function = function_of(&functions, name);
        let answer = result(&invoke(folder.path(), &[function, file.to_str().unwrap()]).await);
        sent += 1;
        if !function.ends_with("-api") {
            assert!(answer.is_object(), "{name}: {answer}");
            continue;
        }
        assert_eq!(answer["statusCode"], 401, "{name}: nobody asks: {answer}");
        let mut event: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        event["headers"]["authorization"] = format!("Bearer {}", tenant["tokens"]["admin"].as_str().unwrap()).into();
        event["headers"]["x-client-id"] = tenant["client_id"].clone();
        event["headers"]["x-client-secret"] = tenant["client_secret"].clone();
        let authorised = folder.path().join("event.json");
        std::fs::write(&authorised, event.to_string()).unwrap();
        let answer = result(&invoke(folder.path(), &[function, authorised.to_str().unwrap()]).await);
        assert!(!matches!(answer["statusCode"].as_u64(), None | Some(401 | 403 | 500..)), "{name}: {answer}");
    }
    assert!(sent > 20, "the events were not found");
}
