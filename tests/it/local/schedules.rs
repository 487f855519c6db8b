//! Schedules run by themselves in the local stack, at the rates of `template.yaml`.

use jiff::{SignedDuration, Timestamp};
use kit::TestApp;
use local::stack::Stack;
use local::template::Template;
use serde_json::json;
use shared::table::{Record, TableError, keys};

/// Only whether the record is there counts.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
struct Present {}

impl Record for Present {}

#[tokio::test]
async fn a_daily_job_runs_at_midnight_by_itself() {
    let app = TestApp::start().await;
    let config = json!({ "webhookUrl": app.demo.slack_webhook_url });
    let body = json!({ "name": "one", "type": "slack", "config": config });
    let id = app.services().post("/api/integrations", &body).await.str("/id");
    let path = format!("/api/integrations/{id}");
    // One second before midnight UTC, where every rate of the template has a multiple.
    let midnight: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
    app.clock.set(midnight.checked_sub(SignedDuration::from_secs(1)).unwrap());
    let listener = Stack::bind(0).await.unwrap();
    let template = Template::embedded().unwrap();
    let _stack = Stack::serve(listener, &app.platform, &template, true).await.unwrap();
    let checked = async {
        while app.services().get(&path).await.expect(200).get("lastTest").is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), checked).await.unwrap();
    let run = app.platform.table.get::<Present>(&keys::job_run("services-check")).await;
    assert!(run.is_ok(), "{run:?}");
}

#[tokio::test]
async fn a_quarter_of_an_hour_resumes_what_was_begun_and_begins_nothing() {
    let app = TestApp::start().await;
    app.clock.set("2026-06-01T00:14:59Z".parse().unwrap());
    let listener = Stack::bind(0).await.unwrap();
    let _stack = Stack::serve(listener, &app.platform, &Template::embedded().unwrap(), true).await.unwrap();
    let looked = || app.proxy.calls().iter().any(|call| call.request["Key"]["pk"]["S"] == "JOB#services-check");
    let resumed = async {
        while !looked() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), resumed).await.unwrap();
    let run = app.platform.table.get::<Present>(&keys::job_run("services-check")).await;
    assert!(matches!(run, Err(TableError::Missing)), "{run:?}");
    assert!(!app.proxy.operations().contains(&"ListSecrets".to_owned()), "the sweep ran too");
}
