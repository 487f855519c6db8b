//! Several changes of one integration at once.

use futures::future::join_all;
use kit::fault_proxy::Fault;
use kit::{Answer, Client, TestApp};
use serde_json::{Value, json};

use super::fixtures::{connect, item, sendgrid, stored, writes_an_integration};

/// Sends a `PUT` from a task of its own.
fn put(services: &Client, path: &str, body: Value) -> tokio::task::JoinHandle<Answer> {
    let (services, path) = (services.clone(), path.to_owned());
    tokio::spawn(async move { services.put(&path, &body).await })
}

#[tokio::test]
async fn two_changes_at_once_both_merge() {
    let app = TestApp::start().await;
    let services = app.services();
    for (one, other) in [
        (json!({ "name": "Post" }), json!({ "config": { "region": "eu" } })),
        (json!({ "config": { "fromEmail": null } }), json!({ "config": { "region": "eu" }, "name": "Post" })),
        (json!({ "config": { "apiKey": "SG.new" } }), json!({ "config": { "region": "eu" }, "name": "Post" })),
        (json!({ "config": { "region": "eu" }, "name": "Post" }), json!({ "config": { "apiKey": "SG.new" } })),
    ] {
        let path = format!("/api/integrations/{}", connect(&services, &sendgrid("Mail")).await);
        // The first has read and is about to write when the second does all of its work.
        let held = app.proxy.inject(Fault::Hold).on("PutItem").when(writes_an_integration);
        let first = put(&services, &path, one.clone());
        held.struck().await;
        let _ = services.put(&path, &other).await.expect(200);
        held.release();
        let answer = first.await.unwrap().expect(200);

        let mut expected = sendgrid("Mail");
        for change in [&one, &other] {
            if let Some(name) = change.get("name") {
                expected["name"] = name.clone();
            }
            for (key, value) in change.get("config").and_then(Value::as_object).into_iter().flatten() {
                match value {
                    Value::Null => drop(expected["config"].as_object_mut().unwrap().remove(key)),
                    value => expected["config"][key] = value.clone(),
                }
            }
        }
        let body = services.get(&path).await.expect(200);
        assert_eq!((&body["name"], &body["config"]), (&expected["name"], &expected["config"]), "{one} and {other}");
        assert_eq!(answer["updatedAt"], body["updatedAt"]);
        assert_eq!(one_secret(&app, &path).await, body["config"]["apiKey"]);
    }
}

/// The key in the only live version of the integration's secret: the one that the item names, and that is current.
async fn one_secret(app: &TestApp, path: &str) -> Value {
    let id = path.rsplit('/').next().unwrap();
    let name = format!("causeway/acme/services/{id}");
    let item = item(app, "acme", id).await.unwrap();
    let named = item["secret"].as_m().unwrap()["version"].as_s().unwrap().clone();
    let versions = app.secrets.list_secret_version_ids().secret_id(&name).send().await.unwrap();
    for version in versions.versions() {
        let kept = version.version_stages().iter().any(|stage| stage.starts_with("keep-"));
        let current = version.version_stages().iter().any(|stage| stage == "AWSCURRENT");
        let is_named = version.version_id() == Some(named.as_str());
        assert!(is_named || (!kept && !current), "{named} is named, and {version:?} is kept");
    }
    let read = app.secrets.get_secret_value().secret_id(&name).version_id(&named).send().await.unwrap();
    serde_json::from_str::<Value>(read.secret_string().unwrap()).unwrap()["apiKey"].clone()
}

#[tokio::test]
async fn a_change_that_a_deletion_overtakes_finds_nothing_and_leaves_nothing() {
    let app = TestApp::start().await;
    let services = app.services();
    let before = stored(&app).await;
    for change in [json!({ "name": "Post" }), json!({ "config": { "apiKey": "SG.new" } })] {
        let path = format!("/api/integrations/{}", connect(&services, &sendgrid("Mail")).await);
        let held = app.proxy.inject(Fault::Hold).on("PutItem").when(writes_an_integration);
        let changing = put(&services, &path, change.clone());
        held.struck().await;
        let _ = services.delete(&path).await.expect(200);
        held.release();
        assert_eq!(changing.await.unwrap().expect(404)["error"], "not_found", "{change}");
        let _ = services.get(&path).await.expect(404);
        assert_eq!(stored(&app).await, before, "{change}");
    }
}

#[tokio::test]
async fn a_secret_that_a_change_stores_after_a_deletion_goes_again() {
    let app = TestApp::start().await;
    let services = app.services();
    let before = stored(&app).await;
    let path = format!("/api/integrations/{}", connect(&services, &sendgrid("Mail")).await);
    let held = app.proxy.inject(Fault::Hold).on("PutSecretValue");
    let changing = put(&services, &path, json!({ "config": { "apiKey": "SG.new" } }));
    held.struck().await;
    let _ = services.delete(&path).await.expect(200);
    held.release();
    let _ = changing.await.unwrap().expect(404);
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn a_deletion_that_a_change_overtakes_still_deletes_everything() {
    let app = TestApp::start().await;
    let services = app.services();
    let before = stored(&app).await;
    for change in [json!({ "name": "Post" }), json!({ "config": { "apiKey": "SG.new" } })] {
        let path = format!("/api/integrations/{}", connect(&services, &sendgrid("Mail")).await);
        let held = app.proxy.inject(Fault::Hold).on("DeleteItem");
        let deleting = tokio::spawn({
            let (services, path) = (services.clone(), path.clone());
            async move { services.delete(&path).await }
        });
        held.struck().await;
        let _ = services.put(&path, &change).await.expect(200);
        held.release();
        let _ = deleting.await.unwrap().expect(200);
        let _ = services.get(&path).await.expect(404);
        assert_eq!(stored(&app).await, before, "{change}");
    }
}

#[tokio::test]
async fn a_secret_that_comes_between_a_deletions_two_steps_goes_too() {
    let app = TestApp::start().await;
    let services = app.services();
    let before = stored(&app).await;
    let body = json!({ "name": "Hook", "type": "webhook", "config": { "url": app.demo.webhook_url } });
    let path = format!("/api/integrations/{}", connect(&services, &body).await);
    let held = app.proxy.inject(Fault::Hold).on("DeleteItem");
    let deleting = tokio::spawn({
        let (services, path) = (services.clone(), path.clone());
        async move { services.delete(&path).await }
    });
    held.struck().await;
    let _ = services.put(&path, &json!({ "config": { "headers": { "X-Key": "k" } } })).await.expect(200);
    held.release();
    let _ = deleting.await.unwrap().expect(200);
    let _ = services.get(&path).await.expect(404);
    let _ = app.invoke("sweep", &app.scheduled_event_in(3601)).await.expect(200);
    assert_eq!(stored(&app).await, before, "at the latest with the sweep");
}

#[tokio::test]
async fn eight_writers_lose_nothing() {
    let app = TestApp::start().await;
    let services = app.services();
    let id = connect(&services, &sendgrid("Mail")).await;
    let path = format!("/api/integrations/{id}");
    let mut written = 1;
    for round in 0..4 {
        let regions = if round % 2 == 0 { ["eu", "eu"] } else { ["global", "global"] };
        let changes: Vec<Value> = (0..2)
            .flat_map(|writer| {
                [
                    json!({ "name": format!("Mail {round}-{writer}") }),
                    json!({ "config": { "apiKey": format!("SG.{round}.{writer}") } }),
                    json!({ "config": { "fromEmail": format!("{round}-{writer}@sandbox.example") } }),
                    json!({ "config": { "region": regions[writer] } }),
                ]
            })
            .collect();
        let answers = join_all(changes.iter().map(|change| services.put(&path, change))).await;
        for (change, answer) in changes.iter().zip(&answers) {
            let body = answer.expect(200);
            for (key, value) in change["config"].as_object().into_iter().flatten() {
                assert!(key == "apiKey" || body["config"][key] == *value, "{change} is not in {body}");
            }
            assert!(change.get("name").is_none_or(|name| body["name"] == *name), "{change} is not in {body}");
        }
        let body = services.get(&path).await.expect(200);
        let ended_with = |name: &str, shown: &Value| {
            let given = changes.iter().filter_map(|change| change.get(name).or(change["config"].get(name)));
            assert!(given.clone().any(|given| given == shown), "{name} is {shown} after round {round}");
        };
        ended_with("name", &body["name"]);
        for key in ["apiKey", "fromEmail", "region"] {
            ended_with(key, &body["config"][key]);
        }
        // Six values differ; the region is changed by whoever comes first.
        written += 7;
        let item = item(&app, "acme", &id).await.unwrap();
        assert_eq!(item["version"].as_n().unwrap(), &written.to_string(), "every change was written once");
        assert_eq!(one_secret(&app, &path).await, body["config"]["apiKey"]);
    }
}

#[tokio::test]
async fn eight_deletions_at_once_delete_once_and_nobody_sees_an_error() {
    let app = TestApp::start().await;
    let services = app.services();
    let before = stored(&app).await;
    let path = format!("/api/integrations/{}", connect(&services, &sendgrid("Mail")).await);
    let answers = join_all((0..8).map(|_| services.delete(&path))).await;
    assert!(answers.iter().any(|answer| answer.status == 200));
    assert!(answers.iter().all(|answer| answer.status == 200 || answer.status == 404), "{answers:?}");
    assert_eq!(stored(&app).await, before);
}
