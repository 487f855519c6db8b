//! The committed documents and pages are what the code says, and their examples what they say themselves.

use kit::TestApp;
use local::openapi::File;
use local::stack::GROUPS;
use serde_json::{Value, json};

use super::{document, objections, operations_of};

#[test]
fn the_committed_files_are_what_the_code_says() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/openapi");
    for File { name, text } in local::openapi::files().unwrap() {
        let committed = std::fs::read_to_string(format!("{folder}/{name}")).unwrap_or_default();
        let different = committed.lines().zip(text.lines()).enumerate().find(|(_, (one, other))| one != other);
        let (line, (has, should_have)) = different.unwrap_or((committed.lines().count(), ("", "")));
        assert!(
            committed == text,
            "infra/openapi/{name} is not current: run `cargo run -- openapi` and commit it. Line {} has {has:?} and the \
             code says {should_have:?}",
            line + 1,
        );
    }
}

#[test]
fn every_operation_has_a_summary_and_a_tag() {
    for group in GROUPS {
        for one in operations_of(&document(group.name)) {
            assert!(one.value["summary"].is_string() && one.value["tags"].is_array(), "{} of {}", one.id, group.name);
        }
    }
}

/// Each example with its schema, and where it is.
fn examples(document: &Value) -> Vec<(String, Value, Value)> {
    let mut found = Vec::new();
    for one in operations_of(document) {
        let bodies = std::iter::once(("request", &one.value["requestBody"]));
        let answers = one.value["responses"].as_object().unwrap().iter();
        for (place, body) in bodies.chain(answers.map(|(status, response)| (status.as_str(), response))) {
            for content in body["content"].as_object().into_iter().flat_map(|content| content.values()) {
                if let Some(example) = content.get("example") {
                    found.push((format!("{} {place}", one.id), content["schema"].clone(), example.clone()));
                }
            }
        }
    }
    found
}

#[test]
fn every_example_is_what_its_schema_says() {
    let mut count = 0;
    for group in GROUPS {
        let document = document(group.name);
        for (place, schema, example) in examples(&document) {
            let objections = objections(&document, &schema, &example);
            assert!(objections.is_empty(), "{} {place}: {objections:#?}", group.name);
            count += 1;
        }
    }
    assert!(count > 30, "{count} examples");
}

/// The documented pages' own examples, as they stand there.
const PAGES: [(&str, &str); 4] = [
    ("wallets", include_str!("pages/wallets.json")),
    ("services", include_str!("pages/services.json")),
    ("keys", include_str!("pages/keys.json")),
    ("vaults", include_str!("pages/vaults.json")),
];

/// Where a page contradicts itself, so that its example cannot be what its own table says.
const QUIRKS: [(&str, &str); 2] = [("wallets", "/data/0/status"), ("wallets", "/data/1/status")];

#[test]
fn the_documented_pages_examples_are_what_the_schemas_say() {
    for (group, page) in PAGES {
        let document = document(group);
        let page: Value = serde_json::from_str(page).unwrap();
        for (id, example) in page.as_object().unwrap() {
            let one = super::operation(&document, id);
            let request = example.get("request").map(|body| (&one.value["requestBody"], body));
            let answers = example["responses"].as_object().into_iter().flatten();
            let answers = answers.map(|(status, body)| (&one.value["responses"][status], body));
            for (described, body) in request.into_iter().chain(answers) {
                let schema = &described["content"]["application/json"]["schema"];
                let mut objections = objections(&document, schema, body);
                objections
                    .retain(|it| !QUIRKS.iter().any(|(of, at)| *of == group && it.starts_with(&format!("{at}:"))));
                assert!(objections.is_empty(), "{group} {id}: {objections:#?}");
            }
        }
    }
}

#[tokio::test]
async fn each_group_serves_its_document_and_its_page_to_everybody() {
    let app = TestApp::start().await;
    for group in GROUPS {
        let url = format!("{}{}", app.url, group.base);
        let served = app.browse(&format!("{url}/openapi.json")).await;
        let mut expected = document(group.name);
        expected["servers"][0]["url"] = json!(group.base);
        assert_eq!(served.expect(200), expected, "{}", group.name);
        assert_eq!(served.header("content-type"), Some("application/json"));
        assert_eq!(served.header("cache-control"), Some("public, max-age=300"));
        let page = app.browse(&format!("{url}/docs")).await;
        assert_eq!(page.status, 200);
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(page.header("cache-control"), Some("public, max-age=300"));
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'unsafe-inline';"), "{policy}");
        assert!(page.text.starts_with("<!doctype html>"));
        for one in operations_of(&expected) {
            assert!(page.text.contains(&format!("<article id=\"{}\">", one.id)), "{}", one.id);
        }
    }
}
