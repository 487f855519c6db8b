//! The function `sweep`: what interrupted changes left behind is put right, and nothing else is touched.

use std::time::Duration;

use http::StatusCode;
use kit::TestApp;
use kit::fault_proxy::Fault;
use serde_json::{Value, json};
use shared::function::Function;

use crate::secrets::{assert_tidy, labels, named_versions};
use crate::services::fixtures;
use crate::stacks::Own;

const AN_HOUR: i64 = 3_600;
const TWO_HOURS: i64 = 7_200;
/// Longer than anything is remembered.
const A_WHILE: i64 = 61;

/// Sweeps as if so many seconds had gone by; gives what it did.
async fn sweep_in(app: &TestApp, seconds: i64) -> Value {
    sweep(app, &app.scheduled_event_in(seconds)).await
}

async fn sweep(app: &TestApp, event: &Value) -> Value {
    let swept = app.invoke("sweep", event).await;
    assert_eq!(swept.header("x-amz-function-error"), None, "{}", swept.text);
    swept.expect(200)
}

fn tally(seen: usize, changes: &[(&str, usize)]) -> Value {
    let mut tally = json!({
        "seen": seen, "removed": 0, "restored": 0, "labels_taken_off": 0, "moved_current": 0, "finished": true,
    });
    changes.iter().for_each(|(what, count)| tally[what] = json!(count));
    tally
}

/// A webhook with a signing secret; gives its id.
async fn connect(app: &TestApp, secret: &str) -> String {
    let config = json!({ "url": app.demo.webhook_url, "signingSecret": secret });
    fixtures::create(app, "webhook", &config).await
}

async fn put_secret(app: &TestApp, id: &str, secret: Value) -> kit::Answer {
    let body = json!({ "config": { "signingSecret": secret } });
    app.services().put(&format!("/api/integrations/{id}"), &body).await
}

/// The signing secret as it can be read, past everything that is remembered.
async fn readable(app: &TestApp, id: &str) -> Value {
    app.advance(A_WHILE);
    fixtures::read(app, id).await["config"]["signingSecret"].clone()
}

/// A secret that nothing but its name connects with anything.
async fn plant(app: &TestApp, name: &str) {
    app.secrets.create_secret().name(name).secret_string("planted").send().await.unwrap();
}

/// The name of a secret that an integration `number` of acme would have.
fn orphan(number: usize) -> String {
    format!("causeway/acme/services/int_{number:021}")
}

async fn is_scheduled(app: &TestApp, secret: &str) -> bool {
    app.secrets.describe_secret().secret_id(secret).send().await.unwrap().deleted_date().is_some()
}

/// Every secret with when it was changed and is to be deleted, and its labels; and every item with its version.
async fn everything(app: &TestApp) -> Vec<String> {
    let listed = app.secrets.list_secrets().include_planned_deletion(true).max_results(100).send().await.unwrap();
    let mut everything = Vec::new();
    for secret in listed.secret_list() {
        let (name, changed, deleted) = (secret.name().unwrap(), secret.last_changed_date(), secret.deleted_date());
        everything.push(format!("{name} {changed:?} {deleted:?} {:?}", labels(app, name).await));
    }
    for item in app.table.scan().table_name("causeway").send().await.unwrap().items() {
        everything.push(format!("{:?}", ["pk", "sk", "version"].map(|key| item.get(key))));
    }
    everything.sort();
    everything
}

#[tokio::test]
async fn an_event_that_no_schedule_sends_sweeps_nothing() {
    let app = TestApp::start().await;
    plant(&app, &orphan(1)).await;
    let mut timeless = app.scheduled_event_in(TWO_HOURS);
    timeless.as_object_mut().unwrap().remove("time");
    for event in [json!({}), timeless, json!({ "id": "1", "time": "in two hours" })] {
        let refused = app.invoke("sweep", &event).await;
        assert_eq!(refused.header("x-amz-function-error"), Some("Unhandled"), "{event}");
        assert_eq!(refused.str("/errorType"), "MalformedEvent");
    }
    assert_eq!(app.secret_names().await, [orphan(1)]);
}

#[tokio::test]
async fn what_was_changed_within_the_hour_is_left_alone() {
    let app = TestApp::start().await;
    plant(&app, &orphan(1)).await;
    let id = connect(&app, "first").await;
    app.proxy.inject(Fault::Refuse).on("PutItem").always();
    assert_eq!(put_secret(&app, &id, "second".into()).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    app.proxy.clear();
    let before = everything(&app).await;
    assert_eq!(sweep_in(&app, AN_HOUR - 1).await, tally(2, &[]));
    assert_eq!(everything(&app).await, before);
    assert_eq!(sweep_in(&app, AN_HOUR).await, tally(2, &[("removed", 1), ("labels_taken_off", 1)]));
}

#[tokio::test]
async fn the_hour_is_counted_at_the_events_time() {
    let app = TestApp::start().await;
    plant(&app, &orphan(1)).await;
    app.advance(10 * AN_HOUR);
    assert_eq!(sweep_in(&app, -10 * AN_HOUR).await, tally(1, &[]), "a schedule that fired when the secret was new");
    assert_eq!(sweep_in(&app, -20 * AN_HOUR).await, tally(1, &[]), "and one that fired before");
    assert_eq!(sweep_in(&app, 0).await, tally(1, &[("removed", 1)]));
}

#[tokio::test]
async fn a_secret_without_an_integration_can_be_had_back_for_seven_days() {
    let app = TestApp::start().await;
    plant(&app, &orphan(1)).await;
    app.advance(TWO_HOURS);
    assert_eq!(sweep_in(&app, 0).await, tally(1, &[("removed", 1)]));
    let described = app.secrets.describe_secret().secret_id(orphan(1)).send().await.unwrap();
    let days = (described.deleted_date().unwrap().secs() - app.platform.ids.now().as_second()) / 86_400;
    assert_eq!(days, 7);
    app.secrets.restore_secret().secret_id(orphan(1)).send().await.unwrap();
    assert_eq!(app.secret_names().await, [orphan(1)]);
}

#[tokio::test]
async fn a_secret_whose_integration_no_longer_has_one_is_removed() {
    let app = TestApp::start().await;
    let (keeping, removing) = (connect(&app, "kept").await, connect(&app, "removed").await);
    app.proxy.inject(Fault::Refuse).on("DeleteSecret").always();
    let _ = put_secret(&app, &removing, Value::Null).await.expect(200);
    app.proxy.clear();
    assert_eq!(app.secret_names().await.len(), 2);
    assert_eq!(sweep_in(&app, TWO_HOURS).await, tally(2, &[("removed", 1)]));
    assert_tidy(&app).await;
    assert_eq!(readable(&app, &keeping).await, "kept");
    assert_eq!(readable(&app, &removing).await, Value::Null);
}

#[tokio::test]
async fn a_secret_is_looked_for_under_its_own_tenant() {
    let app = TestApp::start().await;
    let id = connect(&app, "acme's").await;
    let strange = format!("causeway/globex/services/{id}");
    plant(&app, &strange).await;
    assert_eq!(sweep_in(&app, TWO_HOURS).await, tally(2, &[("removed", 1)]));
    assert!(is_scheduled(&app, &strange).await);
    assert_eq!(readable(&app, &id).await, "acme's");
}

#[tokio::test]
async fn a_secret_that_an_integration_names_is_restored_at_once() {
    let app = TestApp::start().await;
    let id = connect(&app, "mine").await;
    let secret = format!("causeway/acme/services/{id}");
    app.secrets.delete_secret().secret_id(&secret).recovery_window_in_days(7).send().await.unwrap();
    assert_eq!(sweep_in(&app, 0).await, tally(1, &[("restored", 1)]));
    assert_tidy(&app).await;
    assert_eq!(readable(&app, &id).await, "mine");
}

#[tokio::test]
async fn a_secret_that_is_needed_is_had_back_without_waiting_for_the_sweep() {
    let app = TestApp::start().await;
    let id = connect(&app, "mine").await;
    let secret = format!("causeway/acme/services/{id}");
    for _ in 0..2 {
        app.secrets.delete_secret().secret_id(&secret).recovery_window_in_days(7).send().await.unwrap();
        assert_eq!(readable(&app, &id).await, "mine");
        assert!(!is_scheduled(&app, &secret).await);
    }
}

#[tokio::test]
async fn versions_of_interrupted_changes_are_let_go() {
    let app = TestApp::start().await;
    let id = connect(&app, "first").await;
    app.proxy.inject(Fault::Refuse).on("PutItem").always();
    for secret in ["second", "third"] {
        assert_eq!(put_secret(&app, &id, secret.into()).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    }
    app.proxy.clear();
    let secret = format!("causeway/acme/services/{id}");
    assert_eq!(labels(&app, &secret).await.len(), 3);
    assert_eq!(sweep_in(&app, TWO_HOURS).await, tally(1, &[("labels_taken_off", 2)]));
    assert_eq!(labels(&app, &secret).await.len(), 1);
    assert_eq!(readable(&app, &id).await, "first");
}

#[tokio::test]
async fn awscurrent_follows_the_integration() {
    let app = TestApp::start().await;
    let id = connect(&app, "first").await;
    app.proxy.inject(Fault::Refuse).on("UpdateSecretVersionStage").always();
    let _ = put_secret(&app, &id, "second".into()).await.expect(200);
    app.proxy.clear();
    let secret = format!("causeway/acme/services/{id}");
    let version = named_versions(&app).await[&secret].clone();
    assert!(!labels(&app, &secret).await[&version].contains("AWSCURRENT"));
    assert_eq!(sweep_in(&app, TWO_HOURS).await, tally(1, &[("moved_current", 1)]));
    assert_tidy(&app).await;
    assert_eq!(readable(&app, &id).await, "second");
}

#[tokio::test]
async fn twenty_labels_are_all_a_secret_holds_and_the_sweep_makes_room() {
    let app = TestApp::start().await;
    let id = connect(&app, "first").await;
    app.proxy.inject(Fault::Refuse).on("PutItem").always();
    for number in 0..19 {
        let interrupted = put_secret(&app, &id, json!(format!("interrupted {number}"))).await;
        assert_eq!(interrupted.status, StatusCode::INTERNAL_SERVER_ERROR);
    }
    app.proxy.clear();
    assert_eq!(put_secret(&app, &id, "one too many".into()).await.expect(500)["error"], "internal_error");
    assert_eq!(readable(&app, &id).await, "first");
    assert_eq!(sweep_in(&app, TWO_HOURS).await, tally(1, &[("labels_taken_off", 19)]));
    let _ = put_secret(&app, &id, "second".into()).await.expect(200);
    assert_eq!(readable(&app, &id).await, "second");
}

#[tokio::test]
async fn other_stacks_and_the_operators_own_secrets_are_never_touched() {
    let app = TestApp::start().await;
    let live = [
        "causeway-2/acme/services/int_000000000000000000001",
        "causeway2/acme/services/int_000000000000000000001",
        "Causeway/acme/services/int_000000000000000000001",
        "another/causeway/acme/services/int_000000000000000000001",
        "causeway",
        "causeway/operator/etherscan",
        "causeway/operator/services/int_000000000000000000001",
        "causeway/oauth/another",
        "causeway/oauth/services/int_000000000000000000001",
        "causeway/Acme/services/int_000000000000000000001",
        "causeway/acme/services",
        "causeway/acme/services/a/b/c",
        "acme/services/int_000000000000000000001",
    ];
    for name in live {
        plant(&app, name).await;
    }
    let deleted = ["causeway/operator/old", "causeway-2/acme/services/old"];
    for name in deleted {
        plant(&app, name).await;
        app.secrets.delete_secret().secret_id(name).recovery_window_in_days(7).send().await.unwrap();
    }
    let before = everything(&app).await;
    assert_eq!(sweep_in(&app, 5 * 24 * AN_HOUR).await, tally(0, &[]));
    assert_eq!(everything(&app).await, before);
    for name in live {
        assert!(!is_scheduled(&app, name).await, "{name}");
    }
}

#[tokio::test]
async fn a_stack_of_more_than_a_page_is_swept_whole() {
    let app = TestApp::start().await;
    let id = connect(&app, "mine").await;
    for number in 0..230 {
        plant(&app, &orphan(number)).await;
    }
    let last = connect(&app, "the last").await;
    app.proxy.forget_calls();
    assert_eq!(sweep_in(&app, TWO_HOURS).await, tally(232, &[("removed", 230)]));
    assert_eq!(app.proxy.operations().iter().filter(|operation| *operation == "ListSecrets").count(), 3);
    assert_tidy(&app).await;
    assert_eq!((readable(&app, &id).await, readable(&app, &last).await), ("mine".into(), "the last".into()));
}

/// The deployed function with so much time left.
async fn sweep_with(app: &TestApp, left: Duration) -> Value {
    let functions = ::sweep::functions(&app.platform);
    let sweep: &Function = &functions.iter().find(|(name, _)| *name == "sweep").unwrap().1;
    sweep.invoke(app.scheduled_event_in(TWO_HOURS), left).await.unwrap()
}

#[tokio::test]
async fn a_sweep_that_runs_out_of_time_is_gone_on_with_where_it_stopped() {
    let app = TestApp::start().await;
    for number in 0..250 {
        plant(&app, &orphan(number)).await;
    }
    // Too little for a second page.
    let short = Duration::from_secs(15);
    let mut removed = 0;
    for finished in [false, false, true] {
        let swept = sweep_with(&app, short).await;
        assert_eq!(swept["finished"], finished, "{swept}");
        removed += swept["removed"].as_u64().unwrap();
    }
    assert_eq!(removed, 250);
    assert_eq!(app.secret_names().await, [""; 0]);
    // And then from the beginning.
    plant(&app, &orphan(1_000)).await;
    assert_eq!(sweep_with(&app, Duration::from_secs(900)).await["removed"], 1);
}

#[tokio::test]
async fn a_position_that_is_no_longer_known_starts_at_the_beginning() {
    let app = TestApp::start().await;
    let own = app.secrets.list_secrets().max_results(100).send().await.unwrap().secret_list().len();
    for number in 0..150 {
        plant(&app, &orphan(number)).await;
    }
    assert_eq!(sweep_with(&app, Duration::from_secs(15)).await["finished"], false);
    let refused = json!({ "__type": "InvalidNextTokenException", "Message": "The NextToken value is invalid." });
    let gone = app.proxy.inject(Fault::Status(StatusCode::BAD_REQUEST, refused.to_string())).on("ListSecrets");
    let swept = sweep_in(&app, TWO_HOURS).await;
    // A page of a hundred, the stack's own among them, was done before.
    assert_eq!(
        (gone.strikes(), swept["finished"].clone(), swept["removed"].clone()),
        (1, json!(true), json!(50 + own))
    );
    assert_eq!(app.secret_names().await, [""; 0]);
}

/// One of everything that the sweep puts right. Gives the ids of the integrations that stay, with their secrets.
async fn one_of_everything(app: &TestApp) -> Vec<(String, &'static str)> {
    plant(app, &orphan(1)).await;
    let deleted = connect(app, "deleted").await;
    let interrupted = connect(app, "interrupted").await;
    let not_current = connect(app, "old").await;
    app.proxy.inject(Fault::Refuse).on("PutItem").nth(1).times(3);
    assert_eq!(put_secret(app, &interrupted, "lost".into()).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    app.proxy.clear();
    app.proxy.inject(Fault::Refuse).on("UpdateSecretVersionStage").always();
    let _ = put_secret(app, &not_current, "new".into()).await.expect(200);
    app.proxy.clear();
    let secret = format!("causeway/acme/services/{deleted}");
    app.secrets.delete_secret().secret_id(&secret).recovery_window_in_days(7).send().await.unwrap();
    vec![(deleted, "deleted"), (interrupted, "interrupted"), (not_current, "new")]
}

#[tokio::test]
async fn a_second_delivery_changes_nothing() {
    let app = TestApp::start().await;
    let staying = one_of_everything(&app).await;
    let event = app.scheduled_event_in(TWO_HOURS);
    let first = sweep(&app, &event).await;
    let done = [("removed", 1), ("restored", 1), ("labels_taken_off", 1), ("moved_current", 1)];
    assert_eq!(first, tally(4, &done));
    assert_tidy(&app).await;
    let before = everything(&app).await;
    assert_eq!(sweep(&app, &event).await, tally(4, &[]));
    assert_eq!(everything(&app).await, before);
    for (id, secret) in staying {
        assert_eq!(readable(&app, &id).await, secret);
    }
}

#[tokio::test]
async fn two_sweeps_at_once_do_what_one_does() {
    let app = TestApp::start().await;
    let staying = one_of_everything(&app).await;
    let event = app.scheduled_event_in(TWO_HOURS);
    let _ = futures::future::join(sweep(&app, &event), sweep(&app, &event)).await;
    assert_tidy(&app).await;
    for (id, secret) in staying {
        assert_eq!(readable(&app, &id).await, secret);
    }
}

#[tokio::test]
async fn a_sweep_that_fails_anywhere_is_repeated_safely() {
    let app = TestApp::start().await;
    one_of_everything(&app).await;
    app.proxy.forget_calls();
    sweep_in(&app, TWO_HOURS).await;
    let steps = app.proxy.operations().len();
    for step in 1..=steps {
        // One after the other on one stack.
        let app = TestApp::start().await;
        let own = Own::of(&app).await;
        for (fault, always) in [(Fault::LoseAnswer, false), (Fault::LoseAnswer, true), (Fault::ServerError, true)] {
            let staying = one_of_everything(&app).await;
            let event = app.scheduled_event_in(TWO_HOURS);
            let injected = app.proxy.inject(fault.clone()).at_step(step);
            let injected = if always { injected.always() } else { injected };
            app.invoke("sweep", &event).await;
            assert!(injected.strikes() > 0);
            app.proxy.clear();
            for (id, secret) in &staying {
                assert_eq!(readable(&app, id).await, *secret, "{fault:?} at step {step}");
            }
            // Where the first sweep got to a secret, it counts as changed just now.
            sweep_in(&app, TWO_HOURS).await;
            assert_tidy(&app).await;
            for (id, secret) in &staying {
                assert_eq!(readable(&app, id).await, *secret, "{fault:?} at step {step}");
            }
            own.alone(&app).await;
        }
    }
}

#[tokio::test]
async fn one_secret_that_cannot_be_put_right_does_not_keep_the_others_waiting() {
    let app = TestApp::start().await;
    let stuck = orphan(1);
    plant(&app, &stuck).await;
    plant(&app, &orphan(2)).await;
    let denied = json!({ "__type": "AccessDeniedException", "Message": "A resource policy denies it." });
    let named = stuck.clone();
    app.proxy
        .inject(Fault::Status(StatusCode::BAD_REQUEST, denied.to_string()))
        .on("DeleteSecret")
        .when(move |request| request["SecretId"] == named.as_str())
        .always();
    let swept = app.invoke("sweep", &app.scheduled_event_in(TWO_HOURS)).await;
    assert_eq!(swept.header("x-amz-function-error"), Some("Unhandled"), "the operator must learn of it");
    assert_eq!(app.secret_names().await, [stuck]);
}

#[tokio::test]
async fn no_value_is_read_and_nothing_is_scanned() {
    let app = TestApp::start().await;
    one_of_everything(&app).await;
    app.proxy.forget_calls();
    sweep_in(&app, TWO_HOURS).await;
    let operations = app.proxy.operations();
    for operation in ["GetSecretValue", "BatchGetSecretValue", "Scan", "Query"] {
        assert!(!operations.iter().any(|made| made == operation), "{operations:?}");
    }
}
