//! Secrets go nowhere but to Secrets Manager, to their provider, and to who may see them.
//!
//! Every secret that can be given is a canary, and looked for afterwards in everything that was answered, logged and stored.

use base64::Engine as _;
use fakes::{Answer as ProviderAnswer, Fault as ProviderFault, Host};
use http::{Method, StatusCode};
use kit::fault_proxy::Fault;
use kit::{Answer, Client, TestApp};
use secrecy::SecretString;
use serde_json::{Value, json};
use services::providers::{Config, ConfigChange};
use shared::auth::{Grant, Minted, Permission, Tenant, Token};
use shared::egress::{Egress, Upstream};
use shared::http::Fields;
use url::Url;

use super::fixtures::with;
use crate::canaries::{Canaries, assert_kept};

/// A config in which everything secret is a canary that no provider knows.
struct Planted {
    kind: &'static str,
    config: Value,
    /// Its secret keys alone.
    secrets: Value,
}

const CASES: [&str; 10] = [
    "discord",
    "slack webhook",
    "slack bot",
    "telegram",
    "sendgrid",
    "resend",
    "webhook",
    "web3",
    "ai-gateway",
    "ai-gateway elsewhere",
];

impl Planted {
    fn new(app: &TestApp, canaries: &mut Canaries, case: &str) -> Self {
        let mut canary = || canaries.plant(app);
        let (kind, secrets, plain) = match case {
            "discord" => {
                let url = format!("https://discord.com/api/webhooks/123/{}", canary());
                ("discord", json!({ "webhookUrl": url }), json!({}))
            }
            "slack webhook" => {
                let url = format!("https://hooks.slack.com/services/T0/B0/{}", canary());
                ("slack", json!({ "webhookUrl": url }), json!({}))
            }
            "slack bot" => ("slack", json!({ "apiKey": canary() }), json!({ "channel": "C0SANDBOX" })),
            "telegram" => ("telegram", json!({ "botToken": format!("12:{}", canary()) }), json!({ "chatId": "@ops" })),
            "sendgrid" => ("sendgrid", json!({ "apiKey": canary() }), json!({ "fromEmail": "a@sandbox.example" })),
            "resend" => ("resend", json!({ "apiKey": canary() }), json!({ "fromEmail": "a@sandbox.example" })),
            "webhook" => {
                let headers = json!({ "Authorization": format!("Bearer {}", canary()), canary(): canary() });
                let secrets = json!({ "headers": headers, "signingSecret": format!("whsec_{}", canary()) });
                ("webhook", secrets, json!({ "url": app.demo.webhook_url }))
            }
            "web3" => {
                let url = format!("{}/v3/{}?key={}", app.fakes.evm.host.origin(), canary(), canary());
                let plain = json!({ "address": app.demo.evm_address, "chainId": app.demo.evm_chain_id });
                ("web3", json!({ "rpcUrl": url }), plain)
            }
            "ai-gateway" => ("ai-gateway", json!({ "apiKey": canary() }), json!({})),
            "ai-gateway elsewhere" => {
                let plain = json!({ "baseUrl": app.demo.openai_compatible_base_url });
                ("ai-gateway", json!({ "apiKey": canary() }), plain)
            }
            other => panic!("no such case: {other}"),
        };
        Self { kind, config: with(plain, secrets.clone()), secrets }
    }

    fn body(&self) -> Value {
        json!({ "name": "mine", "type": self.kind, "config": self.config })
    }
}

/// A client whose every answer must be without canaries.
struct Watched<'a> {
    app: &'a TestApp,
    client: Client,
}

impl<'a> Watched<'a> {
    fn new(app: &'a TestApp) -> Self {
        Self { app, client: app.services() }
    }

    fn keyed(&self, key: &str) -> Self {
        Self { app: self.app, client: self.client.clone().header("idempotency-key", key) }
    }

    #[track_caller]
    fn seen(canaries: &Canaries, answer: Answer, what: &str) -> Answer {
        canaries.assert_absent(&answer.text, what);
        canaries.assert_absent(&format!("{:?}", answer.headers), what);
        answer
    }

    async fn post(&self, canaries: &Canaries, path: &str, body: &Value) -> Answer {
        Self::seen(canaries, self.client.post(path, body).await, path)
    }

    async fn put(&self, canaries: &Canaries, path: &str, body: &Value) -> Answer {
        Self::seen(canaries, self.client.put(path, body).await, path)
    }

    /// Whatever can be had of an integration without the permission to see secrets.
    async fn look(&self, canaries: &Canaries) {
        let reader = self.app.services_as(&self.app.tenant("acme").tokens.read_only);
        let list = Self::seen(canaries, reader.get("/api/integrations").await, "the list");
        for row in list.expect(200)["data"].as_array().unwrap() {
            let path = format!("/api/integrations/{}", row["id"].as_str().unwrap());
            let _ = Self::seen(canaries, reader.get(&path).await, &path).expect(200);
        }
        let _ = Self::seen(canaries, reader.get("/api/integration-types").await, "the types").expect(200);
    }
}

fn host<'a>(app: &'a TestApp, case: &str) -> Vec<&'a Host> {
    let fakes = &app.fakes;
    match case {
        "discord" => vec![&fakes.discord.host],
        "slack webhook" => vec![&fakes.slack.hooks],
        "slack bot" => vec![&fakes.slack.api],
        "telegram" => vec![&fakes.telegram.host],
        "sendgrid" => vec![&fakes.sendgrid.host, &fakes.sendgrid_eu.host],
        "resend" => vec![&fakes.resend.host],
        "webhook" => vec![&fakes.webhook.host],
        "web3" => vec![&fakes.evm.host],
        "ai-gateway" => vec![&fakes.ai_gateway.host],
        _ => vec![&fakes.openai_compatible.host],
    }
}

#[tokio::test]
async fn a_whole_life_of_every_type_shows_no_secret() {
    let app = TestApp::start().await;
    let mut canaries = Canaries::default();
    let to = json!({ "sendgrid": "b@sandbox.example", "resend": ["b@sandbox.example"] });
    for case in CASES {
        let planted = Planted::new(&app, &mut canaries, case);
        let watched = Watched::new(&app);
        // A key for idempotency is its sender's own business too.
        let key = canaries.plant(&app);
        let created = watched.keyed(&key).post(&canaries, "/api/integrations", &planted.body()).await;
        let _ = created.expect(201);
        let path = format!("/api/integrations/{}", created.str("/id"));
        // The canaries are where they belong: with who may see them, and with the provider.
        let shown = app.services().get(&path).await;
        assert_eq!(shown.expect(200)["config"], planted.config, "{case}");
        watched.look(&canaries).await;

        let tested = watched.keyed(&key).post(&canaries, &format!("{path}/test"), &json!({})).await;
        let _ = tested.expect(200);
        let pinged = watched.keyed(&canaries.plant(&app));
        let _ = pinged.post(&canaries, &format!("{path}/test"), &json!({ "sendPing": true })).await.expect(200);
        let requests = host(&app, case).into_iter().flat_map(Host::requests);
        let mut requests =
            requests.map(|request| format!("{} {:?} {:?}", request.path, request.query, request.headers));
        assert!(requests.any(|request| canaries.0.iter().any(|canary| request.contains(canary))), "{case}");

        let others = Planted::new(&app, &mut canaries, case);
        let overrides = json!({ "configOverrides": others.secrets });
        let _ = watched.keyed(&key).post(&canaries, &format!("{path}/test"), &overrides).await.expect(409);
        let key = canaries.plant(&app);
        let _ = watched.keyed(&key).post(&canaries, &format!("{path}/test"), &overrides).await.expect(200);
        let tried = json!({ "type": others.kind, "config": others.config, "sendPing": true });
        let _ = watched.keyed(&key).post(&canaries, "/api/integrations/test", &tried).await.expect(200);

        let mut message = json!({ "text": "hello" });
        if let Some(to) = to.get(planted.kind) {
            message["to"] = to.clone();
        }
        let sent = watched.keyed(&key).post(&canaries, &format!("{path}/send"), &message).await;
        assert!(matches!(sent.status.as_u16(), 200 | 400 | 502), "{}", sent.text);

        let changed = Planted::new(&app, &mut canaries, case);
        let _ = watched.put(&canaries, &path, &json!({ "config": changed.secrets })).await.expect(200);
        app.advance(86_400);
        let checked = app.invoke("services-check", &app.scheduled_event()).await;
        canaries.assert_absent(&checked.text, "services-check");
        watched.look(&canaries).await;
        assert_kept(&app, &canaries).await;

        let deleted = Watched::seen(&canaries, app.services().delete(&path).await, "delete");
        let _ = deleted.expect(200);
        assert_kept(&app, &canaries).await;
    }
}

/// A provider's answers that have the credential in every place where the provider might put one.
fn echoes(kind: &str, canary: &str) -> Vec<Value> {
    let sentence = format!("Bad Request: the credential {canary} is not one of ours");
    let mut echoes = vec![json!(sentence), json!({ "error": sentence, "message": sentence, "detail": sentence })];
    echoes.extend(match kind {
        "slack" => vec![
            json!({ "ok": false, "error": canary }),
            json!({ "ok": false, "error": sentence }),
            json!({ "ok": false, "error": "missing_scope", "needed": canary }),
        ],
        "discord" => vec![
            json!({ "code": 50_027, "message": sentence }),
            json!({ "code": 1, "message": canary }),
            json!({ "code": 50_035, "message": sentence, "errors": { (canary): { "_errors": [{ "message": sentence }] } } }),
        ],
        "telegram" => vec![
            json!({ "ok": false, "error_code": 400, "description": sentence }),
            json!({ "ok": false, "error_code": 400, "description": canary, "parameters": {} }),
        ],
        "sendgrid" => {
            vec![json!({ "errors": [{ "message": sentence, "field": canary }] }), json!({ "errors": [{ "message": canary }] })]
        }
        "resend" => vec![
            json!({ "statusCode": 400, "name": "validation_error", "message": sentence }),
            json!({ "statusCode": 400, "name": canary, "message": sentence }),
            json!({ "object": "list", "data": [{ "id": "1", "name": "sandbox.example", "status": canary }] }),
        ],
        "web3" => vec![
            json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": -32_000, "message": sentence, "data": canary } }),
            json!({ "jsonrpc": "2.0", "id": 1, "result": canary }),
        ],
        "ai-gateway" => vec![
            json!({ "error": { "message": sentence, "type": canary, "code": canary } }),
            json!({ "balance": canary, "total_used": canary }),
        ],
        _ => vec![],
    });
    echoes
}

#[tokio::test]
async fn a_provider_that_echoes_the_credential_is_not_repeated() {
    let app = TestApp::start().await;
    let mut canaries = Canaries::default();
    for case in CASES {
        let planted = Planted::new(&app, &mut canaries, case);
        let watched = Watched::new(&app);
        let created = watched.post(&canaries, "/api/integrations", &planted.body()).await;
        let path = format!("/api/integrations/{}", created.str("/id"));
        let newest = canaries.0.last().unwrap().clone();
        let is_email = planted.config.get("fromEmail").is_some();
        let to = if is_email { json!({ "to": "b@sandbox.example" }) } else { json!({}) };
        let message = with(json!({ "text": "hello" }), to);
        for body in echoes(planted.kind, &newest) {
            for status in [200, 302, 400, 401, 403, 404, 422, 429, 500] {
                let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
                let kind = if body.is_string() { "text/plain" } else { "application/json" };
                let answer = ProviderAnswer::status(status).header("content-type", kind);
                let answer = ["retry-after", "location", "x-oauth-scopes", "x-request-id", "ratelimit-reset"]
                    .iter()
                    .fold(answer, |answer, header| answer.header(header, &newest));
                let answer = answer.body(text);
                for host in host(&app, case) {
                    host.faults().clear();
                    host.faults().all(ProviderFault::Answer(answer.clone()));
                }
                for (call, body) in [("test", json!({ "sendPing": status == 302 })), ("send", message.clone())] {
                    let answer = app.services().post(&format!("{path}/{call}"), &body).await;
                    canaries.assert_absent(&answer.text, &format!("{case}, {call}, HTTP {status}: {body}"));
                    canaries.assert_absent(&format!("{:?}", answer.headers), &format!("{case}, {call}, HTTP {status}"));
                }
            }
            watched.look(&canaries).await;
        }
        assert_kept(&app, &canaries).await;
    }
}

#[tokio::test]
async fn what_is_refused_is_not_repeated() {
    let app = TestApp::start().await;
    let mut canaries = Canaries::default();
    let watched = Watched::new(&app);
    let planted = Planted::new(&app, &mut canaries, "webhook");
    let created = watched.post(&canaries, "/api/integrations", &planted.body()).await;
    let path = format!("/api/integrations/{}", created.str("/id"));
    for case in CASES {
        let planted = Planted::new(&app, &mut canaries, case);
        for (key, value) in planted.secrets.as_object().unwrap() {
            let secret = canaries.plant(&app);
            let too_long = format!("{value}{}", "x".repeat(10_000));
            for wrong in [
                json!({ "value": value }),
                json!([value]),
                json!(too_long),
                json!(format!("{secret}\u{7}")),
                json!({ "Header": { "nested": secret } }),
                json!({ "Header": format!("{secret}\n") }),
                json!({ "Host": secret }),
                json!({ "no token:": secret }),
                json!(format!("ftp://{secret}/")),
                json!(format!("https://{secret}:{secret}@localhost/{secret}")),
                json!(format!("http://10.0.0.1/{secret}")),
            ] {
                let config = with(planted.config.clone(), json!({ (key): wrong }));
                let create = json!({ "name": "mine", "type": planted.kind, "config": config });
                let key = canaries.plant(&app);
                watched.keyed(&key).post(&canaries, "/api/integrations", &create).await;
                let tried = json!({ "type": planted.kind, "config": create["config"] });
                watched.keyed(&key).post(&canaries, "/api/integrations/test", &tried).await;
                watched.put(&canaries, &path, &json!({ "config": create["config"] })).await;
                let overrides = json!({ "configOverrides": create["config"] });
                watched.keyed(&key).post(&canaries, &format!("{path}/test"), &overrides).await;
            }
        }
        // What is right by itself, refused for what stands beside it.
        for body in [
            json!({ "name": "", "type": planted.kind, "config": planted.config }),
            json!({ "name": "mine", "type": "nothing", "config": planted.config }),
            json!({ "name": "mine", "type": planted.kind, "config": planted.config, "more": canaries.plant(&app) }),
            json!({ "name": "mine", "type": planted.kind, "config": with(planted.config.clone(), json!({ "more": canaries.plant(&app) })) }),
            json!({ "name": [canaries.plant(&app)], "type": canaries.plant(&app), "config": canaries.plant(&app) }),
        ] {
            let _ = watched.keyed(&canaries.plant(&app)).post(&canaries, "/api/integrations", &body).await.expect(400);
        }
    }
    let secret = canaries.plant(&app);
    for body in
        [format!("{{\"apiKey\": \"{secret}\""), format!("\"{secret}\""), secret.clone(), format!("apiKey={secret}")]
    {
        for content_type in ["application/json", "application/x-www-form-urlencoded"] {
            let client = app.services().header("content-type", content_type).header("idempotency-key", &secret);
            let refused = client.send(Method::POST, "/api/integrations", body.clone()).await;
            assert!(refused.status.is_client_error(), "{}", refused.text);
            Watched::seen(&canaries, refused, "a body that is not JSON");
        }
    }
    watched.look(&canaries).await;
    assert_kept(&app, &canaries).await;
}

#[tokio::test]
async fn a_token_that_is_refused_is_not_repeated() {
    let app = TestApp::start().await;
    let mut canaries = Canaries::default();
    let token = canaries.plant(&app);
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("user:{token}"));
    let headers = [
        ("authorization", format!("Bearer {token}")),
        ("authorization", format!("Bearer cwy_{token}")),
        ("authorization", format!("Basic {basic}")),
        ("authorization", token.clone()),
        ("x-api-key", token.clone()),
        ("cookie", format!("session={token}")),
    ];
    for (name, value) in headers {
        let client = app.services().without("authorization").header(name, &value);
        for path in ["/api/integrations", "/api/integrations/int_000000000000000000000", "/api/nothing"] {
            for method in [Method::GET, Method::POST, Method::DELETE] {
                let refused = client.send(method, path, "{}").await;
                assert!(refused.status.is_client_error(), "{}", refused.text);
                Watched::seen(&canaries, refused, path);
            }
        }
    }
    // Where some put a token.
    for path in [
        format!("/api/integrations?type={token}"),
        format!("/api/integrations?cursor={token}"),
        format!("/api/integrations?limit={token}"),
        format!("/api/integrations?token={token}"),
        format!("/api/integrations/{token}"),
        format!("/api/{token}"),
    ] {
        Watched::seen(&canaries, app.services().get(&path).await, &path);
    }
    assert_kept(&app, &canaries).await;
}

#[tokio::test]
async fn whatever_fails_at_aws_tells_no_secret() {
    let app = TestApp::start().await;
    let mut canaries = Canaries::default();
    let refused = |service: &str| {
        let body = json!({ "__type": format!("{service}Exception"), "Message": "No.", "message": "No." });
        Fault::Status(StatusCode::BAD_REQUEST, body.to_string())
    };
    for fault in [Fault::ServerError, Fault::Throttle, Fault::LoseAnswer, Fault::Refuse, refused("Validation")] {
        for operation in ["CreateSecret", "PutSecretValue", "GetSecretValue", "DeleteSecret", "PutItem", "DeleteItem"] {
            let watched = Watched::new(&app);
            let planted = Planted::new(&app, &mut canaries, "webhook");
            let created = watched.post(&canaries, "/api/integrations", &planted.body()).await;
            let path = format!("/api/integrations/{}", created.str("/id"));
            app.advance(61);
            app.proxy.inject(fault.clone()).on(operation).always();
            let others = Planted::new(&app, &mut canaries, "webhook");
            let key = canaries.plant(&app);
            watched.keyed(&key).post(&canaries, "/api/integrations", &others.body()).await;
            watched.put(&canaries, &path, &json!({ "config": others.secrets })).await;
            watched.post(&canaries, &format!("{path}/test"), &json!({ "configOverrides": others.secrets })).await;
            watched.post(&canaries, &format!("{path}/send"), &json!({ "text": "hello" })).await;
            let ran = app.invoke("services-check", &app.scheduled_event()).await;
            canaries.assert_absent(&ran.text, "services-check");
            let gone = app.services().delete(&path).await;
            Watched::seen(&canaries, gone, &path);
            app.proxy.clear();
            watched.look(&canaries).await;
        }
    }
    assert_kept(&app, &canaries).await;
}

#[tokio::test]
async fn printing_what_holds_a_secret_does_not_print_it() {
    let app = TestApp::start().await;
    let mut canaries = Canaries::default();
    let mut printed: Vec<(&str, String)> = Vec::new();
    let kinds = services::model::Kind::ALL;
    for case in CASES {
        let planted = Planted::new(&app, &mut canaries, case);
        let kind = kinds.iter().find(|kind| kind.name() == planted.kind).unwrap();
        let given = planted.config.as_object().unwrap().clone();
        let fields = kind.provider().fields();
        let change = ConfigChange::parse(fields, "config", given.clone()).unwrap();
        printed.push(("a request's fields", format!("{:#?}", Fields::of(given))));
        printed.push(("a change", format!("{change:?}")));
        let config = Config::default().changed_by(change);
        printed.push(("a config", format!("{config:?}")));
        printed.push(("its secret part", format!("{:?}", config.secret_document())));
    }
    let text = canaries.plant(&app);
    printed.push(("a token", format!("{:?}", Token::shown(&text))));
    let secret = SecretString::from(text.clone());
    let tenant = Tenant::parse("acme").unwrap();
    let grant = Grant {
        tenant,
        user: "user".into(),
        name: "name".into(),
        permissions: vec![Permission::ServicesRead],
        expires_at: None,
        client: Some(("client".into(), secret.clone())),
    };
    printed.push(("a grant", format!("{grant:?}")));
    let minted: Minted = app.platform.tokens.mint(grant).await.unwrap();
    canaries.0.push(minted.token.reveal().to_ascii_lowercase());
    printed.push(("a minted token", format!("{minted:?}")));
    let egress: &Egress = &app.platform.egress;
    let url = Url::parse(&format!("https://example.com/{text}?key={text}")).unwrap();
    for outgoing in [
        egress.user_url(Method::POST, &url).json(&json!({ "key": text })),
        egress.upstream(Method::POST, Upstream::Telegram, &format!("/bot{text}/getMe")),
        egress.upstream(Method::GET, Upstream::Resend, "/domains").bearer(&secret).secret_header("x-key", &secret),
        egress.upstream(Method::GET, Upstream::Resend, "/domains").query(&[("key", &text)]),
    ] {
        printed.push(("a request to a provider", format!("{outgoing:?}")));
    }
    printed.push(("the platform", format!("{:?}", app.platform)));
    printed.push(("a demo tenant", format!("{:?}", app.tenant("acme"))));
    canaries.0.push(app.tenant("acme").client_secret.clone());
    canaries.0.push(app.tenant("acme").tokens.admin.to_ascii_lowercase());
    for (what, printed) in printed {
        canaries.assert_absent(&printed, what);
    }
}
