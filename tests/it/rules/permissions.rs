//! Each function may do what it does and nothing else: the policies of `template.yaml` against the calls that reach AWS
//! while the function does everything it can.

use kit::TestApp;
use kit::fault_proxy::{Call, Fault, Service};
use local::template::Template;
use serde_json::{Value, json};

use super::template_document;

const SECRETS: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:";
const TABLE: &str = "arn:aws:dynamodb:us-east-1:123456789012:table/causeway";

/// An action on a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Need {
    action: String,
    resource: String,
}

impl Need {
    /// What a call needs leave for: of a transaction, each of its parts. There is no action of a transaction's own; a
    /// check of a condition alone is `ConditionCheckItem`.
    fn of(call: &Call) -> Vec<Self> {
        let text = |name: &str| call.request[name].as_str();
        let on_table = |operation: &str| Self { action: format!("dynamodb:{operation}"), resource: TABLE.into() };
        match call.service {
            Service::DynamoDb if call.operation == "TransactWriteItems" => {
                let parts = call.request["TransactItems"].as_array().unwrap().iter();
                let kinds = parts.flat_map(|part| part.as_object().unwrap().keys());
                kinds.map(|kind| on_table(&format!("{kind}Item"))).collect()
            }
            Service::DynamoDb => {
                let index = text("IndexName").map(|index| format!("/index/{index}")).unwrap_or_default();
                let need = on_table(&call.operation);
                vec![Self { resource: format!("{TABLE}{index}"), ..need }]
            }
            Service::SecretsManager => {
                // Those that name no secret are for all of them.
                let name = text("SecretId").or(text("Name"));
                let resource = name.map_or("*".to_owned(), |name| format!("{SECRETS}{name}-AbCdEf"));
                vec![Self { action: format!("secretsmanager:{}", call.operation), resource }]
            }
            Service::Other => panic!("{call:?}"),
        }
    }
}

/// What one statement allows.
#[derive(Debug)]
struct Grant {
    actions: Vec<String>,
    resources: Vec<String>,
}

impl Grant {
    fn covers(&self, need: &Need) -> bool {
        self.actions.contains(&need.action) && self.resources.iter().any(|pattern| matches(pattern, &need.resource))
    }
}

/// IAM's `*`, which takes in anything, slashes too.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            let mut ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.any(|at| matches(rest, &text[at..]))
        }),
    }
}

/// A resource of a statement as an ARN.
fn arn(document: &Value, resource: &Value) -> String {
    if let Some(text) = resource.as_str() {
        return text.to_owned();
    }
    if let Some(name) = resource["Ref"].as_str() {
        let secret = &document["Resources"][name];
        assert_eq!(secret["Type"], "AWS::SecretsManager::Secret", "{name}");
        return format!("{SECRETS}{}-*", substituted(secret["Properties"]["Name"]["Sub"].as_str().unwrap()));
    }
    if resource["GetAtt"] == "Table.Arn" {
        return TABLE.to_owned();
    }
    substituted(resource["Sub"].as_str().unwrap_or_else(|| panic!("{resource}")))
}

fn substituted(text: &str) -> String {
    let values = [
        ("${AWS::Partition}", "aws"),
        ("${AWS::Region}", "us-east-1"),
        ("${AWS::AccountId}", "123456789012"),
        ("${AWS::StackName}", "causeway"),
        ("${Table.Arn}", TABLE),
    ];
    let text = values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
    assert!(!text.contains("${"), "{text}");
    text
}

fn list(value: &Value) -> Vec<&Value> {
    value.as_array().map_or_else(|| vec![value], |values| values.iter().collect())
}

/// Everything that a function is allowed.
fn grants(function: &str) -> Vec<Grant> {
    let document = template_document();
    let mut resources = document["Resources"].as_object().unwrap().values();
    let resource = resources.find(|it| it["Metadata"]["BuildProperties"]["Binary"] == function).unwrap();
    let policies = list(&resource["Properties"]["Policies"]);
    let statements = policies.into_iter().flat_map(|policy| list(&policy["Statement"]));
    let grants = statements.map(|statement| {
        assert_eq!(statement["Effect"], "Allow");
        let actions = list(&statement["Action"]).into_iter().map(|action| action.as_str().unwrap().to_owned());
        let resources = list(&statement["Resource"]).into_iter().map(|resource| arn(&document, resource));
        Grant { actions: actions.collect(), resources: resources.collect() }
    });
    grants.collect()
}

/// Lets a token pass what is free of its limit, in a process of its own.
async fn reach_limit(app: &TestApp, client: &kit::Client, path: &str) {
    let policy = shared::config::Policy { rate_limit: 1, ..Default::default() };
    let process = app.another(policy).await;
    // What starting a stack asks for is not the function's.
    app.proxy.forget_calls();
    let client = process.client(app, client);
    let _ = client.get(path).await.expect(200);
    let _ = client.get(path).await.expect(429);
}

/// Compares what a function did with what it may do.
#[track_caller]
fn compare(function: &str, calls: &[Call]) {
    let needs: Vec<Need> = calls.iter().flat_map(Need::of).collect();
    let grants = grants(function);
    for need in &needs {
        assert!(grants.iter().any(|grant| grant.covers(need)), "{function} may not do what it does: {need:?}");
    }
    for grant in &grants {
        let used: Vec<&Need> = needs.iter().filter(|need| grant.covers(need)).collect();
        for action in &grant.actions {
            assert!(used.iter().any(|need| need.action == *action), "{function} never needs {action} on {grant:?}");
        }
        for pattern in &grant.resources {
            let needed = used.iter().any(|need| matches(pattern, &need.resource));
            assert!(needed, "{function} never needs {pattern} of {grant:?}");
        }
    }
}

async fn create_slack(app: &TestApp, name: &str) -> String {
    let body = json!({ "name": name, "type": "slack", "config": { "webhookUrl": app.demo.slack_webhook_url } });
    let created = app.services().header("idempotency-key", name).post("/api/integrations", &body).await;
    created.expect(201)["id"].as_str().unwrap().to_owned()
}

/// Lets a deletion overtake what still names the secret.
async fn schedule_deletion(app: &TestApp, id: &str) {
    let secret = format!("causeway/acme/services/{id}");
    app.secrets.delete_secret().secret_id(secret).recovery_window_in_days(7).send().await.unwrap();
}

#[tokio::test]
async fn services_api_may_do_what_its_operations_need() {
    let app = TestApp::start().await;
    let services = app.services();
    reach_limit(&app, &services, "/api/integrations").await;
    let id = create_slack(&app, "one").await;
    create_slack(&app, "two").await;
    let path = format!("/api/integrations/{id}");
    let page = services.get("/api/integrations?type=slack&limit=1").await.expect(200);
    let cursor = page["nextCursor"].as_str().unwrap();
    let _ = services.get(&format!("/api/integrations?type=slack&cursor={cursor}")).await.expect(200);
    let _ = services.get("/api/integrations").await.expect(200);
    let _ = services.get("/api/integration-types").await.expect(200);
    let _ = services.post_empty(&format!("{path}/test")).await.expect(200);
    let _ = services.post(&format!("{path}/send"), &json!({ "text": "Hello" })).await.expect(200);
    let config = json!({ "webhookUrl": "https://hooks.slack.com/services/T1/B1/another" });
    let _ = services.put(&path, &json!({ "config": config })).await.expect(200);
    let tried = json!({ "type": "slack", "config": config });
    let _ = services.post("/api/integrations/test", &tried).await.expect(200);
    schedule_deletion(&app, &id).await;
    app.advance(61);
    assert_eq!(services.get(&path).await.expect(200)["config"], config);
    let _ = services.delete(&path).await.expect(200);
    compare("services-api", &[app.proxy.calls(), app.proxy.calls_aside()].concat());
}

#[tokio::test]
async fn services_check_may_do_what_a_run_needs() {
    let app = TestApp::start().await;
    create_slack(&app, "one").await;
    schedule_deletion(&app, &create_slack(&app, "two").await).await;
    app.advance(86_400);
    app.proxy.forget_calls();
    let ran = app.invoke("services-check", &app.scheduled_event()).await.expect(200);
    assert_eq!((&ran["valid"], &ran["finished"]), (&json!(2), &json!(true)));
    compare("services-check", &app.proxy.calls());
}

const ZPUB: &str =
    "zpub6rFR7y4Q2AijBEqTUquhVz398htDFrtymD9xYYfG1m4wAcvPhXNfE3EfH1r1ADqtfSdVCToUG868RvUUkgDKf31mGDtKsAYz2oz2AGutZYs";

const EVM_ADDRESS: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

/// A stack whose operator's keys are secrets, as on AWS, and not in the environment.
async fn with_stored_keys() -> TestApp {
    let app = TestApp::start_with(|egress| egress.keys.clear()).await;
    for (name, key) in app.fakes.operator_keys() {
        let path = format!("operator/{}", name.to_ascii_lowercase());
        app.platform.credentials.ensure_own(&path, &key.into()).await.unwrap();
    }
    app.proxy.forget_calls();
    app
}

/// Connects an extended public key, which is secret; gives its path.
async fn connect_key(app: &TestApp) -> String {
    let body = json!({ "provider": "bitcoin", "xpub": ZPUB });
    let created = app.wallets().header("idempotency-key", "one").post("/v1/integrations", &body).await;
    format!("/v1/integrations/{}", created.expect(201)["walletId"].as_str().unwrap())
}

#[tokio::test]
async fn wallets_api_may_do_what_its_operations_need() {
    let app = with_stored_keys().await;
    let wallets = app.wallets();
    app.fakes.esplora.receive_many("bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu", 3);
    reach_limit(&app, &wallets, "/v1/integrations").await;
    let path = connect_key(&app).await;
    let _ = wallets.get("/v1/integrations").await.expect(200);
    let _ = wallets.get("/v1/integrations?searchedKey=bitcoin").await.expect(200);
    let _ = wallets.get("/v1/providers").await.expect(200);
    let _ = wallets.patch(&path, &json!({ "alias": "Vault" })).await.expect(200);
    // A node that does not help makes it ask explorers.
    app.fakes.evm.answer_with_page(true);
    let _ =
        wallets.post("/v1/integrations", &json!({ "provider": "ethereum", "address": EVM_ADDRESS })).await.expect(201);
    let api = app.proxy.calls().len();
    // What the worker does in between is not the API's.
    let _ = app.deliver_stream().await;
    let worker = app.proxy.calls().len();
    let page = wallets.get(&format!("{path}/transactions?limit=1")).await.expect(200);
    let cursor = page["nextCursor"].as_str().unwrap();
    let _ = wallets.get(&format!("{path}/transactions?limit=1&cursor={cursor}")).await.expect(200);
    let _ = wallets.post_empty(&format!("{path}/sync")).await.expect(202);
    let _ = wallets.delete(&path).await.expect(204);
    change_credentials(&app).await;
    let calls = app.proxy.calls();
    let own = calls.iter().enumerate().filter(|(number, _)| !(api..worker).contains(number));
    let own = own.map(|(_, call)| call.clone()).chain(app.proxy.calls_aside());
    compare("wallets-api", &own.collect::<Vec<_>>());
}

/// What `PATCH` does with credentials, on a secret that is scheduled for deletion.
async fn change_credentials(app: &TestApp) {
    use wallets::model::Tempo;
    use wallets::providers::{Account, Checked, entry};
    use wallets::store::{Integrations, NewCredentials, NewIntegration};

    let (store, tenant) = (Integrations::new(&app.platform), shared::auth::Tenant::parse("acme").unwrap());
    let account = |key: &str| {
        let mut account = Account { identities: vec![key.to_owned()], ..Account::default() };
        account.secrets.insert("apiKey".into(), key.into());
        account
    };
    let new = NewIntegration {
        entry: entry("bitcoin").unwrap(),
        source: "exchange",
        account: account("one"),
        alias: None,
        account_name: None,
        checked: Checked::default(),
        tempo: Tempo::default(),
    };
    let id = store.create(&tenant, &app.platform.ids.reserve(), new).await.unwrap().wallet_id;
    let secret = format!("causeway/acme/wallets/{id}");
    app.secrets.delete_secret().secret_id(secret).recovery_window_in_days(7).send().await.unwrap();
    let new = NewCredentials { account: account("two"), checked: Checked::default(), tempo: Tempo::default() };
    store.change_credentials(&tenant, &id, new, |_| {}).await.unwrap();
}

#[tokio::test]
async fn wallets_sync_may_do_what_a_run_needs() {
    let app = with_stored_keys().await;
    app.fakes.esplora.receive_many("bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu", 3);
    let path = connect_key(&app).await;
    let id = path.rsplit('/').next().unwrap();
    let secret = format!("causeway/acme/wallets/{id}");
    app.secrets.delete_secret().secret_id(secret).recovery_window_in_days(7).send().await.unwrap();
    let body = json!({ "provider": "ethereum", "address": EVM_ADDRESS });
    let _ = app.wallets().post("/v1/integrations", &body).await.expect(201);
    // Nothing that the API remembers helps it.
    app.advance(301);
    app.proxy.forget_calls();
    assert_eq!(app.invoke("wallets-sync", &app.scheduled_event()).await.expect(200)["completed"], 2);
    let synced = app.proxy.calls();
    // A deletion that had no time to remove anything.
    app.proxy.inject(Fault::ServerError).on("BatchWriteItem").always();
    let _ = app.wallets().delete(&path).await.expect(204);
    app.proxy.clear();
    app.proxy.forget_calls();
    assert_eq!(app.invoke("wallets-sync", &app.scheduled_event()).await.expect(200)["removed"], 1);
    let removed = app.proxy.calls();
    // Another worker has a lease that ends before the schedule fires again, so it is waited for.
    let body = json!({ "provider": "bitcoin", "address": "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa" });
    let _ = app.wallets().post("/v1/integrations", &body).await.expect(201);
    let faults = app.fakes.esplora.host.faults();
    faults.next(1, fakes::Fault::Hang);
    let (_, event) = app.stream_events().pop().unwrap();
    app.proxy.forget_calls();
    let scheduled = app.scheduled_event();
    let waited = async {
        faults.hanging(1).await;
        let second = app.invoke("wallets-sync", &scheduled);
        let release = async {
            while !app.proxy.operations().contains(&"BatchGetItem".to_owned()) {
                tokio::task::yield_now().await;
            }
            faults.release();
        };
        futures::join!(second, release).0
    };
    let (first, second) = futures::join!(app.invoke("wallets-sync", &event), waited);
    assert_eq!((&first.expect(200)["completed"], &second.expect(200)["completed"]), (&json!(1), &json!(0)));
    compare("wallets-sync", &[synced, removed, app.proxy.calls()].concat());
}

const KEYS: &str = "/api/v1/integrations";

/// Pools a key of OpenRouter's that its fake knows, as the primary; gives its path.
async fn pool_key(app: &TestApp, idempotency_key: &str) -> String {
    let body = json!({
        "provider_name": "openrouter",
        "is_primary": true,
        "spend_limit_amount": 500,
        "credentials": { "api_key": app.demo.openrouter_api_keys[0] },
    });
    let created = app.keys().header("idempotency-key", idempotency_key).post(KEYS, &body).await.expect(201);
    format!("{KEYS}/{}", created["integration"]["id"])
}

/// Lets a deletion overtake the first key, which still names the secret.
async fn schedule_deletion_of_key(app: &TestApp) {
    let secret = "causeway/acme/keys/0000000001";
    app.secrets.delete_secret().secret_id(secret).recovery_window_in_days(7).send().await.unwrap();
}

/// Acquires a key and reports how that went.
async fn use_key(app: &TestApp, outcome: &str) {
    let acquired = app.keys().post(&format!("{KEYS}/acquire"), &json!({ "provider_name": "openrouter" })).await;
    let report = json!({ "lease_id": acquired.str("/lease_id"), "outcome": outcome, "cost": 0.5 });
    let _ = app.keys().post(&format!("{KEYS}/report"), &report).await.expect(200);
}

#[tokio::test]
async fn keys_api_may_do_what_its_operations_need() {
    let app = TestApp::start().await;
    let keys = app.keys();
    reach_limit(&app, &keys, KEYS).await;
    let path = pool_key(&app, "one").await;
    pool_key(&app, "two").await;
    let _ = keys.get(&format!("{KEYS}?limit=1")).await.expect(200);
    let _ = keys.get(&format!("{KEYS}?provider_name=openrouter")).await.expect(200);
    let _ = keys.patch(&path, &json!({ "is_primary": true, "key_label": "Production" })).await.expect(200);
    let once = keys.clone().header("idempotency-key", "one");
    let acquired = once.post(&format!("{KEYS}/acquire"), &json!({ "provider_name": "openrouter" })).await;
    let _ = acquired.expect(200);
    use_key(&app, "error").await;
    app.advance(86_400);
    use_key(&app, "success").await;
    let rotation = json!({ "credentials": { "api_key": app.demo.openrouter_api_keys[1] } });
    let _ = keys.post(&format!("{path}/rotate"), &rotation).await.expect(200);
    schedule_deletion_of_key(&app).await;
    app.advance(61);
    let _ = keys.post_empty(&format!("{path}/test")).await.expect(200);
    let _ = keys.post_empty(&format!("{path}/reset")).await.expect(200);
    let _ = keys.post_empty(&format!("{KEYS}/sync-billing")).await.expect(200);
    let _ = keys.get(&format!("{path}/usage")).await.expect(200);
    let _ = keys.get(&format!("{KEYS}/health")).await.expect(200);
    let _ = keys.delete(&path).await.expect(200);
    compare("keys-api", &[app.proxy.calls(), app.proxy.calls_aside()].concat());
}

#[tokio::test]
async fn keys_monitor_may_do_what_a_run_needs() {
    let app = TestApp::start().await;
    pool_key(&app, "one").await;
    use_key(&app, "invalid_key").await;
    schedule_deletion_of_key(&app).await;
    app.advance(300);
    app.proxy.forget_calls();
    let ran = app.invoke("keys-monitor", &app.scheduled_event()).await.expect(200);
    assert_eq!((&ran["valid"], &ran["finished"]), (&json!(1), &json!(true)));
    compare("keys-monitor", &app.proxy.calls());
}

#[tokio::test]
async fn keys_billing_may_do_what_a_run_needs() {
    let app = TestApp::start().await;
    pool_key(&app, "one").await;
    use_key(&app, "success").await;
    schedule_deletion_of_key(&app).await;
    app.advance(3_600);
    app.proxy.forget_calls();
    let ran = app.invoke("keys-billing", &app.scheduled_event()).await.expect(200);
    assert_eq!((&ran["synced"], &ran["finished"]), (&json!(1), &json!(true)));
    compare("keys-billing", &app.proxy.calls());
}

/// What AWS is asked for, as a function of its own would: nothing is remembered of what others read.
async fn run_alone(app: &TestApp, function: &str) -> Value {
    let aws = shared::config::AwsConfig::emulated(app.proxy.address(), app.proxy.address());
    let egress = app.platform.egress.clone();
    let platform = shared::Platform::with_egress(&aws, egress, app.platform.ids.clone());
    let functions = local::stack::functions(&platform);
    functions[function].invoke(app.scheduled_event(), std::time::Duration::from_secs(290)).await.unwrap()
}

async fn schedule_deletion_of(app: &TestApp, secret: &str) {
    app.secrets.delete_secret().secret_id(secret).recovery_window_in_days(7).send().await.unwrap();
}

#[tokio::test]
async fn vaults_api_may_do_what_its_operations_need() {
    use crate::vaults::fixtures::{CONNECTIONS, ENVIRONMENT, SECRETS, SYNC, asks, ready};

    let (app, id) = ready(json!({ "A": "1" })).await;
    let vaults = app.vaults();
    for path in ["/v1/integrations", "/v1/vaults", CONNECTIONS, SECRETS, &format!("{ENVIRONMENT}/versions")] {
        let _ = vaults.get(path).await.expect(200);
    }
    let _ = vaults.patch(SECRETS, &json!({ "A": "2" })).await.expect(200);
    let _ = vaults.post(&format!("{ENVIRONMENT}/rollback"), &json!({ "version": 1 })).await.expect(200);
    let _ = vaults.post(SYNC, &asks(&id, json!({}))).await.expect(200);
    let _ = vaults.get(&format!("{SYNC}/history")).await.expect(200);
    let _ = vaults.get(&format!("{SYNC}/links")).await.expect(200);
    schedule_deletion_of(&app, &format!("causeway/acme/vaults/{id}")).await;
    app.advance(61);
    let query = format!("connectionId={id}&projectId=prj_1");
    let _ = vaults.get(&format!("{SYNC}/status?{query}")).await.expect(200);
    let _ = vaults.delete(&format!("{CONNECTIONS}/{id}")).await.expect(204);
    let calls = [app.proxy.calls(), app.proxy.calls_aside()].concat();
    reach_limit(&app, &vaults, "/v1/vaults").await;
    compare("vaults-api", &[calls, app.proxy.calls()].concat());
}

#[tokio::test]
async fn vaults_sync_may_do_what_a_run_needs() {
    use crate::vaults::fixtures::{CONNECTIONS, SECRETS, SYNC, asks, put};

    let app = TestApp::start().await;
    let id = crate::vaults::refresh::connect_railway(&app).await;
    put(&app.vaults(), json!({ "A": "1" })).await;
    let body = asks(&id, json!({ "projectId": "prj_r", "auto": true }));
    assert_eq!(app.vaults().post(SYNC, &body).await.expect(200)["data"]["status"], "success");
    put(&app.vaults(), json!({ "A": "2" })).await;
    let environment = app.secret_names().await.into_iter().find(|name| name.contains("/env_")).unwrap();
    schedule_deletion_of(&app, &environment).await;
    // The token has ended meanwhile.
    app.advance(3_601);
    app.proxy.forget_calls();
    assert_eq!(run_alone(&app, "vaults-sync").await["pushed"], 1);
    let pushed = app.proxy.calls();
    assert_eq!(app.fakes.railway.values("prj_r", "env_p", None), [("A".to_owned(), "2".to_owned())]);
    // A sync that makes a link again while its connection is being deleted, which then cannot be removed.
    let _ = app.vaults().patch(SECRETS, &json!({ "A": "3" })).await.expect(200);
    let connection = id.clone();
    let of_connection = move |body: &Value| {
        let body = body.to_string();
        body.contains("\"Delete\"") && body.contains(&connection)
    };
    let deletion = app.proxy.inject(Fault::Hold).on("TransactWriteItems").when(of_connection).always();
    let meanwhile = async {
        deletion.struck().await;
        assert_eq!(app.vaults().post(SYNC, &body).await.expect(200)["data"]["status"], "success");
        app.proxy.inject(Fault::ServerError).on("Query").always();
        deletion.release();
    };
    let vaults = app.vaults();
    let path = format!("{CONNECTIONS}/{id}");
    let (deleted, ()) = futures::join!(vaults.delete(&path), meanwhile);
    let _ = deleted.expect(204);
    app.proxy.clear();
    let _ = app.vaults().patch(SECRETS, &json!({ "A": "4" })).await.expect(200);
    app.proxy.forget_calls();
    assert_eq!(run_alone(&app, "vaults-sync").await["removed"], 1);
    compare("vaults-sync", &[pushed, app.proxy.calls()].concat());
}

#[tokio::test]
async fn vaults_refresh_may_do_what_a_run_needs() {
    let app = TestApp::start().await;
    let id = crate::vaults::refresh::connect_railway(&app).await;
    schedule_deletion_of(&app, &format!("causeway/acme/vaults/{id}")).await;
    app.advance(3_000);
    app.proxy.forget_calls();
    assert_eq!(run_alone(&app, "vaults-refresh").await["renewed"], 1);
    compare("vaults-refresh", &app.proxy.calls());
}

#[tokio::test]
async fn sweep_may_do_what_a_sweep_needs() {
    let app = TestApp::start().await;
    let kept = create_slack(&app, "one").await;
    schedule_deletion(&app, &create_slack(&app, "two").await).await;
    // What an interrupted change leaves: a version that no item came to name.
    let version = "0f0e0d0c-0b0a-4908-8706-050403020100";
    let left = app.secrets.put_secret_value().secret_id(format!("causeway/acme/services/{kept}")).secret_string("{}");
    let left = left.client_request_token(version).version_stages(format!("keep-{version}"));
    left.send().await.unwrap();
    // More than a page of orphans, so that a sweep without time has to remember where it stopped.
    for number in 0..100 {
        let orphan = app.secrets.create_secret().name(format!("causeway/acme/services/int_{number:021}"));
        orphan.secret_string("{}").send().await.unwrap();
    }
    app.proxy.forget_calls();
    let functions = local::stack::functions(&app.platform);
    let without_time = std::time::Duration::from_secs(10);
    let begun = functions["sweep"].invoke(app.scheduled_event_in(7200), without_time).await.unwrap();
    assert_eq!(begun["finished"], false, "{begun}");
    let ended = app.invoke("sweep", &app.scheduled_event_in(7200)).await.expect(200);
    assert_eq!(ended["finished"], true, "{ended}");
    assert_eq!(app.secret_names().await.len(), 2);
    compare("sweep", &app.proxy.calls());
}

#[test]
fn no_function_reaches_what_is_not_its_own() {
    for function in Template::embedded().unwrap().functions().unwrap().keys() {
        let (group, rest) = function.split_once('-').unwrap_or((function, ""));
        let grants = grants(function);
        for grant in &grants {
            let vague = grant.actions.iter().find(|action| action.contains('*') || *action == "dynamodb:Scan");
            assert_eq!(vague, None, "{function}: {grant:?}");
            let wide = |pattern: &&String| pattern.starts_with("arn:aws:dynamodb") && pattern.contains('*');
            assert_eq!(grant.resources.iter().find(wide), None, "{function}: {grant:?}");
        }
        let actions =
            grants.iter().flat_map(|grant| &grant.actions).filter(|action| *action != "secretsmanager:ListSecrets");
        for action in actions {
            let may = |secret: &str| {
                let need = Need { action: action.clone(), resource: format!("{SECRETS}{secret}-AbCdEf") };
                grants.iter().any(|grant| grant.covers(&need))
            };
            // The stack's own secrets, and another stack's.
            for secret in ["causeway/operator/other", "other/acme/services/int_0"] {
                assert!(!may(secret), "{function} may {action} on {secret}");
            }
            let connects = group == "vaults" && action == "secretsmanager:GetSecretValue";
            assert!(connects || !may("causeway/oauth/vercel"), "{function} may {action} on OAuth clients");
            let signs = rest == "api" || function == "vaults-sync";
            let reads_key = signs && action == "secretsmanager:GetSecretValue";
            assert!(reads_key || !may("causeway/operator/signing-key"), "{function} may {action} on the signing key");
            // Another group's, but for what works for all groups.
            assert!(rest.is_empty() || !may(&format!("causeway/acme/not-{group}/int_0")), "{function} may {action}");
        }
    }
}

#[test]
fn patterns_match_as_iams_do() {
    for (pattern, text) in
        [("*", ""), ("*", "a/b"), ("a*c", "ac"), ("a*c", "abbc"), ("a/*/c/*", "a/x/y/c/d"), ("ab", "ab")]
    {
        assert!(matches(pattern, text), "{pattern} {text}");
    }
    for (pattern, text) in [("", "a"), ("a*c", "abcd"), ("a/*/c/*", "a/c"), ("ab", "abc"), ("b*", "ab")] {
        assert!(!matches(pattern, text), "{pattern} {text}");
    }
}
