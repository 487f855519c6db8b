//! The group's real Lambda binaries on a double of the Runtime API, with embedded AWS and stateful fakes behind them.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use kit::TestApp;
use kit::fault_proxy::Fault;
use kit::malformed;
use kit::oidc::{self, Listing};
use kit::runtime_api::{Exited, FunctionProcess, Outcome, RuntimeApi};
use serde_json::{Value, json};

const API: &str = env!("CARGO_BIN_EXE_wallets-api");
const SYNC: &str = env!("CARGO_BIN_EXE_wallets-sync");
const DEADLINE: Duration = Duration::from_secs(29);
/// Too little to begin a page in, and enough to say so.
const TOO_LATE: Duration = Duration::from_secs(9);
const ADDRESS: &str = "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu";
const ADDRESSES: [&str; 3] =
    [ADDRESS, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g"];

/// A function on Lambda.
struct Lambda {
    app: TestApp,
    api: RuntimeApi,
    process: FunctionProcess,
}

impl Lambda {
    /// Starts the binary of a function over a stack whose clock is the binary's own.
    async fn start(binary: &str, function: &str) -> Self {
        let app = TestApp::start().await;
        app.clock.set(Timestamp::now());
        let api = RuntimeApi::start().await.unwrap();
        let process = FunctionProcess::spawn(binary, app.environment(&api, function), &api).unwrap();
        Self { app, api, process }
    }

    async fn invoke(&self, event: Value) -> Outcome {
        self.api.invoke(event, DEADLINE).await
    }

    /// Connects an address through the stack beside it; gives its id.
    async fn connect(&self) -> String {
        self.connect_address(ADDRESS).await
    }

    async fn connect_address(&self, address: &str) -> String {
        let body = json!({ "provider": "bitcoin", "address": address });
        self.app.wallets().post("/v1/integrations", &body).await.str("/walletId")
    }

    async fn read(&self, id: &str) -> Value {
        self.app.wallets().get(&format!("/v1/integrations/{id}")).await.expect(200)
    }
}

/// An event of `tests/events`; one that a request makes carries all that proves who asks.
fn event(app: &TestApp, name: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/events/{name}.json"));
    let mut event: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let tenant = app.tenant("acme");
    if let Some(headers) = event.get_mut("headers") {
        headers["authorization"] = format!("Bearer {}", tenant.tokens.admin).into();
        headers["x-client-id"] = tenant.client_id.clone().into();
        headers["x-client-secret"] = tenant.client_secret.clone().into();
    }
    event
}

/// The event of a table's stream, of this integration.
fn queued(app: &TestApp, id: &str) -> Value {
    let text = event(app, "wallets-sync-queued").to_string();
    serde_json::from_str(&text.replace("wal_0mppy1i4gck3218dr9l6j", id)).unwrap()
}

/// The same of several, in one batch; the records' sequence numbers are 1, 2 and so on.
fn batch(app: &TestApp, ids: &[String]) -> Value {
    let records = ids.iter().zip(1..).map(|(id, number)| {
        let mut record = queued(app, id)["Records"][0].clone();
        record["dynamodb"]["SequenceNumber"] = number.to_string().into();
        record
    });
    json!({ "Records": records.collect::<Vec<_>>() })
}

/// The status and body of an HTTP function's answer.
#[track_caller]
fn answered(outcome: Outcome) -> (u64, Value) {
    let answer = outcome.json().unwrap_or_else(|outcome| panic!("{outcome:?}"));
    let body = answer["body"].as_str().unwrap_or_else(|| panic!("{answer}"));
    (answer["statusCode"].as_u64().unwrap(), serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn what_the_environment_lacks_ends_the_process() {
    for (binary, function) in [(API, "wallets-api"), (SYNC, "wallets-sync")] {
        let api = RuntimeApi::start().await.unwrap();
        let process = FunctionProcess::spawn(binary, api.environment(function), &api).unwrap();
        assert_eq!(process.exited().await, Exited { code: Some(1) });
    }
}

#[tokio::test]
async fn requests_are_answered_from_the_table() {
    let lambda = Lambda::start(API, "wallets-api").await;
    let (status, list) = answered(lambda.invoke(event(&lambda.app, "wallets-api-list")).await);
    assert_eq!((status, &list["pagination"]["totalCount"]), (200, &json!(0)));
    let (status, created) = answered(lambda.invoke(event(&lambda.app, "wallets-api-create")).await);
    assert_eq!((status, &created["alias"], &created["status"]), (201, &json!("Cold storage"), &json!("QUEUED")));
    assert_eq!(lambda.read(created["walletId"].as_str().unwrap()).await, created);
    let mut without_client = event(&lambda.app, "wallets-api-list");
    without_client["headers"].as_object_mut().unwrap().remove("x-client-secret");
    assert_eq!(answered(lambda.invoke(without_client).await).0, 401);
}

#[tokio::test]
async fn a_form_that_the_gateway_encodes_is_imported() {
    let lambda = Lambda::start(API, "wallets-api").await;
    let (status, report) = answered(lambda.invoke(event(&lambda.app, "wallets-api-import")).await);
    assert_eq!((status, &report["imported"], &report["rejected"][0]["line"]), (201, &json!(1), &json!(3)));
    let integration = &report["integration"];
    assert_eq!((&integration["alias"], &integration["status"]), (&json!("Old trades"), &json!("COMPLETED")));
    assert_eq!(lambda.read(integration["walletId"].as_str().unwrap()).await, *integration);
}

#[tokio::test]
async fn both_of_its_events_sync_what_is_queued() {
    let lambda = Lambda::start(SYNC, "wallets-sync").await;
    lambda.app.fakes.esplora.receive_many(ADDRESS, 30);
    let id = lambda.connect().await;
    let result = lambda.invoke(queued(&lambda.app, &id)).await.json().unwrap();
    assert_eq!((&result["completed"], &result["batchItemFailures"]), (&json!(1), &json!([])));
    assert_eq!(lambda.read(&id).await["totalTransactions"], 30);

    let _ = lambda.app.wallets().post_empty(&format!("/v1/integrations/{id}/sync")).await.expect(202);
    lambda.app.fakes.esplora.receive_many(ADDRESS, 3);
    let result = lambda.invoke(event(&lambda.app, "wallets-sync")).await.json().unwrap();
    assert_eq!(result["completed"], 1);
    assert_eq!(lambda.read(&id).await["totalTransactions"], 33);
}

#[tokio::test]
async fn what_no_gateway_sends_costs_only_itself() {
    let lambda = Lambda::start(API, "wallets-api").await;
    let (list, create) = (event(&lambda.app, "wallets-api-list"), event(&lambda.app, "wallets-api-create"));
    malformed::each_request_costs_only_itself(&lambda.api, &list, &create).await;
}

#[tokio::test]
async fn what_neither_the_schedule_nor_the_stream_sends_costs_only_itself() {
    let lambda = Lambda::start(SYNC, "wallets-sync").await;
    let (request, next) = (event(&lambda.app, "wallets-api-list"), event(&lambda.app, "wallets-sync"));
    malformed::each_event_costs_only_itself(&lambda.api, &request, &next).await;
    // Nothing to do is no error, nor is what is none of its items.
    for idle in [json!({ "Records": [] }), queued(&lambda.app, "wal_0mppy1i4gck3218dr9l6j"), queued(&lambda.app, "x")] {
        let result = lambda.invoke(idle).await.json().unwrap();
        assert_eq!((&result["completed"], &result["batchItemFailures"]), (&json!(0), &json!([])));
    }
}

#[tokio::test]
async fn a_table_that_stalls_does_not_make_it_miss_its_deadline() {
    let lambda = Lambda::start(API, "wallets-api").await;
    lambda.api.first_next().await.unwrap();
    lambda.app.proxy.inject(Fault::Stall).always();
    let list = event(&lambda.app, "wallets-api-list");
    let (status, _) = answered(lambda.api.invoke(list.clone(), Duration::from_secs(2)).await);
    assert_eq!(status, 500);
    lambda.app.proxy.clear();
    assert_eq!(answered(lambda.invoke(list).await).0, 200);
}

#[tokio::test]
async fn of_a_batch_that_fails_in_part_what_failed_is_delivered_again() {
    let lambda = Lambda::start(SYNC, "wallets-sync").await;
    let mut ids = Vec::new();
    for address in ADDRESSES {
        lambda.app.fakes.esplora.receive_many(address, 2);
        ids.push(lambda.connect_address(address).await);
    }
    let event = batch(&lambda.app, &ids);
    let second = ids[1].clone();
    lambda.app.proxy.inject(Fault::ServerError).when(move |body| body.to_string().contains(&second)).always();
    let result = lambda.invoke(event.clone()).await.json().unwrap();
    assert_eq!((&result["completed"], &result["failed"]), (&json!(2), &json!(0)), "{result}");
    assert_eq!(result["batchItemFailures"], json!([{ "itemIdentifier": "2" }]));
    lambda.process.line_with("what is due was not worked on").await.unwrap();
    lambda.app.proxy.clear();
    // Lambda delivers from the lowest of them on.
    let rest = json!({ "Records": event["Records"].as_array().unwrap()[1..] });
    let result = lambda.invoke(rest).await.json().unwrap();
    assert_eq!((&result["completed"], &result["batchItemFailures"]), (&json!(1), &json!([])), "{result}");
    for id in ids {
        assert_eq!(lambda.read(&id).await["totalTransactions"], 2);
    }
}

#[tokio::test]
async fn a_batch_that_fails_whole_is_an_error_and_loses_nothing() {
    let lambda = Lambda::start(SYNC, "wallets-sync").await;
    let id = lambda.connect().await;
    lambda.app.fakes.esplora.receive_many(ADDRESS, 2);
    let event = batch(&lambda.app, &[id.clone(), id.clone()]);
    lambda.app.proxy.inject(Fault::ServerError).always();
    let Outcome::Error(error) = lambda.invoke(event.clone()).await else { panic!("it did not fail") };
    assert_eq!(error.message, "the table failed");
    lambda.app.proxy.clear();
    let result = lambda.invoke(event).await.json().unwrap();
    assert_eq!((&result["completed"], &result["batchItemFailures"]), (&json!(1), &json!([])));
    assert_eq!(lambda.read(&id).await["totalTransactions"], 2);
}

#[tokio::test]
async fn what_there_is_no_time_for_is_put_off_and_gone_on_with_by_the_next_process() {
    let mut lambda = Lambda::start(SYNC, "wallets-sync").await;
    lambda.app.fakes.esplora.receive_many(ADDRESS, 30);
    let id = lambda.connect().await;
    for cold in [true, false] {
        let result = lambda.api.invoke(queued(&lambda.app, &id), TOO_LATE).await.json().unwrap();
        assert_eq!((&result["unfinished"], &result["batchItemFailures"]), (&json!(1), &json!([])), "{result}");
        lambda.process.line_with(&format!("\"cold\":{cold}")).await.unwrap();
    }
    assert_eq!(lambda.app.fakes.esplora.host.calls("/txs/chain"), 0);
    lambda.process.kill().await;
    let environment = lambda.app.environment(&lambda.api, "wallets-sync");
    lambda.process = FunctionProcess::spawn(SYNC, environment, &lambda.api).unwrap();
    let result = lambda.invoke(event(&lambda.app, "wallets-sync")).await.json().unwrap();
    assert_eq!(result["completed"], 1, "{result}");
    lambda.process.line_with("\"cold\":true").await.unwrap();
    assert_eq!(lambda.read(&id).await["totalTransactions"], 30);
}

#[tokio::test]
async fn a_killed_process_leaves_a_history_that_is_gone_on_with() {
    let lambda = Lambda::start(SYNC, "wallets-sync").await;
    let esplora = lambda.app.fakes.esplora.clone();
    esplora.receive_many(ADDRESS, 130);
    let id = lambda.connect().await;
    esplora.host.faults().next_on("/txs/chain/", 1, fakes::Fault::Hang);
    let (outcome, ()) = tokio::join!(lambda.invoke(queued(&lambda.app, &id)), async {
        esplora.host.faults().hanging(1).await;
        lambda.process.kill().await;
    });
    assert!(matches!(outcome, Outcome::Exited(_)), "{outcome:?}");
    let left = lambda.read(&id).await;
    assert_eq!((&left["status"], &left["totalTransactions"]), (&json!("ONGOING"), &json!(25)));
    lambda.app.clock.set(Timestamp::now());
    lambda.app.advance(31);
    esplora.host.forget_requests();
    let result = lambda.app.invoke("wallets-sync", &lambda.app.scheduled_event()).await.expect(200);
    assert_eq!(result["completed"], 1);
    assert_eq!(lambda.read(&id).await["totalTransactions"], 130);
    assert_eq!(esplora.host.calls("/txs/chain"), 5, "the first page is not asked for again");
}

/// A list, with tokens of the operator's issuer.
fn listing() -> Listing {
    Listing {
        binary: API,
        function: "wallets-api",
        event: |app| event(app, "wallets-api-list"),
        permission: "integrations:read",
        unauthorized: json!({
            "error": "unauthorized",
            "message": "The token is unknown, expired or revoked, or was not issued to this client.",
        }),
        unavailable: json!({
            "error": "internal_server_error",
            "message": "Something went wrong on our side. Try again; if it goes on, report the request_id.",
        }),
    }
}

#[tokio::test]
async fn tokens_count_as_their_issuer_says() {
    oidc::tokens_count_as_their_issuer_says(listing()).await;
}

#[tokio::test]
async fn an_issuer_that_is_down_at_the_start_is_met_again() {
    oidc::an_issuer_that_is_down_at_the_start_is_met_again(listing()).await;
}
