//! The events of `tests/events`: each is one that the template's functions are sent, and is sent to a real binary by a test.

use std::collections::BTreeSet;

use local::demo::AwsEntry;
use local::environment::for_sam;
use local::template::Template;
use serde_json::Value;

use super::{files, read, template_document};

/// The file for `sam local invoke --env-vars`, which is no event.
const ENVIRONMENT: &str = "env";

/// Each event with its file's name.
fn events() -> Vec<(String, Value)> {
    let files = files(".json").into_iter().filter(|file| file.is("tests/events/*") && file.stem() != ENVIRONMENT);
    let events: Vec<_> =
        files.map(|file| (file.stem().to_owned(), serde_json::from_str(&file.text).unwrap())).collect();
    assert!(events.len() > 20, "the events were not found");
    events
}

/// The function that an event is for, by its file's name.
fn function_of<'a>(functions: &'a BTreeSet<String>, event: &str) -> Option<&'a str> {
    let named = |function: &&String| event == **function || event.starts_with(&format!("{function}-"));
    functions.iter().find(named).map(String::as_str)
}

fn functions() -> BTreeSet<String> {
    Template::embedded().unwrap().functions().unwrap().into_keys().collect()
}

#[test]
fn every_event_is_sent_to_a_real_binary() {
    let tests: Vec<_> = files(".rs").into_iter().filter(|file| file.is("functions/*/tests/lambda.rs")).collect();
    for (name, _) in events() {
        let named = [format!("\"{name}\""), format!("/{name}.json\"")];
        assert!(tests.iter().any(|test| named.iter().any(|one| test.text.contains(one))), "{name} is in no test");
    }
}

#[test]
fn every_function_has_an_event_and_every_event_a_function() {
    let functions = functions();
    let events = events();
    let found = events
        .iter()
        .map(|(name, _)| function_of(&functions, name).unwrap_or_else(|| panic!("{name} is no function's")).to_owned());
    assert_eq!(found.collect::<BTreeSet<_>>(), functions);
}

#[test]
fn requests_are_to_routes_of_the_template_and_batches_pass_its_filters() {
    let definitions = Template::embedded().unwrap().functions().unwrap();
    let functions = functions();
    for (name, event) in events() {
        let definition = &definitions[function_of(&functions, &name).unwrap()];
        if event["version"] == "2.0" {
            let (method, path) = event["routeKey"].as_str().unwrap().split_once(' ').unwrap();
            assert!(definition.routes.contains(&(method.to_owned(), path.to_owned())), "{name}: {method} {path}");
            let http = &event["requestContext"]["http"];
            assert_eq!((&http["method"], &http["path"]), (&Value::from(method), &event["rawPath"]), "{name}");
            let (parts, actual) = (path.split('/'), event["rawPath"].as_str().unwrap().split('/'));
            assert!(parts.clone().count() == actual.clone().count(), "{name}");
            assert!(parts.zip(actual).all(|(part, actual)| part.starts_with('{') || part == actual), "{name}");
        } else if let Some(records) = event["Records"].as_array() {
            let sent = local::streams::events_for(definition, records);
            assert_eq!(sent, [event], "{name}");
        } else {
            assert!(event["id"].is_string() && event["time"].is_string(), "{name}");
        }
    }
}

#[test]
fn the_environment_for_sam_is_one_that_it_takes() {
    let committed: Value = serde_json::from_str(&read("tests/events/env.json")).unwrap();
    let aws = AwsEntry {
        dynamodb_endpoint: "http://127.0.0.1:PORT-OF-DYNAMODB".into(),
        secretsmanager_endpoint: "http://127.0.0.1:PORT-OF-SECRETS-MANAGER".into(),
        table: "causeway".into(),
    };
    let functions = functions();
    assert_eq!(committed, for_sam(functions.iter().map(String::as_str), &aws), "what `causeway env --sam` prints");
    // SAM knows functions by their names in the template, and passes on what the template declares.
    let document = template_document();
    let declared = &document["Globals"]["Function"]["Environment"]["Variables"];
    for (name, variables) in committed.as_object().unwrap() {
        assert_eq!(document["Resources"][name]["Type"], "AWS::Serverless::Function", "{name}");
        for (variable, value) in variables.as_object().unwrap() {
            assert!(declared.get(variable).is_some(), "{variable} is not declared");
            assert!(value.is_string(), "{variable}");
        }
    }
}
