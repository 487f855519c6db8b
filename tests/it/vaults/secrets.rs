//! `/v1/vaults`: values go in and come back to who may see them, edits merge, versions are kept.

use futures::future::join_all;
use kit::TestApp;
use serde_json::{Value, json};

use super::fixtures::{ENVIRONMENT, SECRETS, put, values};

#[tokio::test]
async fn what_cannot_be_a_secret_is_named_and_nothing_is_stored() {
    let app = TestApp::start().await;
    let body = json!({ "1A": "x", "B": 1, "C": "x".repeat(24 * 1024 + 1), "D": "a\u{0}b", "E": "fine" });
    let refused = app.vaults().put(SECRETS, &body).await;
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    let problem = refused.expect(400);
    let fields: Vec<&Value> = problem["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, ["1A", "B", "C", "D"]);
    assert!(!refused.text.contains("xxxx"), "a value is shown");
    let _ = app.vaults().put("/v1/vaults/acme/a b/environments/production/secrets", &json!({})).await.expect(400);
    let _ = app.vaults().get(SECRETS).await.expect(404);
    assert_eq!(app.secret_names().await, Vec::<String>::new());
}

#[tokio::test]
async fn values_are_shown_only_to_who_may_see_them() {
    let app = TestApp::start().await;
    put(&app.vaults(), json!({ "B": "hunter2", "A": "1" })).await;
    let shown = app.vaults().get(SECRETS).await.expect(200);
    assert_eq!(shown["data"]["secrets"], json!({ "A": "1", "B": "hunter2" }));
    let read_only = app.vaults_as(&app.tenant("acme").tokens.read_only).get(SECRETS).await;
    assert_eq!(read_only.expect(200)["data"]["names"], json!(["A", "B"]));
    assert!(read_only.expect(200)["data"].get("secrets").is_none());
    assert!(!app.all_items().await.contains("hunter2"));
    let _ = app.vaults_as(&app.tenant("globex").tokens.admin).get(SECRETS).await.expect(404);
}

#[tokio::test]
async fn a_replacement_replaces_a_patch_merges_and_null_deletes() {
    let app = TestApp::start().await;
    let vaults = app.vaults();
    put(&vaults, json!({ "A": "1", "B": "2", "C": null })).await;
    assert_eq!(values(&vaults).await, json!({ "A": "1", "B": "2" }));
    let patched = vaults.patch(SECRETS, &json!({ "B": null, "C": "3", "D": null })).await.expect(200);
    assert_eq!((&patched["data"]["version"], &patched["data"]["secretCount"]), (&json!(2), &json!(2)));
    assert_eq!(values(&vaults).await, json!({ "A": "1", "C": "3" }));
    // What changes nothing makes no version.
    assert_eq!(vaults.patch(SECRETS, &json!({ "A": "1" })).await.expect(200)["data"]["version"], 2);
    put(&vaults, json!({})).await;
    assert_eq!(values(&vaults).await, json!({}));
    put(&vaults, json!({ "A": "again" })).await;
    assert_eq!(values(&vaults).await, json!({ "A": "again" }));
}

#[tokio::test]
async fn vaults_are_listed_with_their_environments() {
    let app = TestApp::start().await;
    let vaults = app.vaults();
    let _ = vaults.put("/v1/vaults/acme/zoo", &json!({})).await.expect(201);
    let _ = vaults.put("/v1/vaults/acme/zoo", &json!({})).await.expect(200);
    put(&vaults, json!({ "A": "1" })).await;
    let _ = vaults.put("/v1/vaults/acme/app/environments/staging/secrets", &json!({})).await.expect(200);
    let listed = vaults.get("/v1/vaults").await.expect(200)["data"]["vaults"].clone();
    let shown: Vec<_> =
        listed.as_array().unwrap().iter().map(|vault| (&vault["repo"], &vault["environments"])).collect();
    assert_eq!(shown[1], (&json!("zoo"), &json!([])));
    assert_eq!(shown[0].0, "app");
    let names: Vec<&Value> = shown[0].1.as_array().unwrap().iter().map(|environment| &environment["name"]).collect();
    assert_eq!(names, ["production", "staging"]);
    assert_eq!(shown[0].1[0]["secretCount"], 1);
}

#[tokio::test]
async fn ten_versions_are_kept_and_each_can_be_gone_back_to() {
    let app = TestApp::start().await;
    let vaults = app.vaults();
    for number in 1..=12 {
        put(&vaults, json!({ "A": number.to_string() })).await;
    }
    let listed = vaults.get(&format!("{ENVIRONMENT}/versions")).await.expect(200)["data"]["versions"].clone();
    let numbers: Vec<u64> = listed.as_array().unwrap().iter().map(|one| one["version"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (3..=12).rev().collect::<Vec<_>>());
    assert_eq!(listed[0]["createdBy"], "user_acme");
    let rollback = |number: u64| {
        let (vaults, body) = (vaults.clone(), json!({ "version": number }));
        async move { vaults.post(&format!("{ENVIRONMENT}/rollback"), &body).await }
    };
    let _ = rollback(2).await.expect(404);
    // The oldest that is kept, past what Secrets Manager remembers by itself.
    app.advance(61);
    let gone_back = rollback(3).await.expect(200);
    assert_eq!((&gone_back["data"]["version"], &gone_back["data"]["restored"]), (&json!(13), &json!(3)));
    assert_eq!(values(&vaults).await, json!({ "A": "3" }));
    let _ = app.invoke("sweep", &app.scheduled_event_in(7_200)).await.expect(200);
    app.advance(61);
    let _ = rollback(5).await.expect(200);
    assert_eq!(values(&vaults).await, json!({ "A": "5" }));
}

#[tokio::test]
async fn a_large_environment_is_spread_over_several_secrets_of_which_a_change_touches_one() {
    let app = TestApp::start().await;
    let vaults = app.vaults();
    let all: serde_json::Map<String, Value> =
        (0..8).map(|number| (format!("N{number}"), json!(number.to_string().repeat(20 * 1024)))).collect();
    put(&vaults, Value::Object(all.clone())).await;
    assert_eq!(app.secret_names().await.len(), 3);
    assert_eq!(values(&vaults).await, Value::Object(all.clone()));
    app.proxy.forget_calls();
    let _ = vaults.patch(SECRETS, &json!({ "N0": "small" })).await.expect(200);
    assert_eq!(app.proxy.operations().iter().filter(|one| *one == "PutSecretValue").count(), 1);
    let _ = app.invoke("sweep", &app.scheduled_event_in(7_200)).await.expect(200);
    assert_eq!(app.secret_names().await.len(), 3, "the sweep knows parts");
    put(&vaults, json!({ "N0": "small" })).await;
    // Earlier versions still need the others.
    assert_eq!(app.secret_names().await.len(), 3);
    for number in 0..10 {
        put(&vaults, json!({ "N0": number.to_string() })).await;
    }
    assert_eq!(app.secret_names().await.len(), 1);
    assert_eq!(values(&vaults).await, json!({ "N0": "9" }));
}

#[tokio::test]
async fn edits_of_different_names_at_once_are_all_kept() {
    let app = TestApp::start().await;
    let vaults = app.vaults();
    put(&vaults, json!({ "A": "1" })).await;
    let edits = (0..6).map(|number| {
        let vaults = vaults.clone();
        async move {
            // Who was told that too many are at it tries again, as the answer says.
            loop {
                let body = json!({ format!("N{number}"): number.to_string() });
                let answer = vaults.patch(SECRETS, &body).await;
                if answer.status != 409 {
                    let _ = answer.expect(200);
                    return;
                }
            }
        }
    });
    join_all(edits).await;
    let expected = json!({ "A": "1", "N0": "0", "N1": "1", "N2": "2", "N3": "3", "N4": "4", "N5": "5" });
    assert_eq!(values(&vaults).await, expected);
}

#[tokio::test]
async fn an_environment_is_changed_more_often_than_a_secret_takes_versions() {
    let app = TestApp::start().await;
    let vaults = app.vaults();
    // A large value that is never touched, in the same part as what is.
    put(&vaults, json!({ "KEPT": "x".repeat(1_024) })).await;
    for number in 0..105 {
        let _ = vaults.patch(SECRETS, &json!({ "A": number.to_string() })).await.expect(200);
    }
    assert_eq!(values(&vaults).await, json!({ "A": "104", "KEPT": "x".repeat(1_024) }));
    // Both secrets are needed until no kept version names the full one.
    assert_eq!(app.secret_names().await.len(), 2);
    let back = vaults.post(&format!("{ENVIRONMENT}/rollback"), &json!({ "version": 98 })).await;
    let _ = back.expect(200);
    assert_eq!(values(&vaults).await["A"], "96");
    for number in 0..10 {
        let _ = vaults.patch(SECRETS, &json!({ "A": format!("again {number}") })).await.expect(200);
    }
    assert_eq!(values(&vaults).await["A"], "again 9");
    assert_eq!(app.secret_names().await.len(), 1);
    let swept = app.invoke("sweep", &app.scheduled_event_in(7_200)).await;
    assert_eq!(swept.header("x-amz-function-error"), None, "{}", swept.text);
    assert_eq!(values(&vaults).await["A"], "again 9");
}
