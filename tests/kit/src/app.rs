//! `TestApp`: the whole stack on a free port, as `causeway dev --sandbox` runs it, with everything in a test's hands.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use fakes::{Demo, Fakes};
use http::{HeaderMap, Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use local::demo::{self, DemoTenant};
use local::emulators::{Data, Emulators};
use local::secrets_manager::Options;
use local::stack::Stack;
use local::streams::{TableStream, events_for};
use local::template::{FunctionDefinition, Template};
use serde_json::{Value, json};
use shared::Platform;
use shared::clock::{FixedClock, Ids, SystemRandom};
use shared::config::{AwsConfig, EgressConfig, Policy};
use shared::egress::Egress;
use shared::table::keys;

use crate::fault_proxy::{FaultProxy, Service};
use crate::logs;
use crate::metrics::Recorder;
use crate::names::MadeUpNames;
use crate::runtime_api::RuntimeApi;

/// The whole stack on a free port: embedded DynamoDB and Secrets Manager behind a fault proxy, fakes for the outside, a
/// clock that stands still until told, names that the test makes up. Tokens are not limited, and what writes the audit log
/// is set aside in the proxy, so that what an operation itself does stands by itself. Neither schedules nor the table's stream start anything
/// by themselves.
#[derive(Debug)]
pub struct TestApp {
    /// The stack's URL.
    pub url: String,
    /// The outside providers.
    pub fakes: Fakes,
    /// Credentials that work at the fakes.
    pub demo: Demo,
    /// What stands between the functions and both AWS emulators.
    pub proxy: FaultProxy,
    /// Time, as the functions and Secrets Manager see it.
    pub clock: FixedClock,
    /// What host names resolve to, for addresses that users give.
    pub names: MadeUpNames,
    /// What the functions measure.
    pub metrics: Arc<Recorder>,
    /// The functions' platform, for looking at what is stored. It goes through the proxy.
    pub platform: Platform,
    /// The stack's Secrets Manager, past the proxy.
    pub secrets: aws_sdk_secretsmanager::Client,
    /// The stack's DynamoDB, past the proxy.
    pub table: aws_sdk_dynamodb::Client,
    tenants: Vec<DemoTenant>,
    http: reqwest::Client,
    stream: Mutex<TableStream>,
    definitions: BTreeMap<String, FunctionDefinition>,
    _stack: Stack,
    emulators: Emulators,
}

impl TestApp {
    /// An origin that browsers may be sent to.
    pub const APP: &str = "https://app.example.com";

    /// The moment at which the clock stands first.
    #[must_use]
    pub fn started_at() -> Timestamp {
        Timestamp::from_second(1_780_000_000).expect("a moment in range")
    }

    /// Starts one. Everything ends when it is dropped.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// The same with settings of the operator's.
    pub async fn start_with(settings: impl FnOnce(&mut EgressConfig)) -> Self {
        logs::collect();
        let clock = FixedClock::at(Self::started_at());
        let ids = Ids::new(Arc::new(clock.clone()), Arc::new(SystemRandom));
        let template = Template::embedded().expect("the template");
        let now = {
            let ids = ids.clone();
            move || ids.now()
        };
        let secrets = Options { now: Arc::new(now), ..Options::default() };
        let emulators = Emulators::start(&template, "causeway", Data::Memory, secrets).await.expect("the emulators");
        let proxy = FaultProxy::start(emulators.dynamodb).await.expect("the fault proxy");
        proxy.forward_service_to(Service::SecretsManager, emulators.secrets_manager);
        proxy.set_aside(|request| {
            let partition = request.pointer("/Item/pk/S").and_then(Value::as_str);
            partition.is_some_and(keys::audit::is_day)
        });
        let aws = AwsConfig::emulated(proxy.address(), proxy.address());
        let fakes = Fakes::start().await.expect("the fakes");
        let demo = fakes.seed_demo();
        let mut egress = EgressConfig { redirect_origins: vec![Self::APP.into()], ..EgressConfig::default() };
        local::dev::redirect(&mut egress, &fakes);
        settings(&mut egress);
        let names = MadeUpNames::default();
        let egress = Egress::with_names(egress, Arc::new(names.clone()));
        let metrics = Arc::new(Recorder::default());
        let platform = Platform::with_egress(&aws, egress, ids).heard_by(metrics.clone());
        let tenants = demo::tenants(&platform, Vec::new()).await.expect("the tenants");
        let listener = Stack::bind(0).await.expect("a free port");
        let stack = Stack::serve(listener, &platform, &template, None).await.expect("the stack");
        // As on AWS: the operator's OAuth clients are secrets.
        for (provider, client) in fakes.add_oauth_clients(&format!("{}/vaults", stack.url())) {
            let secret = json!({ "client_id": client.id, "client_secret": client.secret, "slug": client.slug });
            let path = format!("oauth/{provider}");
            platform.credentials.ensure_own(&path, &secret.to_string().into()).await.expect("a secret");
        }
        proxy.forget_calls();
        let past = Platform::with_egress(
            &AwsConfig::emulated(emulators.dynamodb, emulators.secrets_manager),
            Egress::new(EgressConfig::default()),
            Ids::default(),
        );
        Self {
            url: stack.url(),
            fakes,
            demo,
            proxy,
            clock,
            names,
            metrics,
            platform,
            secrets: past.credentials.client().clone(),
            table: past.table.client().clone(),
            tenants,
            // Nothing in here speaks TLS, and reading the machine's trust roots takes its time.
            http: reqwest::Client::builder()
                .no_proxy()
                .tls_certs_only([])
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .expect("a client"),
            stream: Mutex::new(emulators.stream().expect("the stream")),
            definitions: template.functions().expect("the functions"),
            _stack: stack,
            emulators,
        }
    }

    /// Another process with the same functions over the same table and secrets, under a policy of its own.
    pub async fn another(&self, policy: Policy) -> Process {
        let template = Template::embedded().expect("the template");
        let aws = AwsConfig::emulated(self.proxy.address(), self.proxy.address());
        let platform = Platform::with_egress(&aws, self.platform.egress.clone(), self.platform.ids.clone());
        let platform = platform.with_policy(policy);
        let listener = Stack::bind(0).await.expect("a free port");
        let stack = Stack::serve(listener, &platform, &template, None).await.expect("the stack");
        Process { url: stack.url(), _stack: stack }
    }

    /// A tenant: `acme` or `globex`.
    #[must_use]
    pub fn tenant(&self, name: &str) -> &DemoTenant {
        self.tenants.iter().find(|tenant| tenant.name == name).unwrap_or_else(|| panic!("no tenant {name}"))
    }

    /// The services group's client with all permissions, for `acme`.
    #[must_use]
    pub fn services(&self) -> Client {
        self.services_as(&self.tenant("acme").tokens.admin)
    }

    /// The services group's client with a token.
    #[must_use]
    pub fn services_as(&self, token: &str) -> Client {
        Client { http: self.http.clone(), base: format!("{}/services", self.url), headers: vec![] }
            .header("authorization", &format!("Bearer {token}"))
    }

    /// The wallets group's client with all permissions, for `acme`.
    #[must_use]
    pub fn wallets(&self) -> Client {
        let tenant = self.tenant("acme");
        self.wallets_as(tenant, &tenant.tokens.admin)
    }

    /// The wallets group's client with one of a tenant's tokens.
    #[must_use]
    pub fn wallets_as(&self, tenant: &DemoTenant, token: &str) -> Client {
        Client { http: self.http.clone(), base: format!("{}/wallets/api", self.url), headers: vec![] }
            .header("authorization", &format!("Bearer {token}"))
            .header("x-client-id", &tenant.client_id)
            .header("x-client-secret", &tenant.client_secret)
    }

    /// A reader of the table's stream of one's own.
    #[must_use]
    pub fn table_stream(&self) -> TableStream {
        self.emulators.stream().expect("the stream")
    }

    /// What Lambda would send functions of what was written to the table since this was last asked: each function's name
    /// with an event.
    #[must_use]
    pub fn stream_events(&self) -> Vec<(String, Value)> {
        let records = self.stream.lock().unwrap_or_else(PoisonError::into_inner).read().expect("the stream");
        let events = |definition: &FunctionDefinition| -> Vec<(String, Value)> {
            events_for(definition, &records).into_iter().map(|event| (definition.name.clone(), event)).collect()
        };
        self.definitions.values().flat_map(events).collect()
    }

    /// Sends them, one after the other, and gives the functions' answers.
    pub async fn deliver_stream(&self) -> Vec<Value> {
        let mut answers = Vec::new();
        for (function, event) in self.stream_events() {
            answers.push(self.invoke(&function, &event).await.expect(200));
        }
        answers
    }

    /// Lambda's Invoke API: `<function>/invocations` are its paths.
    #[must_use]
    pub fn lambda(&self) -> Client {
        Client { http: self.http.clone(), base: format!("{}/2015-03-31/functions", self.url), headers: vec![] }
    }

    /// The environment of a function's real binary, as [`RuntimeApi`] sets it, with this stack's AWS and fakes behind it.
    #[must_use]
    pub fn environment(&self, api: &RuntimeApi, function: &str) -> Vec<(String, String)> {
        let mut environment = api.environment(function);
        let aws = self.proxy.url();
        let ours = [
            ("CAUSEWAY_STACK", "causeway".to_owned()),
            ("CAUSEWAY_TABLE", "causeway".to_owned()),
            ("AWS_ENDPOINT_URL_DYNAMODB", aws.clone()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", aws),
            ("CAUSEWAY_EGRESS_ALLOW", self.fakes.user_addresses().join(",")),
        ];
        environment.extend(ours.map(|(name, value)| (name.to_owned(), value)));
        let fakes = self.fakes.endpoints().into_iter();
        environment.extend(fakes.map(|(upstream, url)| (format!("CAUSEWAY_ENDPOINT_{upstream}"), url)));
        let keys = self.fakes.operator_keys().into_iter();
        environment.extend(keys.map(|(upstream, key)| (format!("CAUSEWAY_{upstream}_API_KEY"), key.to_owned())));
        environment
    }

    /// The keys group's client with all permissions, for `acme`.
    #[must_use]
    pub fn keys(&self) -> Client {
        self.keys_as(&self.tenant("acme").tokens.admin)
    }

    /// The keys group's client with a token.
    #[must_use]
    pub fn keys_as(&self, token: &str) -> Client {
        Client { http: self.http.clone(), base: format!("{}/keys", self.url), headers: vec![] }
            .header("authorization", &format!("Bearer {token}"))
    }

    /// The vaults group's client with all permissions, for `acme`.
    #[must_use]
    pub fn vaults(&self) -> Client {
        self.vaults_as(&self.tenant("acme").tokens.admin)
    }

    /// The vaults group's client with a token.
    #[must_use]
    pub fn vaults_as(&self, token: &str) -> Client {
        Client { http: self.http.clone(), base: format!("{}/vaults", self.url), headers: vec![] }
            .header("authorization", &format!("Bearer {token}"))
    }

    /// Opens an address as a browser would, without following it anywhere.
    pub async fn browse(&self, url: &str) -> Answer {
        let redirects = reqwest::redirect::Policy::none();
        let browser = reqwest::Client::builder().no_proxy().tls_certs_only([]).redirect(redirects).build();
        Answer::of(browser.expect("a client").get(url).send().await.expect("an answer")).await
    }

    /// Moves the clock on.
    pub fn advance(&self, seconds: i64) {
        self.clock.advance(SignedDuration::from_secs(seconds));
    }

    /// Invokes a function through Lambda's Invoke API.
    pub async fn invoke(&self, function: &str, event: &Value) -> Answer {
        let url = format!("{}/2015-03-31/functions/{function}/invocations", self.url);
        Answer::of(self.http.post(url).body(event.to_string()).send().await.expect("an answer")).await
    }

    /// An EventBridge event of the present moment, with an id of its own.
    #[must_use]
    pub fn scheduled_event(&self) -> Value {
        local::stack::scheduled_event(&self.platform)
    }

    /// An EventBridge event of some seconds from now.
    #[must_use]
    pub fn scheduled_event_in(&self, seconds: i64) -> Value {
        let mut event = self.scheduled_event();
        let at = self.platform.ids.now().saturating_add(SignedDuration::from_secs(seconds)).expect("a moment in range");
        event.as_object_mut().expect("an object").insert("time".into(), json!(at));
        event
    }

    /// Every item but the audit log's, which outlives what it tells of.
    pub async fn items_to_be_removed(&self) -> String {
        let output = self.table.scan().table_name("causeway").send().await.expect("the table");
        let is_logged = |item: &HashMap<String, AttributeValue>| {
            item.get("pk").and_then(|pk| pk.as_s().ok()).is_some_and(|pk| keys::audit::is_day(pk))
        };
        format!("{:?}", output.items().iter().filter(|item| !is_logged(item)).collect::<Vec<_>>())
    }

    /// Every item of the table, as DynamoDB holds it.
    pub async fn all_items(&self) -> String {
        let output = self.table.scan().table_name("causeway").send().await.expect("the table");
        format!("{:?}", output.items())
    }

    /// The names of every secret that is not scheduled for deletion, the stack's own left out.
    pub async fn secret_names(&self) -> Vec<String> {
        let output = self.secrets.list_secrets().max_results(100).send().await.expect("the secrets");
        let names = output.secret_list().iter().filter_map(|secret| secret.name().map(str::to_owned));
        names.filter(|name| !name.contains("/operator/") && !name.contains("/oauth/")).collect()
    }
}

/// A process beside [`TestApp`]'s own. It ends when it is dropped.
#[derive(Debug)]
pub struct Process {
    /// Its URL.
    pub url: String,
    _stack: Stack,
}

impl Process {
    /// The same client, of this process.
    #[must_use]
    pub fn client(&self, of: &TestApp, client: &Client) -> Client {
        let base = client.base.strip_prefix(&of.url).expect("a client of the app's own");
        Client { base: format!("{}{base}", self.url), ..client.clone() }
    }
}

/// Sends requests to one group with one token.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    headers: Vec<(String, String)>,
}

impl Client {
    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same without a header.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(header, _)| header != name);
        self
    }

    /// Sends a request with these bytes as they are.
    pub async fn send(&self, method: Method, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.try_send(method, path, body).await.expect("an answer")
    }

    /// The same; an answer may fail to come.
    ///
    /// # Errors
    /// Whatever happened instead.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> Result<Answer, reqwest::Error> {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).body(body);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        Ok(Answer::of(request.timeout(Duration::from_secs(60)).send().await?).await)
    }

    async fn json(&self, method: Method, path: &str, body: &Value) -> Answer {
        self.clone().header("content-type", "application/json").send(method, path, body.to_string()).await
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, "").await
    }

    /// `POST` with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.json(Method::POST, path, body).await
    }

    /// `POST` without a body.
    pub async fn post_empty(&self, path: &str) -> Answer {
        self.send(Method::POST, path, "").await
    }

    /// `PUT` with a JSON body.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.json(Method::PUT, path, body).await
    }

    /// `PATCH` with a JSON body.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.json(Method::PATCH, path, body).await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, "").await
    }
}

/// An answer, read whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body as text.
    pub text: String,
}

impl Answer {
    async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, text: response.text().await.expect("a body") }
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}", self.text))
    }

    /// The body as JSON, if the status is this one.
    #[must_use]
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// A text of the body, by JSON pointer.
    #[must_use]
    #[track_caller]
    pub fn str(&self, pointer: &str) -> String {
        let value = self.json();
        let text = value.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_else(|| panic!("no text at {pointer} in {}", self.text)).to_owned()
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
