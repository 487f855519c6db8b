//! Links that push every change of the vault by themselves, and look for drift once a day.

use kit::TestApp;
use serde_json::{Value, json};

use super::fixtures::{SECRETS, SYNC, asks, at_vercel, put, ready, set_at_vercel, sync};

async fn link(app: &TestApp) -> Value {
    app.vaults().get(&format!("{SYNC}/links")).await.expect(200)["data"]["links"][0].clone()
}

async fn tick(app: &TestApp) -> Value {
    app.invoke("vaults-sync", &app.scheduled_event()).await.expect(200)
}

#[tokio::test]
async fn a_change_of_the_vault_is_pushed_by_the_stream() {
    let (app, id) = ready(json!({ "A": "1" })).await;
    assert_eq!(app.stream_events(), [], "nobody waits for it");
    let run = sync(&app, &id, json!({ "auto": true })).await;
    assert_eq!(run["status"], "success");
    let _ = app.deliver_stream().await;
    assert_eq!(link(&app).await["auto"], true);
    // Runs of one millisecond stand in any order.
    app.advance(1);
    let _ = app.vaults().patch(SECRETS, &json!({ "A": "2", "B": "3" })).await.expect(200);
    let events = app.deliver_stream().await;
    assert_eq!((events.len(), &events[0]["pushed"]), (1, &json!(1)));
    assert_eq!(at_vercel(&app), json!({ "A": "2", "B": "3" }));
    assert_eq!(app.deliver_stream().await, Vec::<Value>::new(), "what the job writes starts nothing");
    let history = app.vaults().get(&format!("{SYNC}/history?limit=1")).await.expect(200);
    assert_eq!(history["data"]["runs"][0]["automatic"], true);
    assert_eq!(tick(&app).await["pushed"], 0);
}

#[tokio::test]
async fn a_link_pushes_no_more_once_it_is_told_not_to() {
    let (app, id) = ready(json!({ "A": "1" })).await;
    let set = async |auto: bool| {
        let body = asks(&id, json!({ "auto": auto }));
        app.vaults().put(&format!("{SYNC}/links"), &body).await.expect(200)["data"].clone()
    };
    assert_eq!(set(true).await["auto"], true);
    assert_eq!(tick(&app).await["pushed"], 1);
    assert_eq!(at_vercel(&app), json!({ "A": "1" }));
    assert_eq!(set(false).await["auto"], false);
    put(&app.vaults(), json!({ "A": "2" })).await;
    let _ = app.deliver_stream().await;
    assert_eq!(tick(&app).await["pushed"], 0);
    assert_eq!(at_vercel(&app), json!({ "A": "1" }));
    let missing = asks(&id, json!({ "auto": true, "keywayEnvironment": "staging" }));
    let _ = app.vaults().put(&format!("{SYNC}/links"), &missing).await.expect(404);
}

#[tokio::test]
async fn what_somebody_else_changed_is_found_within_a_day_and_put_right() {
    let (app, id) = ready(json!({ "A": "1" })).await;
    let _ = sync(&app, &id, json!({ "auto": true })).await;
    assert_eq!(tick(&app).await["pushed"], 1);
    let record = app.fakes.vercel.records("prj_1")[0].id.clone();
    app.fakes.vercel.edit("prj_1", &record, "theirs");
    set_at_vercel(&app, "THEIRS", "stays");
    assert_eq!(tick(&app).await["pushed"], 0);
    app.advance(86_400);
    assert_eq!(tick(&app).await["pushed"], 1);
    assert_eq!(at_vercel(&app), json!({ "A": "1", "THEIRS": "stays" }));
    assert_eq!(link(&app).await["drift"]["names"], json!(["A"]));
    app.advance(86_400);
    assert_eq!(tick(&app).await["pushed"], 1);
    assert!(link(&app).await.get("drift").is_none());
}

#[tokio::test]
async fn a_push_that_fails_is_tried_again_later() {
    let (app, id) = ready(json!({ "A": "1" })).await;
    let _ = sync(&app, &id, json!({ "auto": true })).await;
    put(&app.vaults(), json!({ "A": "2" })).await;
    app.fakes.vercel.host.faults().all(fakes::Fault::Close);
    assert_eq!(tick(&app).await["failed"], 1);
    app.fakes.vercel.host.faults().clear();
    assert_eq!(tick(&app).await["pushed"], 0, "not yet");
    app.advance(300);
    assert_eq!(tick(&app).await["pushed"], 1);
    assert_eq!(at_vercel(&app), json!({ "A": "2" }));
}

#[tokio::test]
async fn an_automatic_push_deletes_only_what_was_written_and_only_where_it_may() {
    let (app, id) = ready(json!({ "OURS": "1", "KEPT": "2" })).await;
    set_at_vercel(&app, "THEIRS", "3");
    let _ = sync(&app, &id, json!({ "auto": true })).await;
    put(&app.vaults(), json!({ "KEPT": "2" })).await;
    let _ = tick(&app).await;
    assert_eq!(at_vercel(&app), json!({ "KEPT": "2", "OURS": "1", "THEIRS": "3" }));
    let body = asks(&id, json!({ "auto": true, "allowDelete": true }));
    let _ = app.vaults().put(&format!("{SYNC}/links"), &body).await.expect(200);
    let _ = tick(&app).await;
    assert_eq!(at_vercel(&app), json!({ "KEPT": "2", "THEIRS": "3" }));
}

#[tokio::test]
async fn an_automatic_push_leaves_what_somebody_else_has_written_since() {
    let (app, id) = ready(json!({ "CHANGED": "1", "GONE": "1", "OURS": "1", "KEPT": "1" })).await;
    let _ = sync(&app, &id, json!({ "auto": true })).await;
    let _ = tick(&app).await;
    put(&app.vaults(), json!({ "KEPT": "1" })).await;
    let _ = tick(&app).await;
    // Names that left the vault while nothing may be deleted: one gets another value, one goes and comes back.
    let record = |name: &str| app.fakes.vercel.records("prj_1").into_iter().find(|one| one.key == name).unwrap().id;
    app.fakes.vercel.edit("prj_1", &record("CHANGED"), "theirs");
    app.fakes.vercel.remove("prj_1", &record("GONE"));
    app.advance(86_400);
    let _ = tick(&app).await;
    set_at_vercel(&app, "GONE", "1");
    let body = asks(&id, json!({ "auto": true, "allowDelete": true }));
    let _ = app.vaults().put(&format!("{SYNC}/links"), &body).await.expect(200);
    let _ = tick(&app).await;
    assert_eq!(at_vercel(&app), json!({ "CHANGED": "theirs", "GONE": "1", "KEPT": "1" }));
}

#[tokio::test]
async fn a_link_that_cannot_be_followed_does_not_keep_the_others() {
    let (app, id) = ready(json!({ "A": "1" })).await;
    app.fakes.vercel.add_project("prj_2", "second", "team_sandbox");
    for fields in [json!({ "auto": true }), json!({ "auto": true, "projectId": "prj_2" })] {
        let _ = sync(&app, &id, fields).await;
    }
    let _ = tick(&app).await;
    put(&app.vaults(), json!({ "A": "2" })).await;
    // What is remembered of one link's writes cannot be read.
    let links = app.vaults().get(&format!("{SYNC}/links")).await.expect(200)["data"]["links"].clone();
    let broken = links[0].clone();
    let ledger = format!("G#{}", broken["id"].as_str().unwrap());
    let injected = app.proxy.inject(kit::fault_proxy::Fault::ServerError).on("Query");
    let _struck = injected.when(move |body| body.to_string().contains(&ledger)).always();
    let ran = tick(&app).await;
    assert_eq!((&ran["pushed"], &ran["failed"]), (&json!(1), &json!(1)), "{ran}");
    let values = |project: &str| app.fakes.vercel.values(project, "production");
    let at = |project: &str| values(project).into_iter().map(|(_, value)| value).collect::<Vec<_>>();
    let mut both = [at("prj_1"), at("prj_2")];
    both.sort();
    assert_eq!(both, [["1"], ["2"]]);
    assert_eq!(tick(&app).await["failed"], 0, "it waits for its turn");
    app.proxy.clear();
    app.advance(300);
    assert_eq!(tick(&app).await["pushed"], 2);
    assert_eq!((at("prj_1"), at("prj_2")), (vec!["2".to_owned()], vec!["2".to_owned()]));
}

#[tokio::test]
async fn a_platform_that_asks_to_wait_is_not_asked_before_by_any_link() {
    let (app, id) = ready(json!({ "A": "1" })).await;
    app.fakes.vercel.add_project("prj_2", "second", "team_sandbox");
    for fields in [json!({ "auto": true }), json!({ "auto": true, "projectId": "prj_2" })] {
        let _ = sync(&app, &id, fields).await;
    }
    let _ = tick(&app).await;
    put(&app.vaults(), json!({ "A": "2" })).await;
    let wait = fakes::Answer::status(429).header("retry-after", "3000");
    app.fakes.vercel.host.faults().next(1, fakes::Fault::Answer(wait));
    app.fakes.vercel.host.forget_requests();
    assert_eq!(tick(&app).await["failed"], 2);
    let by_hand = sync(&app, &id, json!({})).await;
    assert!(by_hand["reason"].as_str().unwrap().contains("asks to wait"), "{by_hand}");
    app.advance(2_900);
    let _ = tick(&app).await;
    assert_eq!(app.fakes.vercel.host.requests().len(), 1);
    app.advance(3_000);
    assert_eq!(tick(&app).await["pushed"], 2);
    assert_eq!(at_vercel(&app), json!({ "A": "2" }));
}
