//! The group's real Lambda binaries on a double of the Runtime API, with embedded AWS and stateful fakes behind them.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use fakes::platforms::railway::RailwayReach;
use fakes::platforms::vercel::VercelToken;
use jiff::Timestamp;
use kit::TestApp;
use kit::fault_proxy::Fault;
use kit::malformed;
use kit::oidc::{self, Listing};
use kit::runtime_api::{Exited, FunctionProcess, Outcome, RuntimeApi};
use serde_json::{Value, json};

const API: &str = env!("CARGO_BIN_EXE_vaults-api");
const SYNC: &str = env!("CARGO_BIN_EXE_vaults-sync");
const REFRESH: &str = env!("CARGO_BIN_EXE_vaults-refresh");
const DEADLINE: Duration = Duration::from_secs(60);
/// Too little to begin anything in, and enough to say so.
const TOO_LATE: Duration = Duration::from_secs(9);
const SECRETS: &str = "/v1/vaults/acme/app/environments/production/secrets";

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

    /// Starts the binary of a function again over the same stack, once the process before has been killed.
    async fn start_again(&mut self, binary: &str, function: &str) {
        self.process.kill().await;
        let environment = self.app.environment(&self.api, function);
        self.process = FunctionProcess::spawn(binary, environment, &self.api).unwrap();
    }

    /// Makes the token of the sandbox one of all of the team's projects.
    fn widen(&self) {
        let teams = vec!["team_sandbox".to_owned()];
        let reach = VercelToken { user: "user_sandbox".into(), teams, ..VercelToken::default() };
        self.app.fakes.vercel.add_token(&self.app.demo.vercel_token, reach);
    }

    /// Connects Vercel through the stack beside it; gives the connection's id.
    async fn connect(&self) -> String {
        self.widen();
        let body = json!({ "token": self.app.demo.vercel_token, "account": "team_sandbox" });
        self.app.vaults().post("/v1/integrations/vercel/connect", &body).await.str("/data/id")
    }

    /// Makes three vaults with an automatic link each, and changes them; gives their environments' ids, in order.
    async fn change_three(&self) -> Vec<String> {
        let connection = self.connect().await;
        let mut ids: Vec<String> = Vec::new();
        for number in 1..=3 {
            let (project, vault) = (format!("prj_{number}"), format!("acme/app{number}"));
            self.app.fakes.vercel.add_project(&project, &project, "team_sandbox");
            let secrets = format!("/v1/vaults/{vault}/environments/production/secrets");
            let vaults = self.app.vaults();
            let _ = vaults.put(&secrets, &json!({ "A": "1" })).await.expect(200);
            let body = json!({ "connectionId": connection, "projectId": project, "auto": true });
            let _ = vaults.post(&format!("/v1/integrations/vaults/{vault}/sync"), &body).await.expect(200);
            let _ = vaults.put(&secrets, &json!({ "A": "2" })).await.expect(200);
            let known = environment_ids(&self.app).await;
            ids.extend(known.into_iter().filter(|id| !ids.contains(id)).collect::<Vec<_>>());
        }
        ids
    }

    /// Connects Vercel and makes an automatic link of its project, through the stack beside it; then changes the vault.
    async fn change(&self) {
        let id = self.connect().await;
        let vercel = &self.app.fakes.vercel;
        vercel.add_project("prj_1", "another", "team_sandbox");
        let vaults = self.app.vaults();
        let _ = vaults.put(SECRETS, &json!({ "A": "1" })).await.expect(200);
        let body = json!({ "connectionId": id, "projectId": "prj_1", "auto": true });
        let _ = vaults.post("/v1/integrations/vaults/acme/app/sync", &body).await.expect(200);
        let _ = vaults.put(SECRETS, &json!({ "A": "2" })).await.expect(200);
    }

    fn at_vercel(&self) -> Vec<(String, String)> {
        self.app.fakes.vercel.values("prj_1", "production")
    }
}

/// An event of `tests/events`; one that a request makes carries a token.
fn event(app: &TestApp, name: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/events/{name}.json"));
    let mut event: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    if let Some(headers) = event.get_mut("headers") {
        headers["authorization"] = format!("Bearer {}", app.tenant("acme").tokens.admin).into();
    }
    event
}

/// The event of a table's stream, of this environment.
fn changed(app: &TestApp, id: &str) -> Value {
    let text = event(app, "vaults-sync-changed").to_string();
    serde_json::from_str(&text.replace("env_0123456789abcdef0123456789abcdef", id)).unwrap()
}

/// The same of several, in one batch; the records' sequence numbers are 1, 2 and so on.
fn batch(app: &TestApp, ids: &[String]) -> Value {
    let records = ids.iter().zip(1..).map(|(id, number)| {
        let mut record = changed(app, id)["Records"][0].clone();
        record["dynamodb"]["SequenceNumber"] = number.to_string().into();
        record
    });
    json!({ "Records": records.collect::<Vec<_>>() })
}

async fn environment_ids(app: &TestApp) -> BTreeSet<String> {
    let names = app.secret_names().await;
    names.iter().filter_map(|name| name.split('/').find(|part| part.starts_with("env_"))).map(str::to_owned).collect()
}

async fn environment_id(app: &TestApp) -> String {
    environment_ids(app).await.pop_first().unwrap()
}

/// The status and body of an HTTP function's answer.
#[track_caller]
fn answered(outcome: Outcome) -> (u64, Value) {
    let answer = outcome.json().unwrap_or_else(|outcome| panic!("{outcome:?}"));
    let body = answer["body"].as_str().unwrap_or_else(|| panic!("{answer}"));
    (answer["statusCode"].as_u64().unwrap(), serde_json::from_str(body).unwrap())
}

fn a(value: &str) -> Vec<(String, String)> {
    vec![("A".into(), value.into())]
}

#[tokio::test]
async fn what_the_environment_lacks_ends_the_process() {
    for (binary, function) in [(API, "vaults-api"), (SYNC, "vaults-sync"), (REFRESH, "vaults-refresh")] {
        let api = RuntimeApi::start().await.unwrap();
        let process = FunctionProcess::spawn(binary, api.environment(function), &api).unwrap();
        assert_eq!(process.exited().await, Exited { code: Some(1) });
    }
}

#[tokio::test]
async fn requests_are_answered_and_a_callback_comes_back_to_the_gateway() {
    let lambda = Lambda::start(API, "vaults-api").await;
    let put = lambda.invoke(event(&lambda.app, "vaults-api-put")).await.json().unwrap();
    assert_eq!(put["statusCode"], 200, "{put}");
    let shown = lambda.app.vaults().get(SECRETS).await.expect(200);
    assert_eq!(shown["data"]["secrets"]["API_KEY"], "k-123456");
    let sent = lambda.invoke(event(&lambda.app, "vaults-api-authorize")).await.json().unwrap();
    assert_eq!(sent["statusCode"], 302, "{sent}");
    let location = sent["headers"]["location"].as_str().unwrap();
    assert!(location.starts_with(&lambda.app.fakes.vercel.web.origin()), "{location}");
    let kept = lambda.app.all_items().await;
    let callback = "https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com/v1/integrations/vercel/callback";
    assert!(kept.contains(callback), "{kept}");
}

#[tokio::test]
async fn its_events_connect_an_account_and_list_it() {
    let lambda = Lambda::start(API, "vaults-api").await;
    lambda.widen();
    let (status, connected) = answered(lambda.invoke(event(&lambda.app, "vaults-api-connect")).await);
    assert_eq!(status, 201, "{connected}");
    let (status, list) = answered(lambda.invoke(event(&lambda.app, "vaults-api-list")).await);
    assert_eq!((status, &list["data"]["connections"][0]["id"]), (200, &connected["data"]["id"]), "{list}");
}

#[tokio::test]
async fn what_no_gateway_sends_costs_only_itself() {
    let lambda = Lambda::start(API, "vaults-api").await;
    let (list, create) = (event(&lambda.app, "vaults-api-list"), event(&lambda.app, "vaults-api-connect"));
    malformed::each_request_costs_only_itself(&lambda.api, &list, &create).await;
}

#[tokio::test]
async fn what_neither_schedules_nor_the_stream_send_costs_only_itself() {
    for (binary, function) in [(SYNC, "vaults-sync"), (REFRESH, "vaults-refresh")] {
        let lambda = Lambda::start(binary, function).await;
        let (request, next) = (event(&lambda.app, "vaults-api-list"), event(&lambda.app, function));
        malformed::each_event_costs_only_itself(&lambda.api, &request, &next).await;
    }
}

#[tokio::test]
async fn a_table_that_stalls_does_not_make_it_miss_its_deadline() {
    let lambda = Lambda::start(API, "vaults-api").await;
    lambda.api.first_next().await.unwrap();
    lambda.app.proxy.inject(Fault::Stall).always();
    let list = event(&lambda.app, "vaults-api-list");
    let (status, _) = answered(lambda.api.invoke(list.clone(), Duration::from_secs(2)).await);
    assert_eq!(status, 500);
    lambda.app.proxy.clear();
    assert_eq!(answered(lambda.invoke(list).await).0, 200);
}

#[tokio::test]
async fn of_a_batch_that_fails_in_part_what_failed_is_delivered_again() {
    let lambda = Lambda::start(SYNC, "vaults-sync").await;
    let ids = lambda.change_three().await;
    let event = batch(&lambda.app, &ids);
    let second = ids[1].clone();
    lambda.app.proxy.inject(Fault::ServerError).when(move |body| body.to_string().contains(&second)).always();
    let result = lambda.invoke(event.clone()).await.json().unwrap();
    assert_eq!((&result["pushed"], &result["failed"]), (&json!(2), &json!(0)), "{result}");
    assert_eq!(result["batchItemFailures"], json!([{ "itemIdentifier": "2" }]));
    lambda.app.proxy.clear();
    // Lambda delivers from the lowest of them on.
    let rest = json!({ "Records": event["Records"].as_array().unwrap()[1..] });
    let result = lambda.invoke(rest).await.json().unwrap();
    assert_eq!((&result["pushed"], &result["batchItemFailures"]), (&json!(1), &json!([])), "{result}");
    for project in ["prj_1", "prj_2", "prj_3"] {
        assert_eq!(lambda.app.fakes.vercel.values(project, "production"), a("2"));
    }
}

#[tokio::test]
async fn a_batch_that_fails_whole_is_an_error_and_loses_nothing() {
    let lambda = Lambda::start(SYNC, "vaults-sync").await;
    lambda.change().await;
    let id = environment_id(&lambda.app).await;
    let event = batch(&lambda.app, &[id.clone(), id]);
    lambda.app.proxy.inject(Fault::ServerError).always();
    let Outcome::Error(error) = lambda.invoke(event.clone()).await else { panic!("it did not fail") };
    assert_eq!(error.message, "links of an environment could not be followed");
    lambda.app.proxy.clear();
    let result = lambda.invoke(event).await.json().unwrap();
    assert_eq!((&result["pushed"], &result["batchItemFailures"]), (&json!(1), &json!([])));
    assert_eq!(lambda.at_vercel(), a("2"));
}

#[tokio::test]
async fn a_push_that_there_is_no_time_for_is_left_to_the_next_process() {
    let mut lambda = Lambda::start(SYNC, "vaults-sync").await;
    lambda.change().await;
    let id = environment_id(&lambda.app).await;
    for (told, cold) in [(changed(&lambda.app, &id), true), (event(&lambda.app, "vaults-sync"), false)] {
        let result = lambda.api.invoke(told, TOO_LATE).await.json().unwrap();
        assert_eq!((&result["pushed"], &result["batchItemFailures"]), (&json!(0), &json!([])), "{result}");
        lambda.process.line_with(&format!("\"cold\":{cold}")).await.unwrap();
    }
    lambda.start_again(SYNC, "vaults-sync").await;
    let result = lambda.invoke(event(&lambda.app, "vaults-sync")).await.json().unwrap();
    assert_eq!(result["pushed"], 1, "{result}");
    assert_eq!(lambda.at_vercel(), a("2"));
}

#[tokio::test]
async fn a_renewal_that_there_is_no_time_for_is_left_to_the_next_process() {
    let mut lambda = Lambda::start(REFRESH, "vaults-refresh").await;
    let id = connect_railway(&lambda.app).await;
    for cold in [true, false] {
        let result = lambda.api.invoke(event(&lambda.app, "vaults-refresh"), TOO_LATE).await.json().unwrap();
        assert_eq!(result, json!({ "renewed": 0, "refused": 0, "putOff": 0 }));
        lambda.process.line_with(&format!("\"cold\":{cold}")).await.unwrap();
    }
    lambda.start_again(REFRESH, "vaults-refresh").await;
    let result = lambda.invoke(event(&lambda.app, "vaults-refresh")).await.json().unwrap();
    assert_eq!(result["renewed"], 1, "{result}");
    assert_works(&lambda.app, &id).await;
}

#[tokio::test]
async fn a_table_that_fails_is_the_functions_error_and_the_next_event_is_worked_on() {
    for (binary, function) in [(SYNC, "vaults-sync"), (REFRESH, "vaults-refresh")] {
        let lambda = Lambda::start(binary, function).await;
        lambda.app.proxy.inject(Fault::ServerError).on("Query").always();
        let Outcome::Error(error) = lambda.invoke(event(&lambda.app, function)).await else {
            panic!("it did not fail")
        };
        assert_eq!(error.message, "the table failed");
        lambda.app.proxy.clear();
        assert!(lambda.invoke(event(&lambda.app, function)).await.json().is_ok());
    }
}

#[tokio::test]
async fn both_of_its_events_push_what_was_changed() {
    let lambda = Lambda::start(SYNC, "vaults-sync").await;
    lambda.change().await;
    let id = environment_id(&lambda.app).await;
    let result = lambda.invoke(changed(&lambda.app, &id)).await.json().unwrap();
    assert_eq!((&result["pushed"], &result["batchItemFailures"]), (&json!(1), &json!([])));
    assert_eq!(lambda.at_vercel(), a("2"));
    lambda.app.clock.set(Timestamp::now());
    let _ = lambda.app.vaults().put(SECRETS, &json!({ "A": "3" })).await.expect(200);
    let result = lambda.invoke(event(&lambda.app, "vaults-sync")).await.json().unwrap();
    assert_eq!(result["pushed"], 1);
    assert_eq!(lambda.at_vercel(), a("3"));
}

#[tokio::test]
async fn a_killed_process_leaves_a_push_that_the_next_run_ends() {
    let lambda = Lambda::start(SYNC, "vaults-sync").await;
    lambda.change().await;
    let id = environment_id(&lambda.app).await;
    let faults = lambda.app.fakes.vercel.host.faults();
    faults.next_on("/env", 1, fakes::Fault::Hang);
    let (outcome, ()) = tokio::join!(lambda.invoke(changed(&lambda.app, &id)), async {
        faults.hanging(1).await;
        lambda.process.kill().await;
    });
    assert!(matches!(outcome, Outcome::Exited(_)), "{outcome:?}");
    // The dead run's lease ends by itself.
    lambda.app.clock.set(Timestamp::now());
    lambda.app.advance(121);
    let result = lambda.app.invoke("vaults-sync", &lambda.app.scheduled_event()).await.expect(200);
    assert_eq!(result["pushed"], 1);
    assert_eq!(lambda.at_vercel(), a("2"));
}

#[tokio::test]
async fn a_schedule_with_nothing_to_renew_is_answered() {
    let lambda = Lambda::start(REFRESH, "vaults-refresh").await;
    let result = lambda.invoke(event(&lambda.app, "vaults-refresh")).await.json().unwrap();
    assert_eq!(result, json!({ "renewed": 0, "refused": 0, "putOff": 0 }));
}

/// Connects Railway by OAuth so long ago that its token is to be renewed now; gives the connection's id.
async fn connect_railway(app: &TestApp) -> String {
    app.fakes.railway.add_workspace("ws_1", "Acme");
    let workspaces = vec!["ws_1".to_owned()];
    let reach = RailwayReach::Grant { user: "user_1".into(), workspaces, projects: Vec::new(), writes: true };
    app.fakes.railway.consent_as(reach);
    app.clock.set(Timestamp::now());
    app.advance(-3_100);
    let vaults = app.vaults().header("accept", "application/json");
    let page = vaults.get("/v1/integrations/railway/authorize").await.str("/data/authorizationUrl");
    let shown = app.browse(&page).await;
    let (_, rest) = shown.text.split_once("<a id=\"allow\" href=\"").unwrap();
    let allow = format!("{}{}", app.fakes.railway.host.origin(), rest.split('"').next().unwrap());
    let callback = app.browse(&allow).await.header("location").unwrap().to_owned();
    assert_eq!(app.browse(&callback).await.status, 200);
    app.clock.set(Timestamp::now());
    app.vaults().get("/v1/integrations/connections").await.str("/data/connections/0/id")
}

async fn assert_works(app: &TestApp, id: &str) {
    let projects = app.vaults().get(&format!("/v1/integrations/connections/{id}/projects")).await;
    let _ = projects.expect(200);
    assert_eq!(app.fakes.railway.grants(), 1, "the grant is in force");
}

#[tokio::test]
async fn two_processes_renew_a_token_once() {
    let lambda = Lambda::start(REFRESH, "vaults-refresh").await;
    let app = &lambda.app;
    let id = connect_railway(app).await;
    let api = RuntimeApi::start().await.unwrap();
    let _second = FunctionProcess::spawn(REFRESH, app.environment(&api, "vaults-refresh"), &api).unwrap();
    let faults = app.fakes.railway.host.faults();
    faults.next_on("/oauth/token", 1, fakes::Fault::Hang);
    let meanwhile = async {
        faults.hanging(1).await;
        let ran = api.invoke(event(app, "vaults-refresh"), DEADLINE).await.json().unwrap();
        faults.release();
        ran
    };
    let (first, second) = tokio::join!(lambda.invoke(event(app, "vaults-refresh")), meanwhile);
    assert_eq!((&first.json().unwrap()["renewed"], &second["renewed"]), (&json!(1), &json!(0)));
    assert_eq!(app.fakes.railway.host.calls("/oauth/token"), 2, "the code's exchange, and one renewal");
    assert_works(app, &id).await;
}

#[tokio::test]
async fn a_process_that_is_killed_before_a_token_is_renewed_leaves_it_to_the_next() {
    let lambda = Lambda::start(REFRESH, "vaults-refresh").await;
    let app = &lambda.app;
    let id = connect_railway(app).await;
    let faults = app.fakes.railway.host.faults();
    faults.next_on("/oauth/token", 1, fakes::Fault::Hang);
    let (outcome, ()) = tokio::join!(lambda.invoke(event(app, "vaults-refresh")), async {
        faults.hanging(1).await;
        lambda.process.kill().await;
    });
    assert!(matches!(outcome, Outcome::Exited(_)), "{outcome:?}");
    faults.none_hanging().await;
    app.clock.set(Timestamp::now());
    app.advance(61);
    let result = app.invoke("vaults-refresh", &app.scheduled_event()).await.expect(200);
    assert_eq!(result["renewed"], 1);
    assert_works(app, &id).await;
}

/// A list, with tokens of the operator's issuer.
fn listing() -> Listing {
    Listing {
        binary: API,
        function: "vaults-api",
        event: |app| event(app, "vaults-api-list"),
        permission: "vaults:read",
        unauthorized: json!({
            "type": "urn:causeway:problem:unauthorized",
            "title": "Unauthorized",
            "status": 401,
            "detail": "The token is unknown, expired or revoked.",
            "instance": "/v1/integrations/connections",
        }),
        unavailable: json!({
            "type": "urn:causeway:problem:internal",
            "title": "Internal error",
            "status": 500,
            "detail": "Something went wrong on our side. Try again; if it goes on, report the traceId.",
            "instance": "/v1/integrations/connections",
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
