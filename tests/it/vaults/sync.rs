//! Status, preview, execution, differences and history of syncs.

use fakes::Fault;
use fakes::platforms::vercel::VercelRecord;
use futures::join;
use kit::TestApp;
use serde_json::{Value, json};

use super::fixtures::{
    CONNECTIONS, NOBODYS, SECRETS, SYNC, asks, at_vercel, counts, plan, preview, put, ready, set_at_vercel, sync,
    values,
};

#[tokio::test]
async fn what_a_request_lacks_or_mistakes_is_named() {
    let (app, id) = ready(json!({ "A": "1" })).await;
    let vaults = app.vaults();
    let fields = |problem: &Value| -> Vec<String> {
        let errors = problem["errors"].as_array().unwrap().iter();
        errors.map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    };
    for path in ["status", "preview", "diff"] {
        let problem = vaults.get(&format!("{SYNC}/{path}")).await.expect(400);
        assert_eq!(fields(&problem), ["connectionId", "projectId"], "{path}");
        assert_eq!(problem["instance"], format!("{SYNC}/{path}"));
    }
    let query = format!("{SYNC}/preview?connectionId=x&projectId=prj_1&direction=sideways&allowDelete=perhaps");
    let problem = vaults.get(&query).await.expect(400);
    assert_eq!(fields(&problem), ["connectionId", "direction", "allowDelete"]);
    let body = json!({ "connectionId": 1, "direction": "sideways", "allowDelete": "true", "surprise": 1 });
    let problem = vaults.post(SYNC, &body).await.expect(400);
    assert_eq!(fields(&problem), ["connectionId", "projectId", "direction", "allowDelete", "surprise"]);
    let _ = vaults.post(SYNC, &asks(NOBODYS, json!({}))).await.expect(404);
    let elsewhere = "/v1/integrations/vaults/acme/unknown/sync";
    let _ = vaults.post(elsewhere, &asks(&id, json!({}))).await.expect(404);
    let _ = vaults.get(&format!("{elsewhere}/preview?connectionId={id}&projectId=prj_1")).await.expect(404);
    // A project that is not there is the provider's word.
    let path = format!("{SYNC}/preview?connectionId={id}&projectId=prj_unknown");
    let _ = vaults.get(&path).await.expect(404);
    let failed = sync(&app, &id, json!({ "projectId": "prj_unknown" })).await;
    assert_eq!((&failed["status"], &failed["success"]), (&json!("failed"), &json!(false)));
    assert!(failed["reason"].is_string(), "{failed}");
}

#[tokio::test]
async fn a_status_tells_what_a_first_sync_would_meet() {
    let (app, id) = ready(json!({})).await;
    let path = format!("{SYNC}/status?connectionId={id}&projectId=prj_1");
    let status = async || app.vaults().get(&path).await.expect(200)["data"].clone();
    let expected = |first: bool, empty: bool, count: usize| {
        json!({ "isFirstSync": first, "vaultIsEmpty": empty, "providerHasSecrets": count > 0,
            "providerSecretCount": count })
    };
    assert_eq!(status().await, expected(true, true, 0));
    put(&app.vaults(), json!({ "A": "1" })).await;
    set_at_vercel(&app, "B", "2");
    assert_eq!(status().await, expected(true, false, 1));
    let _ = sync(&app, &id, json!({})).await;
    assert_eq!(status().await, expected(false, false, 2));
}

#[tokio::test]
async fn an_execution_carries_out_what_the_preview_says_and_then_nothing_is_left() {
    let (app, id) = ready(json!({ "NEW": "1", "CHANGED": "2", "SAME": "3" })).await;
    set_at_vercel(&app, "CHANGED", "old");
    set_at_vercel(&app, "SAME", "3");
    set_at_vercel(&app, "EXTRA", "4");
    assert_eq!(preview(&app, &id, "").await, plan(&["NEW"], &["CHANGED"], &[], &["SAME"]));
    assert_eq!(at_vercel(&app)["CHANGED"], "old", "a preview changes nothing");
    let run = sync(&app, &id, json!({})).await;
    assert_eq!((&run["status"], counts(&run)), (&json!("success"), [1, 1, 0, 1]));
    let stats = json!({ "created": 1, "updated": 1, "deleted": 0, "skipped": 1, "total": 3 });
    assert_eq!((&run["success"], &run["stats"]), (&json!(true), &stats));
    assert_eq!(at_vercel(&app), json!({ "CHANGED": "2", "EXTRA": "4", "NEW": "1", "SAME": "3" }));
    assert_eq!(preview(&app, &id, "").await, plan(&[], &[], &[], &["CHANGED", "NEW", "SAME"]));
    assert_eq!(counts(&sync(&app, &id, json!({})).await), [0, 0, 0, 3]);
    // Deletions only where they are allowed.
    let all = plan(&[], &[], &["EXTRA"], &["CHANGED", "NEW", "SAME"]);
    assert_eq!(preview(&app, &id, "&allowDelete=true").await, all);
    assert_eq!(preview(&app, &id, "&allowDelete=true&deleteScope=managed").await["toDelete"], json!([]));
    assert_eq!(counts(&sync(&app, &id, json!({ "allowDelete": true })).await), [0, 0, 1, 3]);
    assert_eq!(at_vercel(&app), json!({ "CHANGED": "2", "NEW": "1", "SAME": "3" }));
}

#[tokio::test]
async fn managed_deletions_take_only_what_a_sync_of_this_vault_wrote() {
    let (app, id) = ready(json!({ "OURS": "1", "KEPT": "2" })).await;
    set_at_vercel(&app, "THEIRS", "3");
    let _ = sync(&app, &id, json!({})).await;
    put(&app.vaults(), json!({ "KEPT": "2" })).await;
    let managed = json!({ "allowDelete": true, "deleteScope": "managed" });
    assert_eq!(counts(&sync(&app, &id, managed).await), [0, 0, 1, 1]);
    assert_eq!(at_vercel(&app), json!({ "KEPT": "2", "THEIRS": "3" }));
}

#[tokio::test]
async fn an_environment_that_was_never_written_deletes_nothing() {
    let (app, id) = ready(json!({ "A": "1" })).await;
    set_at_vercel(&app, "B", "2");
    let mistyped = json!({ "keywayEnvironment": "prodution", "allowDelete": true });
    assert_eq!(counts(&sync(&app, &id, mistyped).await), [0, 0, 0, 0]);
    assert_eq!(at_vercel(&app), json!({ "B": "2" }));
}

#[tokio::test]
async fn a_pull_brings_values_into_the_vault_as_one_version() {
    let (app, id) = ready(json!({ "CHANGED": "old", "OURS": "1" })).await;
    set_at_vercel(&app, "CHANGED", "new");
    set_at_vercel(&app, "NEW", "2");
    app.fakes.vercel.add_record("prj_1", VercelRecord::sensitive("HIDDEN", "3", &["production"]));
    let pulled = plan(&["NEW"], &["CHANGED"], &[], &["HIDDEN"]);
    assert_eq!(preview(&app, &id, "&direction=pull").await, pulled);
    let run = sync(&app, &id, json!({ "direction": "pull" })).await;
    assert_eq!((&run["status"], counts(&run)), (&json!("success"), [1, 1, 0, 1]));
    assert_eq!(values(&app.vaults()).await, json!({ "CHANGED": "new", "NEW": "2", "OURS": "1" }));
    assert_eq!(app.vaults().get(SECRETS).await.expect(200)["data"]["version"], 2);
    assert_eq!(preview(&app, &id, "&direction=pull").await, plan(&[], &[], &[], &["CHANGED", "HIDDEN", "NEW"]));
    let deleting = json!({ "direction": "pull", "allowDelete": true });
    assert_eq!(counts(&sync(&app, &id, deleting).await)[2], 1);
    assert_eq!(values(&app.vaults()).await, json!({ "CHANGED": "new", "NEW": "2" }));
}

#[tokio::test]
async fn a_value_that_is_not_given_back_is_known_by_what_was_written_last() {
    let (app, id) = ready(json!({ "A": "1" })).await;
    let record = app.fakes.vercel.add_record("prj_1", VercelRecord::sensitive("A", "x", &["production"]));
    assert_eq!(preview(&app, &id, "").await, plan(&[], &["A"], &[], &[]));
    assert_eq!(counts(&sync(&app, &id, json!({})).await), [0, 1, 0, 0]);
    assert_eq!(preview(&app, &id, "").await, plan(&[], &[], &[], &["A"]));
    put(&app.vaults(), json!({ "A": "2" })).await;
    assert_eq!(preview(&app, &id, "").await, plan(&[], &["A"], &[], &[]));
    let _ = sync(&app, &id, json!({})).await;
    app.fakes.vercel.edit("prj_1", &record, "theirs");
    let path = format!("{SYNC}/diff?connectionId={id}&projectId=prj_1");
    let diff = app.vaults().get(&path).await.expect(200);
    assert_eq!(diff["data"]["names"], json!([{ "name": "A", "standing": "drifted" }]));
    let _ = sync(&app, &id, json!({})).await;
    assert_eq!(at_vercel(&app), json!({ "A": "2" }));
    assert!(!app.all_items().await.contains("theirs"));
}

#[tokio::test]
async fn another_environment_of_the_platform_is_never_touched() {
    let (app, id) = ready(json!({ "SHARED": "ours" })).await;
    let everywhere = ["production", "preview", "development"];
    app.fakes.vercel.add_record("prj_1", VercelRecord::of("SHARED", "theirs", &everywhere));
    assert_eq!(sync(&app, &id, json!({})).await["status"], "success");
    assert_eq!(at_vercel(&app), json!({ "SHARED": "ours" }));
    for environment in ["preview", "development"] {
        let there = app.fakes.vercel.values("prj_1", environment);
        assert_eq!(there, [("SHARED".to_owned(), "theirs".to_owned())]);
    }
}

#[tokio::test]
async fn a_name_that_fails_does_not_keep_the_others() {
    let (app, id) = ready(json!({ "A": "1", "B": "a secret value", "C": "3" })).await;
    app.fakes.vercel.refuse_name("B", "forbidden_name");
    let answer = app.vaults().post(SYNC, &asks(&id, json!({}))).await;
    let run = answer.expect(200)["data"].clone();
    assert_eq!((&run["status"], counts(&run)), (&json!("partial"), [2, 0, 0, 0]));
    assert_eq!(run["failed"][0]["key"], "B");
    assert!(!answer.text.contains("a secret value"), "{}", answer.text);
    assert_eq!(at_vercel(&app), json!({ "A": "1", "C": "3" }));
    assert_eq!(preview(&app, &id, "").await, plan(&["B"], &[], &[], &["A", "C"]));
}

#[tokio::test]
async fn a_token_that_was_revoked_ends_the_sync_and_marks_the_connection() {
    let (app, id) = ready(json!({ "A": "1" })).await;
    app.fakes.vercel.revoke(&app.demo.vercel_token);
    let run = sync(&app, &id, json!({})).await;
    assert_eq!((&run["status"], counts(&run)), (&json!("failed"), [0; 4]));
    assert!(run["reason"].as_str().unwrap().contains("Vercel"), "{run}");
    let path = format!("{SYNC}/preview?connectionId={id}&projectId=prj_1");
    let _ = app.vaults().get(&path).await.expect(409);
    let row = app.vaults().get("/v1/integrations/connections").await.expect(200)["data"]["connections"][0].clone();
    assert_eq!(row["status"], "needs_reauth");
}

#[tokio::test]
async fn a_run_whose_answer_was_lost_is_ended_by_the_next() {
    let (app, id) = ready(json!({ "A": "1", "B": "2" })).await;
    app.fakes.vercel.add_record("prj_1", VercelRecord::sensitive("A", "x", &["production"]));
    let _ = sync(&app, &id, json!({})).await;
    put(&app.vaults(), json!({ "A": "changed", "B": "changed" })).await;
    app.fakes.vercel.host.faults().next_on("/env", 1, Fault::Answer(fakes::Answer::status(500)));
    let failed = sync(&app, &id, json!({})).await;
    assert_eq!(failed["status"], "failed", "{failed}");
    let run = sync(&app, &id, json!({})).await;
    assert_eq!(run["status"], "success");
    assert_eq!(at_vercel(&app), json!({ "A": "changed", "B": "changed" }));
    // Back to what the ledger said before: it must be written, whatever happened in between.
    put(&app.vaults(), json!({ "A": "1", "B": "2" })).await;
    let _ = sync(&app, &id, json!({})).await;
    assert_eq!(at_vercel(&app), json!({ "A": "1", "B": "2" }));
    assert!(preview(&app, &id, "").await["toUpdate"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn one_sync_at_a_time_works_on_a_target() {
    let (app, id) = ready(json!({ "A": "1" })).await;
    let faults = app.fakes.vercel.host.faults();
    faults.next_on("/env", 1, Fault::Hang);
    let second = async {
        faults.hanging(1).await;
        // It waits for the first, which is let go meanwhile.
        let (run, ()) = join!(sync(&app, &id, json!({})), async {
            while !lease_was_met(&app) {
                tokio::task::yield_now().await;
            }
            faults.release();
        });
        run
    };
    let (first, second) = join!(sync(&app, &id, json!({})), second);
    assert_eq!((counts(&first), counts(&second)), ([1, 0, 0, 0], [0, 0, 0, 1]));
}

/// True once a run has found another one's lease.
fn lease_was_met(app: &TestApp) -> bool {
    let reads = app.proxy.calls();
    reads.iter().any(|call| {
        call.operation == "GetItem"
            && call.request["Key"]["sk"]["S"].as_str().is_some_and(|sort| sort.starts_with("K#"))
    })
}

#[tokio::test]
async fn every_run_leaves_a_row_of_history_without_values() {
    let (app, id) = ready(json!({ "A": "a secret value" })).await;
    for _ in 0..3 {
        app.advance(1);
        let _ = sync(&app, &id, json!({})).await;
    }
    let page = app.vaults().get(&format!("{SYNC}/history?limit=2")).await;
    assert!(!page.text.contains("a secret value"));
    let page = page.expect(200)["data"].clone();
    let runs = page["runs"].as_array().unwrap();
    assert_eq!((runs.len(), counts(&runs[0])), (2, [0, 0, 0, 1]));
    assert_eq!((&runs[0]["by"], &runs[0]["direction"]), (&json!("user_acme"), &json!("push")));
    let cursor = page["nextCursor"].as_str().unwrap();
    let rest = app.vaults().get(&format!("{SYNC}/history?limit=2&cursor={cursor}")).await.expect(200)["data"].clone();
    assert_eq!((rest["runs"].as_array().unwrap().len(), counts(&rest["runs"][0])), (1, [1, 0, 0, 0]));
    assert!(rest.get("nextCursor").is_none());
    let _ = app.vaults().get(&format!("{SYNC}/history?cursor=x")).await.expect(400);
}

#[tokio::test]
async fn a_repeated_sync_under_one_key_is_one_run() {
    let (app, id) = ready(json!({ "A": "1" })).await;
    let keyed = app.vaults().header("idempotency-key", "one");
    let first = keyed.post(SYNC, &asks(&id, json!({}))).await;
    let again = keyed.post(SYNC, &asks(&id, json!({}))).await;
    assert_eq!((first.expect(200), again.header("idempotent-replayed")), (again.expect(200), Some("true")));
    let history = app.vaults().get(&format!("{SYNC}/history")).await.expect(200);
    assert_eq!(history["data"]["runs"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_sync_that_another_one_keeps_waiting_is_told_to_come_back() {
    let (app, id) = ready(json!({ "A": "1" })).await;
    let faults = app.fakes.vercel.host.faults();
    faults.next_on("/env", 1, Fault::Hang);
    let second = async {
        faults.hanging(1).await;
        let refused = app.vaults().post(SYNC, &asks(&id, json!({}))).await;
        faults.release();
        refused
    };
    let (_, refused) = join!(sync(&app, &id, json!({})), second);
    let _ = refused.expect(409);
    assert_eq!(refused.header("retry-after"), Some("5"));
}

#[tokio::test]
async fn a_thousand_names_go_out_in_few_calls_and_are_remembered() {
    let names = |count: usize| -> Value {
        (0..count).map(|number| (format!("NAME_{number:04}"), json!(number.to_string()))).collect()
    };
    let (app, id) = ready(names(1_200)).await;
    app.fakes.vercel.host.forget_requests();
    assert_eq!(counts(&sync(&app, &id, json!({})).await), [1_200, 0, 0, 0]);
    let writes = app.fakes.vercel.host.requests().into_iter().filter(|request| request.method != "GET").count();
    assert_eq!(writes, 24, "fifty at a time");
    assert_eq!(counts(&sync(&app, &id, json!({})).await), [0, 0, 0, 1_200]);
    put(&app.vaults(), names(1_150)).await;
    let managed = json!({ "allowDelete": true, "deleteScope": "managed" });
    assert_eq!(counts(&sync(&app, &id, managed).await), [0, 0, 50, 1_150]);
    assert_eq!(at_vercel(&app), names(1_150));
}

#[tokio::test]
async fn a_platform_that_is_down_is_left_alone_after_two_batches() {
    let names = (0..200).map(|number| (format!("N{number:03}"), json!("1"))).collect::<serde_json::Map<_, _>>();
    let (app, id) = ready(names.into()).await;
    let faults = app.fakes.vercel.host.faults();
    // All but the reading of what is there.
    faults.after(1, None, Fault::Answer(fakes::Answer::status(503)));
    app.fakes.vercel.host.forget_requests();
    let run = sync(&app, &id, json!({})).await;
    assert_eq!((&run["status"], run["failed"].as_array().unwrap().len()), (&json!("failed"), 200));
    let asked = app.fakes.vercel.host.requests().into_iter().filter(|request| request.method == "POST").count();
    assert_eq!(asked, 2);
}

#[tokio::test]
async fn a_token_that_is_refused_in_the_middle_ends_the_run() {
    let names = (0..200).map(|number| (format!("N{number:03}"), json!("1"))).collect::<serde_json::Map<_, _>>();
    let (app, id) = ready(names.into()).await;
    let gone = json!({ "error": { "code": "forbidden", "message": "Not authorized", "invalidToken": true } });
    let faults = app.fakes.vercel.host.faults();
    faults.after(1, None, Fault::Answer(fakes::Answer::status(403).json(&gone)));
    app.fakes.vercel.host.forget_requests();
    let run = sync(&app, &id, json!({})).await;
    assert_eq!((&run["status"], run["failed"].as_array().unwrap().len()), (&json!("failed"), 200));
    let asked = app.fakes.vercel.host.requests().into_iter().filter(|request| request.method == "POST").count();
    assert_eq!(asked, 1);
    let listed = app.vaults().get(CONNECTIONS).await.expect(200);
    assert_eq!(listed["data"]["connections"][0]["status"], "needs_reauth");
}
