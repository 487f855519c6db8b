//! `Idempotency-Key`, on every POST.

use std::collections::BTreeSet;

use fakes::Fault as Outside;
use futures::future::join_all;
use http::StatusCode;
use insta::assert_json_snapshot;
use kit::fault_proxy::Fault;
use kit::{Answer, Client, TestApp};
use serde_json::{Value, json};
use shared::auth::Permission;

use super::fixtures::{NOBODYS, client, config, connect, create, id_of, names, resend, stored, writes_an_integration};
use super::operations;

/// Longer than a run holds a key.
const LEASE: i64 = 36;

fn keyed(app: &TestApp, key: &str) -> Client {
    app.services().header("idempotency-key", key)
}

fn same(one: &Answer, other: &Answer) {
    let kept = |answer: &Answer| {
        ["location", "content-type", "retry-after", "allow"].map(|name| answer.header(name).map(str::to_owned))
    };
    assert_eq!((one.status, kept(one), &one.text), (other.status, kept(other), &other.text));
}

async fn listed(app: &TestApp) -> Vec<String> {
    let body = app.services().get("/api/integrations?limit=100").await.expect(200);
    names(&body).into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_key_is_1_to_255_printable_characters() {
    let app = TestApp::start().await;
    let id = connect(&app.services(), &operations::at_which_all_succeed(&app)).await;
    let before = stored(&app).await;
    let posts = || operations::all(&app).into_iter().filter(|operation| operation.method == http::Method::POST);
    for operation in posts() {
        for wrong in ["", "  ", &"k".repeat(256), "caf\u{e9}", "a\tb"] {
            let body = operation.ask(&keyed(&app, wrong), &id).await.expect(400);
            let fields = json!({ "Idempotency-Key": "must be 1 to 255 printable ASCII characters" });
            assert_eq!((&body["error"], &body["fields"]), (&json!("invalid_input"), &fields), "{wrong:?}");
        }
    }
    assert_eq!(stored(&app).await, before);
    for operation in posts() {
        for right in ["k", &"k".repeat(255), "a key/with #, \"all\" ~kinds~"] {
            let answer = operation.ask(&keyed(&app, right), &id).await;
            assert!(answer.status.is_success(), "{} {right:?}: {}", operation.name, answer.text);
        }
    }
}

#[tokio::test]
async fn each_key_has_a_partition_of_its_own() {
    let app = TestApp::start().await;
    let test = json!({ "type": "slack", "config": { "webhookUrl": app.demo.slack_webhook_url } });
    for key in ["one", "other", "one"] {
        let _ = keyed(&app, key).post("/api/integrations/test", &test).await.expect(200);
    }
    let calls = app.proxy.calls();
    let partitions = calls.iter().filter_map(|call| call.request["Item"]["pk"]["S"].as_str());
    let partitions: BTreeSet<_> = partitions.filter(|pk| pk.starts_with("T#acme#idempotency#")).collect();
    assert_eq!(partitions.len(), 2, "{partitions:?}");
}

#[tokio::test]
async fn another_request_with_the_same_key_is_409() {
    let app = TestApp::start().await;
    let services = keyed(&app, "k");
    let first = services.post("/api/integrations", &resend("Mail")).await;
    let _ = first.expect(201);
    let mut reordered = resend("Mail");
    reordered.as_object_mut().unwrap().shift_remove("name");
    reordered["name"] = json!("Mail");
    for (path, body) in [
        ("/api/integrations", resend("Post").to_string()),
        ("/api/integrations", reordered.to_string()),
        ("/api/integrations", format!("{} ", resend("Mail"))),
        ("/api/integrations", "{}".into()),
        ("/api/integrations", String::new()),
        ("/api/integrations?x=1", resend("Mail").to_string()),
    ] {
        let services = services.clone().header("content-type", "application/json");
        let answer = services.send(http::Method::POST, path, body.clone()).await;
        assert_eq!(answer.expect(409)["error"], "conflict", "{path} {body}");
        assert_eq!(answer.header("retry-after"), None, "it will not become right by waiting");
    }
    assert_eq!(listed(&app).await, ["Mail"]);
    same(&services.post("/api/integrations", &resend("Mail")).await, &first);
}

#[tokio::test]
async fn the_same_key_for_another_integration_is_409() {
    let app = TestApp::start().await;
    let one = connect(&app.services(), &operations::at_which_all_succeed(&app)).await;
    let other = connect(&app.services(), &operations::at_which_all_succeed(&app)).await;
    let body = json!({ "text": "Hello", "title": "Hello", "to": "someone@example.com" });
    let services = keyed(&app, "k");
    let _ = services.post(&format!("/api/integrations/{one}/send"), &body).await.expect(200);
    let _ = services.post(&format!("/api/integrations/{other}/send"), &body).await.expect(409);
    assert_eq!(app.fakes.resend.messages().len(), 1);
}

#[tokio::test]
async fn the_same_key_for_another_operation_is_another_key() {
    let app = TestApp::start().await;
    let id = connect(&app.services(), &operations::at_which_all_succeed(&app)).await;
    for operation in operations::all(&app).iter().filter(|operation| operation.method == http::Method::POST) {
        let answer = operation.ask(&keyed(&app, "k"), &id).await;
        assert!(answer.status.is_success(), "{}: {}", operation.name, answer.text);
    }
}

#[tokio::test]
async fn a_repeated_post_gets_the_first_answer_byte_for_byte() {
    let app = TestApp::start().await;
    let id = connect(&app.services(), &operations::at_which_all_succeed(&app)).await;
    for operation in operations::all(&app).iter().filter(|operation| operation.method == http::Method::POST) {
        let services = keyed(&app, "k");
        let first = operation.ask(&services, &id).await;
        assert!(first.status.is_success(), "{}: {}", operation.name, first.text);
        assert_eq!(first.header("idempotent-replayed"), None);
        app.advance(7);
        let before = stored(&app).await;
        for _ in 0..2 {
            let again = operation.ask(&services, &id).await;
            same(&again, &first);
            assert_eq!(again.header("idempotent-replayed"), Some("true"));
        }
        assert_eq!(stored(&app).await, before, "{}", operation.name);
    }
    assert_eq!(app.fakes.resend.messages().len(), 1);
}

#[tokio::test]
async fn the_first_answer_stays_whatever_becomes_of_the_integration() {
    let app = TestApp::start().await;
    let services = keyed(&app, "k");
    let first = services.post("/api/integrations", &resend("Mail")).await;
    let path = format!("/api/integrations/{}", id_of(&first));
    assert_eq!(first.header("location"), Some(format!("/services{path}").as_str()));
    let _ = services.put(&path, &json!({ "name": "Post" })).await.expect(200);
    same(&services.post("/api/integrations", &resend("Mail")).await, &first);
    assert_eq!(listed(&app).await, ["Post"]);
    let _ = services.delete(&path).await.expect(200);
    same(&services.post("/api/integrations", &resend("Mail")).await, &first);
    assert_eq!(listed(&app).await, [""; 0]);
}

#[tokio::test]
async fn a_key_means_nothing_to_other_methods() {
    let app = TestApp::start().await;
    let services = keyed(&app, "k");
    assert_eq!(services.get("/api/integrations").await.expect(200)["data"], json!([]));
    let path = format!("/api/integrations/{}", connect(&app.services(), &resend("Mail")).await);
    assert_eq!(names(&services.get("/api/integrations").await.expect(200)), ["Mail"]);
    for name in ["Post", "Mail"] {
        assert_eq!(services.put(&path, &json!({ "name": name })).await.expect(200)["name"], name);
    }
    let _ = services.delete(&path).await.expect(200);
    let _ = services.delete(&path).await.expect(404);
}

#[tokio::test]
async fn sixteen_same_requests_at_once_make_one_integration() {
    let app = TestApp::start().await;
    let services = keyed(&app, "k");
    let body = resend("Mail");
    let answers = join_all((0..16).map(|_| services.post("/api/integrations", &body))).await;
    let first = answers.iter().find(|answer| answer.header("idempotent-replayed").is_none() && answer.status == 201);
    let first = first.unwrap();
    for answer in &answers {
        if answer.status == StatusCode::CONFLICT {
            assert!(answer.header("retry-after").is_some(), "{}", answer.text);
        } else {
            same(answer, first);
        }
    }
    let ran = answers.iter().filter(|answer| answer.status == 201 && answer.header("idempotent-replayed").is_none());
    assert_eq!(ran.count(), 1);
    assert_eq!(listed(&app).await, ["Mail"]);
    assert_eq!(app.secret_names().await, [format!("causeway/acme/services/{}", id_of(first))]);
}

#[tokio::test]
async fn sixteen_same_messages_at_once_are_one_message() {
    let app = TestApp::start().await;
    let id = create(&app, "telegram", &config(&app, "telegram")).await;
    let (services, path) = (keyed(&app, "k"), format!("/api/integrations/{id}/send"));
    let body = json!({ "text": "Hello" });
    let answers = join_all((0..16).map(|_| services.post(&path, &body))).await;
    let bodies: BTreeSet<_> = answers.iter().filter(|answer| answer.status != 409).map(|answer| &answer.text).collect();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert!(answers.iter().all(|answer| answer.status == 200 || answer.header("retry-after").is_some()));
    assert_eq!(app.fakes.telegram.messages().len(), 1);
}

#[tokio::test]
async fn a_repetition_of_what_still_runs_is_told_to_come_back() {
    let app = TestApp::start().await;
    let id = create(&app, "telegram", &config(&app, "telegram")).await;
    let (services, path) = (keyed(&app, "k"), format!("/api/integrations/{id}/send"));
    let body = json!({ "text": "Hello" });
    let faults = app.fakes.telegram.host.faults().clone();
    faults.next(1, Outside::Hang);
    let first = tokio::spawn({
        let (services, path, body) = (services.clone(), path.clone(), body.clone());
        async move { services.post(&path, &body).await }
    });
    faults.hanging(1).await;
    let other = services.post(&path, &json!({ "text": "Bye" })).await;
    assert_eq!((other.status.as_u16(), other.header("retry-after")), (409, None), "another body is never right");
    let early = services.post(&path, &body).await;
    assert_eq!((early.status.as_u16(), early.header("retry-after")), (409, Some("2")));
    assert_json_snapshot!(early.json(), { ".request_id" => "[request id]" });
    faults.release();
    let first = first.await.unwrap();
    let _ = first.expect(200);
    same(&services.post(&path, &body).await, &first);
    assert_eq!(app.fakes.telegram.messages().len(), 1);
}

#[tokio::test]
async fn a_4xx_is_replayed_even_where_it_would_end_otherwise_now() {
    let app = TestApp::start().await;
    app.names.set("node.example", &["10.0.0.1".parse().unwrap()]);
    let config = json!({ "address": app.demo.evm_address, "chainId": 1, "rpcUrl": "https://node.example/v2/key" });
    let body = json!({ "name": "Treasury", "type": "web3", "config": config });
    let refused = keyed(&app, "k").post("/api/integrations", &body).await;
    let _ = refused.expect(400);
    app.names.set("node.example", &["93.184.215.14".parse().unwrap()]);
    let again = keyed(&app, "k").post("/api/integrations", &body).await;
    same(&again, &refused);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let _ = keyed(&app, "l").post("/api/integrations", &body).await.expect(201);

    let path = format!("/api/integrations/{NOBODYS}/test");
    let missing = keyed(&app, "k").post_empty(&path).await;
    let _ = missing.expect(404);
    let again = keyed(&app, "k").post_empty(&path).await;
    same(&again, &missing);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
}

#[tokio::test]
async fn a_5xx_is_not_kept_and_the_key_is_free_at_once() {
    let app = TestApp::start().await;
    let services = keyed(&app, "k");
    for _ in 0..2 {
        app.proxy.inject(Fault::ServerError).on("PutItem").when(writes_an_integration).always();
        let _ = services.post("/api/integrations", &resend("Mail")).await.expect(500);
        app.proxy.clear();
    }
    assert_eq!(listed(&app).await, [""; 0]);
    let _ = services.post("/api/integrations", &resend("Post")).await.expect(409);
    let created = services.post("/api/integrations", &resend("Mail")).await;
    assert_eq!(listed(&app).await, ["Mail"]);
    assert_eq!(app.secret_names().await, [format!("causeway/acme/services/{}", id_of(&created))]);
    same(&services.post("/api/integrations", &resend("Mail")).await, &created);
}

#[tokio::test]
async fn a_message_whose_answer_was_lost_is_not_sent_twice_where_the_provider_knows_repetitions() {
    let app = TestApp::start().await;
    let id = connect(&app.services(), &operations::at_which_all_succeed(&app)).await;
    let (services, path) = (keyed(&app, "k"), format!("/api/integrations/{id}/send"));
    let body = json!({ "text": "Hello", "title": "Hello", "to": "someone@example.com" });
    app.fakes.resend.host.faults().all(Outside::LoseAnswer);
    let _ = services.post(&path, &body).await.expect(504);
    app.fakes.resend.host.faults().clear();
    let _ = services.post(&path, &body).await.expect(200);
    assert_eq!(app.fakes.resend.messages().len(), 1);
}

#[tokio::test]
async fn what_was_refused_for_the_token_is_not_kept() {
    let app = TestApp::start().await;
    let keyed = |services: Client| services.header("idempotency-key", "k");
    let reader = keyed(app.services_as(&app.tenant("acme").tokens.read_only));
    let before = stored(&app).await;
    let _ = reader.post("/api/integrations", &resend("Mail")).await.expect(403);
    let _ = keyed(app.services_as("cwy_unknown")).post("/api/integrations", &resend("Mail")).await.expect(401);
    assert_eq!(stored(&app).await, before);
    let _ = keyed(app.services()).post("/api/integrations", &resend("Mail")).await.expect(201);
}

#[tokio::test]
async fn a_token_that_cannot_be_looked_up_does_not_make_the_request_run_without_its_key() {
    let app = TestApp::start().await;
    let services = keyed(&app, "k");
    // As often as the SDK tries.
    app.proxy.inject(Fault::Refuse).on("GetItem").times(3);
    let _ = services.post("/api/integrations", &resend("Mail")).await.expect(500);
    let created = services.post("/api/integrations", &resend("Mail")).await;
    same(&services.post("/api/integrations", &resend("Mail")).await, &created);
    assert_eq!(listed(&app).await, ["Mail"]);
}

#[tokio::test]
async fn an_answer_is_replayed_only_to_who_may_ask() {
    let app = TestApp::start().await;
    let keyed = |services: Client| services.header("idempotency-key", "k");
    let first = keyed(app.services()).post("/api/integrations", &resend("Mail")).await;
    let _ = first.expect(201);
    for permissions in [&[][..], &[Permission::ServicesRead, Permission::ServicesSecrets]] {
        let services = keyed(client(&app, "acme", permissions).await);
        let _ = services.post("/api/integrations", &resend("Mail")).await.expect(403);
        let _ = services.post("/api/integrations", &resend("Post")).await.expect(403);
    }
    let colleague = keyed(client(&app, "acme", &[Permission::ServicesWrite]).await);
    same(&colleague.post("/api/integrations", &resend("Mail")).await, &first);
}

#[tokio::test]
async fn being_told_to_try_again_is_not_kept() {
    let app = TestApp::start().await;
    let id = connect(&app.services(), &operations::at_which_all_succeed(&app)).await;
    let (services, path) = (keyed(&app, "k"), format!("/api/integrations/{id}/test"));
    let refusal = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"no"}"#;
    let others = app.proxy.inject(Fault::Status(StatusCode::BAD_REQUEST, refusal.into()));
    let others = others.on("PutItem").when(writes_an_integration).always();
    let contended = services.post_empty(&path).await;
    assert_eq!((contended.status.as_u16(), contended.header("retry-after")), (409, Some("1")));
    others.release();
    assert_eq!(services.post_empty(&path).await.expect(200)["verdict"], "valid");
}

#[tokio::test]
async fn after_24_hours_the_key_is_free() {
    let app = TestApp::start().await;
    let services = keyed(&app, "k");
    let first = services.post("/api/integrations", &resend("Mail")).await;
    app.advance(24 * 3600 - 1);
    same(&services.post("/api/integrations", &resend("Mail")).await, &first);
    let _ = services.post("/api/integrations", &resend("Post")).await.expect(409);
    app.advance(1);
    let second = services.post("/api/integrations", &resend("Post")).await;
    assert_ne!(id_of(&second), id_of(&first));
    assert_eq!(second.header("idempotent-replayed"), None);
    assert_eq!(listed(&app).await, ["Mail", "Post"]);
    app.advance(24 * 3600 - 1);
    same(&services.post("/api/integrations", &resend("Post")).await, &second);
}

#[tokio::test]
async fn a_run_that_died_in_the_middle_ends_with_one_integration() {
    let app = TestApp::start().await;
    let services = keyed(&app, "k");
    let stalled = app.proxy.inject(Fault::Stall).on("PutItem").when(writes_an_integration);
    let dying = tokio::spawn({
        let services = services.clone();
        async move { services.post("/api/integrations", &resend("Mail")).await }
    });
    stalled.struck().await;
    dying.abort();
    assert_eq!(app.secret_names().await.len(), 1, "it got as far as the secret");
    assert_eq!(listed(&app).await, [""; 0]);
    app.advance(LEASE);
    let created = services.post("/api/integrations", &resend("Mail")).await;
    stalled.release();
    assert_eq!(listed(&app).await, ["Mail"]);
    assert_eq!(app.secret_names().await, [format!("causeway/acme/services/{}", id_of(&created))]);
    let body = app.services().get(&format!("/api/integrations/{}", id_of(&created))).await.expect(200);
    assert_eq!(body["config"], resend("Mail")["config"]);
}

#[tokio::test]
async fn a_run_that_died_after_its_work_does_not_undo_what_was_changed_since() {
    let app = TestApp::start().await;
    let services = keyed(&app, "k");
    let keeps_the_answer = |request: &Value| request.pointer("/Item/answer/M").is_some();
    let lost = app.proxy.inject(Fault::Refuse).on("PutItem").when(keeps_the_answer).always();
    let first = services.post("/api/integrations", &resend("Mail")).await;
    lost.struck().await;
    lost.release();
    let path = format!("/api/integrations/{}", id_of(&first));
    let changed = json!({ "name": "Post", "config": { "apiKey": "re_the_new_one" } });
    let _ = services.put(&path, &changed).await.expect(200);
    app.advance(LEASE);
    let again = services.post("/api/integrations", &resend("Mail")).await;
    assert_eq!((id_of(&again), again.json()["name"].as_str()), (id_of(&first), Some("Post")));
    assert_eq!(listed(&app).await, ["Post"]);
    assert_eq!(services.get(&path).await.expect(200)["config"]["apiKey"], "re_the_new_one");
}

#[tokio::test]
async fn whatever_step_fails_the_repeated_request_ends_with_one_integration() {
    for (fault, delivered) in [(Fault::Refuse, false), (Fault::LoseAnswer, true)] {
        let mut failed = 0;
        for step in 1.. {
            let app = TestApp::start().await;
            let services = keyed(&app, "k");
            let _ = services.get("/api/integrations").await.expect(200);
            let injected = app.proxy.inject(fault.clone()).at_step(step).always();
            let first = services.post("/api/integrations", &resend("Mail")).await;
            let struck = injected.strikes();
            app.proxy.clear();
            if struck == 0 {
                break;
            }
            failed += 1;
            app.advance(LEASE);
            let created = services.post("/api/integrations", &resend("Mail")).await;
            let case = format!("delivered: {delivered}, step {step}, first answer {}", first.status);
            let id = id_of(&created);
            assert_eq!(listed(&app).await, ["Mail"], "{case}");
            assert_eq!(app.secret_names().await, [format!("causeway/acme/services/{id}")], "{case}");
            let body = app.services().get(&format!("/api/integrations/{id}")).await.expect(200);
            assert_eq!(body["config"], resend("Mail")["config"], "{case}");
            if first.status == 201 {
                assert_eq!(id, id_of(&first), "{case}");
            }
        }
        assert_eq!(failed, 4, "claim the key, store the secret, write the item, keep the answer");
    }
}

#[tokio::test]
async fn what_is_remembered_of_a_request_holds_no_secret() {
    let app = TestApp::start().await;
    let services = keyed(&app, "a-key-of-a-test");
    let _ = services.post("/api/integrations", &resend("Mail")).await.expect(201);
    let items = app.all_items().await;
    assert!(items.contains("fingerprint"));
    for hidden in ["re_of_the_operations_team", "a-key-of-a-test"] {
        assert!(!items.contains(hidden), "{hidden}");
    }
}
