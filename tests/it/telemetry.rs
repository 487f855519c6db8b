//! What an operator sees of the stack: the lines of its log, and exact numbers.

use std::collections::BTreeSet;

use fakes::ai::AiKey;
use fakes::{Answer as ProviderAnswer, Fault as ProviderFault};
use kit::fault_proxy::Fault;
use kit::metrics::Line;
use kit::{Answer, TestApp, logs};
use serde_json::{Value, json};

use crate::services::fixtures::{config, create, test};
use crate::vaults::fixtures::{asks, put, ready};

const SERVICES: &str = "/api/integrations";
const KEYS: &str = "/api/v1/integrations";
const ACQUIRE: &str = "/api/v1/integrations/acquire";
const ADDRESS: &str = "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu";

/// What was counted, as far as it is about one of these metrics.
fn counts(app: &TestApp, metrics: &[&str]) -> Vec<String> {
    let counts = app.metrics.counts().into_iter();
    counts.filter(|count| metrics.iter().any(|metric| count.starts_with(&format!("{metric}{{")))).collect()
}

/// The log's lines with this message that belong to a request.
fn logged(request_id: &str, message: &str) -> Vec<Value> {
    let all = logs::all();
    let lines = all.lines().filter(|line| line.contains(request_id));
    let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["span"]["request_id"] == request_id && line["message"] == message).collect()
}

/// An id for a request that no other test's has, for the log is everybody's.
fn request_id(app: &TestApp) -> String {
    format!("telemetry-{}", app.platform.ids.uuid())
}

#[tokio::test]
async fn requests_are_counted_by_operation_and_outcome() {
    let app = TestApp::start().await;
    let services = app.services();
    let _ = services.get(SERVICES).await.expect(200);
    let _ = services.clone().without("authorization").get(SERVICES).await.expect(401);
    let _ = services.get("/api/nowhere").await.expect(404);
    let _ = services.delete(SERVICES).await.expect(405);
    app.proxy.inject(Fault::ServerError).on("Query").always();
    let _ = services.get(SERVICES).await.expect(500);
    let expected = [
        "ClientErrors{Group=services,Operation=list_integrations} 1",
        "ClientErrors{Group=services,Operation=none} 2",
        "ColdStarts{Function=services-api} 1",
        "Requests{Group=services,Operation=list_integrations} 3",
        "Requests{Group=services,Operation=none} 2",
        "ServerErrors{Group=services,Operation=list_integrations} 1",
    ];
    assert_eq!(app.metrics.counts(), expected);
    assert_eq!(app.metrics.reports().len(), 5);
    assert_eq!(app.metrics.total("Latency", &[("Operation", "list_integrations")]), 3);
    assert!(app.metrics.reports().iter().all(|report| report.at == TestApp::started_at()));
}

#[tokio::test]
async fn a_request_is_one_line_that_says_who_what_and_how_it_went() {
    let app = TestApp::start().await;
    let (first, second, third) = (request_id(&app), request_id(&app), request_id(&app));
    let keys = |id: &str| app.keys().header("x-request-id", id);
    let _ = keys(&first).get(KEYS).await.expect(200);
    let _ = keys(&second).get(&format!("{KEYS}/77")).await.expect(404);
    let _ = keys(&third).without("authorization").post_empty(ACQUIRE).await.expect(401);
    for (id, operation, status, outcome, cold, tenant) in [
        (&first, "list_integrations", 200, "ok", true, json!("acme")),
        (&second, "get_integration", 404, "client_error", false, json!("acme")),
        (&third, "acquire_integration", 401, "client_error", false, Value::Null),
    ] {
        let lines = logged(id, "answered");
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        let span = &line["span"];
        assert_eq!((&span["group"], &span["operation"]), (&json!("keys"), &json!(operation)), "{line}");
        assert_eq!(span["tenant"], tenant, "{line}");
        assert_eq!((&line["status"], &line["outcome"]), (&json!(status), &json!(outcome)), "{line}");
        assert!(line["cold"] == cold && line["latency_ms"].is_u64(), "{line}");
    }
}

#[tokio::test]
async fn provider_calls_are_counted_by_upstream_and_told_without_their_address() {
    let app = TestApp::start().await;
    let id = create(&app, "slack", &config(&app, "slack")).await;
    let path = format!("{SERVICES}/{id}/test");
    app.metrics.forget();
    let hooks = app.fakes.slack.hooks.clone();
    let mut ids = Vec::new();
    for fault in [
        None,
        Some(ProviderFault::Answer(ProviderAnswer::status(503))),
        Some(ProviderFault::Answer(ProviderAnswer::status(429))),
        Some(ProviderFault::Close),
    ] {
        // What is cut is tried once more.
        let times = if matches!(fault, Some(ProviderFault::Close)) { 2 } else { 1 };
        fault.into_iter().for_each(|fault| hooks.faults().next(times, fault));
        ids.push(request_id(&app));
        let services = app.services().header("x-request-id", ids.last().unwrap());
        let _ = services.post_empty(&path).await.expect(200);
    }
    let expected = [
        "ProviderCalls{Upstream=SLACK_HOOKS} 4",
        "ProviderErrors{Upstream=SLACK_HOOKS} 2",
        "ProviderThrottles{Upstream=SLACK_HOOKS} 1",
        "Verdicts{Group=services,Verdict=inconclusive} 3",
        "Verdicts{Group=services,Verdict=valid} 1",
    ];
    assert_eq!(counts(&app, &["ProviderCalls", "ProviderErrors", "ProviderThrottles", "Verdicts"]), expected);
    assert_eq!(app.metrics.total("ProviderLatency", &[("Upstream", "SLACK_HOOKS")]), 4);

    let mut ends = Vec::new();
    for id in &ids {
        let lines = logged(id, "called");
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!((&line["level"], &line["upstream"]), (&json!("DEBUG"), &json!("SLACK_HOOKS")), "{line}");
        assert_eq!(line["method"], "POST", "{line}");
        assert!(line["latency_ms"].is_u64(), "{line}");
        let secret = app.demo.slack_webhook_url.rsplit('/').next().unwrap();
        assert!(!line.to_string().contains(secret) && !line.to_string().contains("hooks.slack.com"), "{line}");
        ends.push(json!([line["status"], line["error"], line["attempts"]]));
    }
    assert!(ends[0][0].is_u64() && ends[0][1].is_null() && ends[0][2] == 1, "{ends:?}");
    assert_eq!(ends[1..], [json!([503, null, 1]), json!([429, null, 1]), json!([null, "interrupted", 2])]);
}

#[tokio::test]
async fn a_call_that_was_tried_twice_is_one_and_one_that_is_refused_here_is_none() {
    let app = TestApp::start().await;
    let body = json!({ "provider_name": "openrouter", "credentials": { "api_key": app.demo.openrouter_api_keys[0] } });
    let created = app.keys().post(KEYS, &body).await.expect(201);
    let path = format!("{KEYS}/{}/test", created["integration"]["id"]);
    app.metrics.forget();
    let tested = app.keys().post_empty(&path).await.expect(200);
    assert_eq!(tested["verdict"], "valid", "{tested}");
    let calls = app.metrics.total("ProviderCalls", &[("Upstream", "OPENROUTER")]);
    app.metrics.forget();
    app.fakes.ai.openrouter.host.faults().next(1, ProviderFault::Close);
    let id = request_id(&app);
    let tested = app.keys().header("x-request-id", &id).post_empty(&path).await.expect(200);
    assert_eq!(tested["verdict"], "valid", "{tested}");
    assert_eq!(app.metrics.total("ProviderCalls", &[("Upstream", "OPENROUTER")]), calls);
    assert_eq!(app.metrics.total("ProviderErrors", &[]), 0);
    assert_eq!(logged(&id, "called")[0]["attempts"], 2);

    app.metrics.forget();
    app.names.set("inside.example.com", &[[10, 0, 0, 1].into()]);
    let config = json!({ "url": "https://inside.example.com/hook", "signingSecret": app.demo.webhook_signing_secret });
    let body = json!({ "name": "inside", "type": "webhook", "config": config });
    let _ = app.services().post(SERVICES, &body).await.expect(400);
    assert_eq!(app.metrics.total("ProviderCalls", &[]), 0);
}

#[tokio::test]
async fn every_groups_checks_are_counted_by_verdict() {
    let app = TestApp::start().await;
    let key = |key: &str| json!({ "provider_name": "openrouter", "credentials": { "api_key": key } });
    let _ = app.keys().post(KEYS, &key(&app.demo.openrouter_api_keys[0])).await.expect(201);
    let _ = app.keys().post(KEYS, &key("sk-or-v1-that-nobody-knows-000000")).await.expect(400);
    let _ = app.wallets().post("/v1/integrations", &json!({ "provider": "bitcoin", "address": ADDRESS })).await;
    let connect = |token: &str| json!({ "token": token });
    let vaults = app.vaults();
    let _ = vaults.post("/v1/integrations/vercel/connect", &connect(&app.demo.vercel_token)).await.expect(201);
    let refused: Answer = vaults.post("/v1/integrations/vercel/connect", &connect("vcp_that_nobody_knows")).await;
    assert!(refused.status.is_client_error(), "{refused:?}");
    let bad = json!({ "webhookUrl": "https://hooks.slack.com/services/T0/B0/mistyped" });
    let id = create(&app, "slack", &bad).await;
    assert_eq!(test(&app, &id).await["verdict"], "invalid");
    let expected = [
        "Verdicts{Group=keys,Verdict=invalid} 1",
        "Verdicts{Group=keys,Verdict=valid} 1",
        "Verdicts{Group=services,Verdict=invalid} 1",
        "Verdicts{Group=vaults,Verdict=invalid} 1",
        "Verdicts{Group=vaults,Verdict=valid} 1",
        "Verdicts{Group=wallets,Verdict=valid} 1",
    ];
    assert_eq!(counts(&app, &["Verdicts"]), expected);
}

#[tokio::test]
async fn refusals_of_the_pool_are_counted_by_what_stands_in_the_way() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let ask = json!({ "provider_name": "openrouter" });
    let _ = keys.post(ACQUIRE, &ask).await.expect(404);
    let credentials = json!({ "api_key": app.demo.openrouter_api_keys[0] });
    let body = json!({ "provider_name": "openrouter", "credentials": credentials, "daily_limit": 1 });
    let id = keys.post(KEYS, &body).await.expect(201)["integration"]["id"].clone();
    let _ = keys.post(ACQUIRE, &ask).await.expect(200);
    let _ = keys.post(ACQUIRE, &ask).await.expect(429);
    let _ = keys.post(ACQUIRE, &ask).await.expect(429);
    let _ = keys.patch(&format!("{KEYS}/{id}"), &json!({ "is_active": false })).await.expect(200);
    assert!(keys.post(ACQUIRE, &ask).await.status.is_client_error());
    let expected =
        ["PoolDenials{Reason=daily_limit} 2", "PoolDenials{Reason=inactive} 1", "PoolDenials{Reason=no_key} 1"];
    assert_eq!(counts(&app, &["PoolDenials"]), expected);
}

#[tokio::test]
async fn a_run_is_counted_with_what_its_syncs_came_to() {
    let app = TestApp::start().await;
    app.fakes.esplora.receive_many(ADDRESS, 3);
    let body = json!({ "provider": "bitcoin", "address": ADDRESS });
    let _ = app.wallets().post("/v1/integrations", &body).await.expect(201);
    let (_, queued) = app.stream_events().pop().unwrap();
    app.metrics.forget();
    assert_eq!(app.invoke("wallets-sync", &queued).await.expect(200)["completed"], 1);
    // Delivered again, it finds nothing to do.
    assert_eq!(app.invoke("wallets-sync", &queued).await.expect(200)["completed"], 0);
    let metrics = ["ColdStarts", "JobRuns", "JobFailures", "SyncsCompleted", "SyncsFailed", "RecordsStored"];
    let expected = [
        "ColdStarts{Function=wallets-sync} 1",
        "JobRuns{Function=wallets-sync} 2",
        "RecordsStored{Group=wallets} 3",
        "SyncsCompleted{Group=wallets} 1",
    ];
    assert_eq!(counts(&app, &metrics), expected);
    assert_eq!(app.metrics.total("JobDuration", &[("Function", "wallets-sync")]), 2);
    assert!(app.metrics.total("ProviderCalls", &[("Upstream", "ESPLORA")]) > 0);
}

#[tokio::test]
async fn a_vaults_syncs_are_counted_and_so_are_those_that_fail() {
    let (app, id) = ready(json!({ "A": "1", "B": "2" })).await;
    let sync = |fields: Value| {
        let (vaults, body) = (app.vaults(), asks(&id, fields));
        async move { vaults.post(crate::vaults::fixtures::SYNC, &body).await.expect(200)["data"]["status"].clone() }
    };
    assert_eq!(sync(json!({})).await, "success");
    put(&app.vaults(), json!({ "A": "3", "B": "2" })).await;
    app.fakes.vercel.revoke(&app.demo.vercel_token);
    assert_eq!(sync(json!({})).await, "failed");
    let expected = ["RecordsStored{Group=vaults} 2", "SyncsCompleted{Group=vaults} 1", "SyncsFailed{Group=vaults} 1"];
    assert_eq!(counts(&app, &["SyncsCompleted", "SyncsFailed", "RecordsStored"]), expected);
}

#[tokio::test]
async fn a_job_that_fails_is_counted_and_its_line_says_why() {
    let app = TestApp::start().await;
    app.proxy.inject(Fault::ServerError).on("GetItem").always();
    let failed = app.invoke("keys-monitor", &app.scheduled_event()).await;
    assert_eq!(failed.str("/errorType"), "JobError", "{}", failed.text);
    let malformed = app.invoke("keys-monitor", &json!({ "Records": [{}] })).await;
    assert_eq!(malformed.str("/errorType"), "MalformedEvent", "{}", malformed.text);
    let expected = [
        "ColdStarts{Function=keys-monitor} 1",
        "JobFailures{Function=keys-monitor} 2",
        "JobRuns{Function=keys-monitor} 2",
    ];
    assert_eq!(app.metrics.counts(), expected);
    let all = logs::all();
    let lines = all.lines().filter(|line| line.contains("\"the job failed\"") && line.contains("keys-monitor"));
    let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = lines.iter().find(|line| line["span"]["trigger"] == "schedule").unwrap();
    assert_eq!((&line["level"], &line["outcome"]), (&json!("ERROR"), &json!("failed")), "{line}");
    assert!(line["latency_ms"].is_u64() && line["error"].as_str().unwrap().contains("table"), "{line}");
}

#[tokio::test]
async fn what_cloudwatch_gets_keeps_its_rules_and_names_no_tenant_and_no_secret() {
    let (one, other) = (TestApp::start().await, TestApp::start().await);
    let id = create(&one, "slack", &config(&one, "slack")).await;
    assert_eq!(test(&one, &id).await["verdict"], "valid");
    let _ = one.services().get(&format!("{SERVICES}/{id}?secrets=true")).await;
    let key = "sk-or-v1-canary-of-the-metrics-000";
    one.fakes.ai.openrouter.set_key(key, AiKey::with_balance(1.0));
    let body = json!({ "provider_name": "openrouter", "credentials": { "api_key": key } });
    let _ = one.keys().post(KEYS, &body).await.expect(201);
    let _ = one.invoke("services-check", &one.scheduled_event()).await.expect(200);
    let lines = one.metrics.lines();
    assert!(lines.len() >= 5, "{lines:?}");
    let mut told = BTreeSet::new();
    for text in &lines {
        let line = Line::read(text).unwrap();
        assert_eq!(line.timestamp, TestApp::started_at().as_millisecond());
        assert_eq!(line.members["Stack"], "causeway");
        told.extend(line.metrics.into_iter().map(|metric| metric.name));
    }
    for name in ["Requests", "Latency", "Verdicts", "ProviderCalls", "JobRuns", "ColdStarts"] {
        assert!(told.contains(name), "{name}: {told:?}");
    }
    let everything = lines.concat();
    let token = &one.tenant("acme").tokens.admin;
    for secret in ["acme", "globex", key, token.as_str(), id.as_str(), "hooks.slack.com", "/services/"] {
        assert!(!everything.contains(secret), "{secret} in {everything}");
    }
    // Two stacks in one process hear each their own.
    assert_eq!(other.metrics.reports(), []);
}
