//! Who did what to which integration: what is written, when, and what `causeway audit` makes of it.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use kit::fault_proxy::Fault;
use kit::{Client, TestApp};
use local::audit::{Done, Reading, Wanted, line};
use local::stack::GROUPS;
use local::template::Template;
use serde_json::{Value, json};
use shared::audit::{Act, Entry, Step};
use shared::auth::Tenant;
use shared::config::Policy;
use shared::table::TableError;

fn tenant(name: &str) -> Tenant {
    Tenant::parse(name).unwrap()
}

/// What `causeway audit` reads of a tenant, the newest first.
async fn read(app: &TestApp, name: &str, integration: Option<&str>) -> Vec<Done> {
    read_between(app, name, Wanted { integration: integration.map(str::to_owned), ..last_days(app, 30) }).await
}

fn last_days(app: &TestApp, days: i64) -> Wanted {
    let until = app.platform.ids.now();
    Wanted { integration: None, since: until.saturating_sub(SignedDuration::from_hours(24 * days)).unwrap(), until }
}

async fn read_between(app: &TestApp, name: &str, wanted: Wanted) -> Vec<Done> {
    let tenant = tenant(name);
    let mut reading = Reading::new(&app.platform, &tenant, &wanted);
    let mut all = Vec::new();
    while let Some(done) = reading.next().await.unwrap() {
        all.push(done);
    }
    all
}

/// Operation, what it was done to, and how it ended, the oldest first.
async fn told(app: &TestApp, name: &str) -> Vec<(String, Option<String>, Option<u16>)> {
    let all = read(app, name, None).await.into_iter().rev();
    all.map(|done| (done.act.operation, done.act.integration, done.status)).collect()
}

fn slack(app: &TestApp, name: &str) -> Value {
    json!({ "name": name, "type": "slack", "config": { "webhookUrl": app.demo.slack_webhook_url } })
}

async fn create(app: &TestApp, services: &Client) -> String {
    services.post("/api/integrations", &slack(app, "one")).await.str("/id")
}

#[tokio::test]
async fn what_is_done_to_an_integration_is_told_with_who_did_it() {
    let app = TestApp::start().await;
    let services = app.services().header("x-request-id", "the request");
    let id = create(&app, &services).await;
    let path = format!("/api/integrations/{id}");
    app.advance(1);
    let keyed = services.clone().header("idempotency-key", "one");
    let _ = keyed.post_empty(&format!("{path}/test")).await.expect(200);
    app.advance(1);
    let _ = keyed.post_empty(&format!("{path}/test")).await.expect(200);
    app.advance(1);
    let _ = services.put(&path, &json!({ "name": "two" })).await.expect(200);
    let _ = services.put(&path, &json!({ "name": 2, "nonsense": true })).await.expect(400);
    app.advance(1);
    let _ = services.delete(&path).await.expect(200);
    let _ = services.delete(&path).await.expect(404);

    let mut all = read(&app, "acme", None).await;
    all.reverse();
    assert!(all.iter().all(|done| done.act.integration.as_deref() == Some(&*id)), "{all:?}");
    let of = |operation: &str| -> Vec<&Done> { all.iter().filter(|done| done.act.operation == operation).collect() };
    let [created] = of("POST /api/integrations")[..] else { panic!("{all:?}") };
    assert_eq!(created.act.fields, ["config", "name", "type"]);
    assert_eq!((created.status, created.act.idempotency_key, created.revealed), (Some(201), false, false));
    assert_eq!((created.at, created.ended_at), (TestApp::started_at(), Some(TestApp::started_at())));
    let act = &created.act;
    assert_eq!((act.tenant.as_str(), &*act.group, &*act.request_id), ("acme", "services", "the request"));
    let tokens = app.platform.tokens.list(&tenant("acme")).await.unwrap();
    let token = tokens.iter().find(|token| token.id == act.token).unwrap();
    assert_eq!(act.user, token.user);
    // The same key again: an act of its own, in which nothing was done.
    let tested = of("POST /api/integrations/{integrationId}/test");
    assert_eq!(tested.iter().map(|done| done.replayed).collect::<Vec<_>>(), [false, true]);
    assert!(tested.iter().all(|done| done.act.idempotency_key));
    let put = of("PUT /api/integrations/{integrationId}");
    let statuses: BTreeSet<_> = put.iter().map(|done| (done.status, done.act.fields.clone())).collect();
    let fields = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(statuses, [(Some(200), fields(&["name"])), (Some(400), fields(&["name", "nonsense"]))].into());
    assert_eq!(of("DELETE /api/integrations/{integrationId}").len(), 2);
    let shown = line(created);
    for part in ["acme", "POST /api/integrations", &id, "201", "fields config,name,type", "the request"] {
        assert!(shown.contains(part), "{shown}");
    }
}

#[tokio::test]
async fn reads_are_not_told_unless_they_reveal_a_secret() {
    let app = TestApp::start().await;
    let id = create(&app, &app.services()).await;
    let before = read(&app, "acme", None).await.len();
    let path = format!("/api/integrations/{id}");
    let reader = app.services_as(&app.tenant("acme").tokens.read_only);
    app.proxy.forget_calls();
    let _ = reader.get(&path).await.expect(200);
    let _ = app.services().get("/api/integrations").await.expect(200);
    let _ = app.services().get("/api/integrations/int_000000000000000000000").await.expect(404);
    assert_eq!(app.proxy.calls_aside().len(), 0);
    let shown = app.services().get(&path).await.expect(200);
    assert_eq!(shown["config"]["webhookUrl"], app.demo.slack_webhook_url);
    // Nothing was changed, so one entry is enough.
    assert_eq!(app.proxy.calls_aside().len(), 1);
    let all = read(&app, "acme", None).await;
    assert_eq!(all.len(), before + 1);
    let revealed: Vec<_> = all.iter().filter(|done| done.revealed).collect();
    assert_eq!((revealed.len(), revealed[0].status), (1, Some(200)));
    assert_eq!(revealed[0].act.operation, "GET /api/integrations/{integrationId}");
    // What cannot be told of is not shown.
    let down = app.proxy.inject(Fault::Refuse).on_aside().always();
    let refused = app.services().get(&path).await;
    assert_eq!(refused.expect(500)["error"], "internal_error");
    assert!(!refused.text.contains(&app.demo.slack_webhook_url));
    let _ = reader.get(&path).await.expect(200);
    assert!(down.strikes() > 0);
}

#[tokio::test]
async fn a_vaults_values_and_connections_are_told_of() {
    use crate::vaults::authorize::decide;
    use crate::vaults::fixtures::{CONNECTIONS, ENVIRONMENT, SECRETS, SYNC, asks, ready};

    let (app, id) = ready(json!({ "STRIPE_KEY": "a value" })).await;
    let vaults = app.vaults();
    let _ = vaults.get(SECRETS).await.expect(200);
    let reader = app.vaults_as(&app.tenant("acme").tokens.read_only);
    let _ = reader.get(SECRETS).await.expect(200);
    let _ = vaults.patch(SECRETS, &json!({ "OTHER_KEY": "another" })).await.expect(200);
    let _ = vaults.post(&format!("{ENVIRONMENT}/rollback"), &json!({ "version": 1 })).await.expect(200);
    let _ = vaults.post(SYNC, &asks(&id, json!({}))).await.expect(200);
    let _ = vaults.delete(&format!("{CONNECTIONS}/{id}")).await.expect(204);
    // By OAuth: the browser comes back without a token.
    let page = vaults.clone().header("accept", "application/json").get("/v1/integrations/railway/authorize").await;
    let callback = decide(&app, &page.str("/data/authorizationUrl"), "allow").await;
    assert_eq!(app.browse(&callback).await.status, 200);
    let connected = vaults.get(CONNECTIONS).await.str("/data/connections/0/id");

    let secrets = "/v1/vaults/{owner}/{repo}/environments/{environment}";
    let vault = Some("acme/app/production".to_owned());
    let expected: BTreeSet<_> = [
        ("POST /v1/integrations/{provider}/connect".to_owned(), Some(id.clone()), Some(201)),
        (format!("PUT {secrets}/secrets"), vault.clone(), Some(200)),
        (format!("GET {secrets}/secrets"), vault.clone(), Some(200)),
        (format!("PATCH {secrets}/secrets"), vault.clone(), Some(200)),
        (format!("POST {secrets}/rollback"), vault, Some(200)),
        ("POST /v1/integrations/vaults/{owner}/{repo}/sync".into(), Some("acme/app".into()), Some(200)),
        ("DELETE /v1/integrations/connections/{id}".into(), Some(id), Some(204)),
        ("GET /v1/integrations/{provider}/authorize".into(), Some("railway".into()), Some(200)),
        ("GET /v1/integrations/{provider}/callback".into(), Some(connected), Some(200)),
    ]
    .into();
    let all = told(&app, "acme").await;
    assert_eq!((all.len(), all.into_iter().collect::<BTreeSet<_>>()), (expected.len(), expected));
    let done = read(&app, "acme", Some("acme/app")).await;
    assert_eq!(done.len(), 5, "the vault's, and its environments'");
    assert!(done.iter().any(|done| done.act.fields == ["STRIPE_KEY"]));
    let all = read(&app, "acme", None).await;
    let callback = all.iter().find(|done| done.act.operation.ends_with("/callback")).unwrap();
    let authorize = all.iter().find(|done| done.act.operation.ends_with("/authorize")).unwrap();
    assert_eq!((&callback.act.user, &*callback.act.token), (&authorize.act.user, "authorization"));
}

#[tokio::test]
async fn values_are_in_no_entry() {
    let app = TestApp::start().await;
    let canary = "c4n4ry-of-the-audit-log";
    let services = app.services();
    let config = json!({ "url": format!("{}?k={canary}", app.demo.webhook_url), "signingSecret": canary });
    let body = json!({ "name": canary, "type": "webhook", "config": config, canary.replace('-', " \n"): 1 });
    let _ = services.post("/api/integrations", &body).await.expect(400);
    let body = json!({ "name": canary, "type": "webhook", "config": config });
    let _ = services.header("idempotency-key", canary).post("/api/integrations", &body).await.expect(201);
    let _ = app.vaults().put(crate::vaults::fixtures::SECRETS, &json!({ "A": canary })).await.expect(200);
    let _ = app.vaults().get(crate::vaults::fixtures::SECRETS).await.expect(200);
    let key = json!({ "provider_name": "openrouter", "key_label": canary, "credentials": { "api_key": canary } });
    let _ = app.keys().post("/api/v1/integrations", &key).await;
    let wallet = json!({ "provider": "bitcoin", "alias": canary, "address": "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa" });
    let _ = app.wallets().post("/v1/integrations", &wallet).await.expect(201);
    let written: Vec<String> = app.proxy.calls_aside().iter().map(|call| call.request["Item"].to_string()).collect();
    assert_eq!(written.len(), 2 * 5 + 1);
    assert!(written.iter().all(|entry| !entry.contains("c4n4ry")), "{written:?}");
    assert!(written[0].contains("(unreadable)"));
}

#[tokio::test]
async fn a_tenants_log_is_its_own() {
    let app = TestApp::start().await;
    let id = create(&app, &app.services()).await;
    let stranger = app.services_as(&app.tenant("globex").tokens.admin);
    let _ = stranger.delete(&format!("/api/integrations/{id}")).await.expect(404);
    assert_eq!(read(&app, "acme", Some(&id)).await.len(), 1);
    // What globex tried is in globex's.
    let tried = read(&app, "globex", None).await;
    assert_eq!((tried.len(), tried[0].status, tried[0].act.tenant.as_str()), (1, Some(404), "globex"));
    // Who is not known is in nobody's.
    app.proxy.forget_calls();
    let _ = app.services_as("cwy_unknown").delete(&format!("/api/integrations/{id}")).await.expect(401);
    assert_eq!(app.proxy.calls_aside().len(), 0);
}

#[tokio::test]
async fn what_cannot_be_told_of_is_not_done() {
    let app = TestApp::start().await;
    for fault in [Fault::Refuse, Fault::ServerError, Fault::Throttle] {
        app.proxy.inject(fault.clone()).on_aside().always();
        app.proxy.forget_calls();
        let refused = app.services().post("/api/integrations", &slack(&app, "one")).await;
        assert_eq!(refused.expect(500)["error"], "internal_error");
        assert!(app.proxy.operations().iter().all(|operation| operation == "GetItem"), "the token's look-up alone");
        app.proxy.clear();
    }
    assert_eq!(app.services().get("/api/integrations").await.expect(200)["data"], json!([]));
    assert_eq!(app.secret_names().await.len(), 0);
}

#[tokio::test]
async fn a_crash_before_the_end_leaves_the_beginning() {
    let app = TestApp::start().await;
    // The beginning is written; its end is not.
    app.proxy.inject(Fault::Refuse).on_aside().nth(2).always();
    let id = create(&app, &app.services()).await;
    app.proxy.clear();
    let [done] = &read(&app, "acme", None).await[..] else { panic!("one act") };
    assert_eq!((done.status, done.ended_at), (None, None));
    assert_eq!(done.act.operation, "POST /api/integrations");
    assert!(line(done).contains("no end was written"), "{}", line(done));
    let reader = app.services_as(&app.tenant("acme").tokens.read_only);
    let _ = reader.get(&format!("/api/integrations/{id}")).await.expect(200);
    assert!(kit::logs::all().contains("the end of an act could not be written"));
    // The next one stands by itself.
    app.advance(1);
    let _ = app.services().delete(&format!("/api/integrations/{id}")).await.expect(200);
    let all = read(&app, "acme", None).await;
    assert_eq!(all.iter().map(|done| done.status).collect::<Vec<_>>(), [Some(200), None]);
}

#[tokio::test]
async fn a_lost_answer_writes_an_entry_once() {
    let app = TestApp::start().await;
    app.proxy.inject(Fault::LoseAnswer).on_aside();
    app.proxy.inject(Fault::LoseAnswer).on_aside().nth(3);
    create(&app, &app.services()).await;
    assert_eq!(told(&app, "acme").await.len(), 1);
    assert_eq!(app.proxy.calls_aside().len(), 4, "each entry was sent twice");
}

#[tokio::test]
async fn entries_are_added_and_never_changed() {
    let app = TestApp::start().await;
    let id = create(&app, &app.services()).await;
    let day = shared::audit::day(app.platform.ids.now());
    let entries = || async { app.platform.audit.page(&tenant("acme"), &day, None, 10).await.unwrap().records };
    let before = entries().await;
    assert_eq!(before.iter().map(|entry| entry.step).collect::<Vec<_>>(), [Step::Ended, Step::Begun]);
    for entry in &before {
        let forged = Entry { act: Act { user: "nobody".into(), ..entry.act.clone() }, ..entry.clone() };
        let outcome = app.platform.audit.append(&forged).await;
        assert!(matches!(outcome, Err(TableError::Exists)), "{outcome:?}");
    }
    assert_eq!(entries().await, before);
    // Deleting what it tells of leaves the log alone.
    app.advance(1);
    let _ = app.services().delete(&format!("/api/integrations/{id}")).await.expect(200);
    let after = entries().await;
    assert_eq!(after[2..], before[..]);
    // Whoever changes or removes an entry would have to name its partition, and only one place does.
    for call in app.proxy.calls_aside() {
        let condition = call.request["ConditionExpression"].as_str().unwrap();
        assert_eq!((&*call.operation, condition), ("PutItem", "attribute_not_exists(pk) OR write_id = :mine"));
    }
}

#[tokio::test]
async fn entries_are_kept_as_long_as_the_operator_says() {
    let app = TestApp::start().await;
    let expires = async |policy: Policy| {
        let process = app.another(policy).await;
        app.proxy.forget_calls();
        create(&app, &process.client(&app, &app.services())).await;
        let calls = app.proxy.calls_aside();
        calls.iter().map(|call| call.request["Item"]["expires_at"]["N"].clone()).collect::<Vec<_>>()
    };
    let at = |days: i64| json!((TestApp::started_at().as_second() + days * 86_400).to_string());
    assert_eq!(expires(Policy::default()).await, [at(400), at(400)]);
    assert_eq!(expires(Policy { audit_days: 30, ..Policy::default() }).await, [at(30), at(30)]);
    assert_eq!(expires(Policy { audit_days: 0, ..Policy::default() }).await, [Value::Null, Value::Null]);
}

fn act(number: u32) -> Act {
    Act {
        tenant: tenant("acme"),
        user: "someone".into(),
        token: "tok_1".into(),
        group: "services".into(),
        operation: format!("POST /{number}"),
        integration: None,
        request_id: "1".into(),
        idempotency_key: false,
        fields: Vec::new(),
    }
}

#[tokio::test]
async fn a_day_is_a_partition_and_an_act_stands_in_the_day_in_which_it_began() {
    let app = TestApp::start().await;
    // A second before midnight in UTC.
    app.advance(86_399 - TestApp::started_at().as_second().rem_euclid(86_400));
    let begun = app.platform.audit.begin(act(1)).await.unwrap();
    app.advance(2);
    app.platform.audit.end(begun, Default::default()).await;
    let begun = app.platform.audit.begin(act(2)).await.unwrap();
    app.platform.audit.end(begun, Default::default()).await;
    let calls = app.proxy.calls_aside();
    let partitions: Vec<_> = calls.iter().map(|call| call.request["Item"]["pk"]["S"].as_str().unwrap()).collect();
    let (day, next) = ("T#acme#audit#2026-05-28", "T#acme#audit#2026-05-29");
    assert_eq!(partitions, [day, day, next, next]);
    app.proxy.forget_calls();
    let all = read(&app, "acme", None).await;
    let told: Vec<_> = all.iter().map(|done| (&*done.act.operation, done.ended_at.is_some())).collect();
    assert_eq!(told, [("POST /2", true), ("POST /1", true)]);
    // One Query for each day that is looked at, today and the thirty before it.
    assert_eq!(app.proxy.operations(), ["Query"; 31]);
    // Of time that has not come there is nothing to read.
    let ahead = SignedDuration::from_hours(24 * 300);
    let now = app.platform.ids.now();
    let wanted = Wanted { integration: None, since: now.checked_add(ahead).unwrap(), until: Timestamp::MAX };
    app.proxy.forget_calls();
    assert_eq!(read_between(&app, "acme", wanted).await, []);
    assert_eq!(app.proxy.operations().len(), 0);
}

#[tokio::test]
async fn a_callback_is_told_of_before_its_state_is_used_up() {
    use crate::vaults::authorize::decide;

    let app = TestApp::start().await;
    let vaults = app.vaults().header("accept", "application/json");
    let page = async || vaults.get("/v1/integrations/railway/authorize").await.str("/data/authorizationUrl");
    let callback = decide(&app, &page().await, "allow").await;
    let down = app.proxy.inject(Fault::Refuse).on_aside().always();
    assert_eq!(app.browse(&callback).await.status, 500);
    assert!(down.strikes() > 0);
    app.proxy.clear();
    assert_eq!(app.fakes.railway.host.calls("/oauth/token"), 0, "the code went nowhere");
    assert_eq!(app.browse(&callback).await.status, 200, "nothing was used up");
    // One that ends without a connection is told of too, once.
    app.advance(1);
    let denied = decide(&app, &page().await, "deny").await;
    assert_eq!(app.browse(&denied).await.status, 400);
    assert_eq!(app.browse(&denied).await.status, 400);
    let all = read(&app, "acme", None).await;
    let callbacks = all.iter().filter(|done| done.act.operation.ends_with("/callback"));
    assert_eq!(callbacks.map(|done| done.status).collect::<Vec<_>>(), [Some(400), Some(200)]);
}

#[tokio::test]
async fn a_long_log_is_read_in_pages_over_days_from_the_newest_on() {
    let app = TestApp::start().await;
    // More than a page in one day, then an act every fifth.
    let mut moments: Vec<Timestamp> = Vec::new();
    for number in 0..330_u32 {
        app.advance(if number < 320 { 1 } else { 5 * 86_400 });
        let begun = app.platform.audit.begin(act(number)).await.unwrap();
        moments.push(app.platform.ids.now());
        if number % 7 != 0 {
            app.platform.audit.end(begun, Default::default()).await;
        }
    }
    let all = read_between(&app, "acme", last_days(&app, 60)).await;
    let numbers: Vec<u32> = all.iter().map(|done| done.act.operation[6..].parse().unwrap()).collect();
    assert_eq!(numbers, (0..330).rev().collect::<Vec<_>>());
    assert!(all.iter().zip(&numbers).all(|(done, number)| done.ended_at.is_none() == (number % 7 == 0)));
    let wanted = Wanted { integration: None, since: moments[100], until: moments[325] };
    let between = read_between(&app, "acme", wanted).await;
    assert_eq!(between.len(), 226);
    assert_eq!((&*between[0].act.operation, &*between[225].act.operation), ("POST /325", "POST /100"));
}

/// What each group leaves to the log of requests, and why. Whoever adds to this list says so in docs/SECURITY.md too.
const APART: &[(&str, &str, &str)] = &[
    ("keys", "POST /api/v1/integrations/acquire", "a write more for each use would halve a pool's speed"),
    ("keys", "POST /api/v1/integrations/report", "the same"),
];

#[tokio::test]
async fn whatever_is_not_a_get_is_told_of() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant("acme"), app.tenant("globex"));
    let mut expected = BTreeSet::new();
    for group in GROUPS {
        for (method, path) in &Template::embedded().unwrap().functions().unwrap()[group.function].routes {
            if method == "GET" {
                continue;
            }
            let client = match group.name {
                "wallets" => app.wallets_as(acme, &acme.tokens.no_permissions),
                "services" => app.services_as(&acme.tokens.no_permissions),
                "keys" => app.keys_as(&acme.tokens.no_permissions),
                _ => app.vaults_as(&acme.tokens.no_permissions),
            };
            let parts = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part });
            let asked = parts.collect::<Vec<_>>().join("/");
            let method_sent = http::Method::from_bytes(method.as_bytes()).unwrap();
            let _ = client.send(method_sent, &asked, "").await.expect(403);
            let operation = format!("{method} {path}");
            if !APART.iter().any(|(of, apart, _)| (*of, *apart) == (group.name, &*operation)) {
                expected.insert((group.name.to_owned(), operation, Some(403)));
            }
        }
    }
    let all = read(&app, "acme", None).await;
    let told: BTreeSet<_> = all.into_iter().map(|done| (done.act.group, done.act.operation, done.status)).collect();
    assert_eq!(told, expected);
    assert_eq!(read(&app, &globex.name, None).await, []);
}
