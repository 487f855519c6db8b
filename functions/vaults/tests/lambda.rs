//! The group's real Lambda binaries on a double of the Runtime API, with embedded AWS and stateful fakes behind them.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::time::Duration;

use fakes::platforms::railway::RailwayReach;
use fakes::platforms::vercel::VercelToken;
use jiff::Timestamp;
use kit::TestApp;
use kit::runtime_api::{Exited, FunctionProcess, Outcome, RuntimeApi};
use serde_json::{Value, json};

const API: &str = env!("CARGO_BIN_EXE_vaults-api");
const SYNC: &str = env!("CARGO_BIN_EXE_vaults-sync");
const REFRESH: &str = env!("CARGO_BIN_EXE_vaults-refresh");
const DEADLINE: Duration = Duration::from_secs(60);
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

    /// Connects Vercel and makes an automatic link of its project, through the stack beside it; then changes the vault.
    async fn change(&self) {
        let vercel = &self.app.fakes.vercel;
        vercel.add_project("prj_1", "another", "team_sandbox");
        let teams = vec!["team_sandbox".to_owned()];
        let reach = VercelToken { user: "user_sandbox".into(), teams, ..VercelToken::default() };
        vercel.add_token(&self.app.demo.vercel_token, reach);
        let vaults = self.app.vaults();
        let body = json!({ "token": self.app.demo.vercel_token, "account": "team_sandbox" });
        let id = vaults.post("/v1/integrations/vercel/connect", &body).await.str("/data/id");
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

async fn environment_id(app: &TestApp) -> String {
    let names = app.secret_names().await;
    let name = names.iter().find(|name| name.contains("/env_")).unwrap();
    name.split('/').nth(3).unwrap().to_owned()
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
