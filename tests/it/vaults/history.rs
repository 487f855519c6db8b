//! The history names every run, also one that an error ends or that dies.

use kit::TestApp;
use kit::fault_proxy::Fault;
use serde_json::{Value, json};

use super::fixtures::{SYNC, asks, at_vercel, ready, sync};

async fn last(app: &TestApp) -> Value {
    app.vaults().get(&format!("{SYNC}/history?limit=1")).await.expect(200)["data"]["runs"][0].clone()
}

#[tokio::test]
async fn a_run_that_an_error_ends_tells_what_it_did() {
    let (app, id) = ready(json!({ "A": "1", "B": "2" })).await;
    // What was written cannot be remembered.
    let _struck = app.proxy.inject(Fault::ServerError).on("TransactWriteItems").always();
    let _ = app.vaults().post(SYNC, &asks(&id, json!({}))).await.expect(500);
    app.proxy.clear();
    assert_eq!(at_vercel(&app), json!({ "A": "1", "B": "2" }));
    let run = last(&app).await;
    assert_eq!((&run["status"], &run["created"]), (&json!("partial"), &json!(2)), "{run}");
    assert!(run["reason"].as_str().unwrap().contains("not carried through"), "{run}");
    // The target could not be let go of either.
    app.advance(121);
    assert_eq!(sync(&app, &id, json!({})).await["status"], "success");
    assert_eq!(last(&app).await["status"], "success");
}

#[tokio::test]
async fn a_run_that_dies_is_seen_to_have_run() {
    let (app, id) = ready(json!({ "A": "1" })).await;
    // Its end cannot be noted: as if it had died before.
    let is_end = |body: &Value| !body["Item"]["direction"].is_null() && body["Item"]["running"].is_null();
    let _struck = app.proxy.inject(Fault::ServerError).on("PutItem").when(is_end).always();
    let _ = app.vaults().post(SYNC, &asks(&id, json!({}))).await.expect(500);
    app.proxy.clear();
    assert_eq!(last(&app).await["status"], "running");
    app.advance(20 * 60 + 1);
    let run = last(&app).await;
    assert_eq!((&run["status"], run["by"].is_string()), (&json!("interrupted"), true), "{run}");
    assert_eq!(at_vercel(&app), json!({ "A": "1" }));
}
