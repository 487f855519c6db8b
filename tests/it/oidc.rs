//! JWTs of the operator's issuer: what they open, and everything that is tried with bad ones.

use fakes::Fault;
use fakes::issuer::{Algorithm, DISCOVERY, Issuer, Key, signing_input};
use http::Method;
use kit::{Answer, Client, TestApp};
use serde_json::{Value, json};
use shared::auth::{Grant, SigningAlgorithm, Tenant};
use shared::config::OidcConfig;
use shared::egress::Allowed;

const AUDIENCE: &str = "https://api.example.com";

/// A stack with an issuer that has one key.
struct Stage {
    app: TestApp,
    issuer: Issuer,
    key: Key,
}

impl Stage {
    async fn start() -> Self {
        Self::with(Algorithm::Es256, |_| {}).await
    }

    async fn with(algorithm: Algorithm, set: impl FnOnce(&mut OidcConfig)) -> Self {
        let issuer = Issuer::start().await.unwrap();
        let key = issuer.add_key("first", algorithm).unwrap();
        let mut config = OidcConfig::new(issuer.url(), AUDIENCE);
        config.algorithm = SigningAlgorithm::named(algorithm.name()).unwrap();
        set(&mut config);
        let address = Allowed::parse(&issuer.host.address().to_string()).unwrap();
        let app = TestApp::start_with(|egress| {
            egress.allow.push(address);
            egress.oidc = Some(config);
        })
        .await;
        Self { app, issuer, key }
    }

    fn seconds(&self) -> i64 {
        self.app.platform.ids.now().as_second()
    }

    fn claims(&self) -> Value {
        let now = self.seconds();
        json!({
            "iss": self.issuer.url(), "aud": AUDIENCE, "exp": now + 300, "nbf": now, "iat": now,
            "sub": "user_1", "tenant": "acme", "permissions": ["services:read", "services:write"],
        })
    }

    /// The claims, with one of them as it is given, or without it.
    fn claims_with(&self, name: &str, value: Value) -> Value {
        let mut claims = self.claims();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value;
        }
        claims
    }

    fn sign(&self, key: &Key, claims: &Value) -> String {
        key.sign(&key.header(), claims).unwrap()
    }

    /// An ordinary token.
    fn token(&self) -> String {
        self.sign(&self.key, &self.claims())
    }

    fn services(&self, token: &str) -> Client {
        self.app.services_as(token)
    }

    async fn list(&self, token: &str) -> Answer {
        self.services(token).get("/api/integrations").await
    }

    /// Whether a fresh token of this key works, as a status.
    async fn status_of(&self, key: &Key) -> u16 {
        self.list(&self.sign(key, &self.claims())).await.status.as_u16()
    }

    /// How often the table was asked for a token, or for a tenant's tokens.
    fn look_ups(&self) -> usize {
        let calls = self.app.proxy.calls();
        let requests = calls.iter().map(|call| call.request.to_string());
        requests.filter(|request| request.contains("TOKEN#") || request.contains("#tokens")).count()
    }

    /// The stack's clock goes on; so does everything that asks it.
    fn advance(&self, seconds: i64) {
        self.app.advance(seconds);
    }
}

async fn create(client: &Client) -> String {
    let config = json!({ "webhookUrl": "https://hooks.slack.com/services/T1/B1/x" });
    let created =
        client.post("/api/integrations", &json!({ "name": "My Slack", "type": "slack", "config": config })).await;
    created.expect(201)["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_token_of_each_algorithm_opens_what_its_claims_say_without_a_look_at_the_table() {
    for algorithm in [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::EdDsa] {
        let stage = Stage::with(algorithm, |_| {}).await;
        let token = stage.token();
        stage.app.proxy.forget_calls();
        let _ = stage.list(&token).await.expect(200);
        assert_eq!(stage.look_ups(), 0, "{algorithm:?}");
        assert_eq!((stage.issuer.fetches(), stage.issuer.host.calls(DISCOVERY)), (1, 1));
        // It is the same tenant as that of the tokens that are minted.
        let id = create(&stage.services(&token)).await;
        let path = format!("/api/integrations/{id}");
        let _ = stage.app.services().get(&path).await.expect(200);
        let globex = stage.sign(&stage.key, &stage.claims_with("tenant", json!("globex")));
        let _ = stage.services(&globex).get(&path).await.expect(404);
        assert_eq!(stage.list(&globex).await.expect(200)["data"], json!([]));
        assert_eq!(stage.issuer.fetches(), 1);
    }
}

#[tokio::test]
async fn a_token_may_do_what_it_lists_and_nothing_else() {
    let stage = Stage::start().await;
    let body = json!({ "name": "x", "type": "slack", "config": {} });
    for (permissions, may_read) in [
        (json!(["services:read"]), true),
        (json!("openid services:read email"), true),
        (json!(["services:*", "admin", "keys:read"]), false),
        (json!({ "services:read": true }), false),
        (Value::Null, false),
    ] {
        let token = stage.sign(&stage.key, &stage.claims_with("permissions", permissions.clone()));
        let listed = stage.list(&token).await;
        assert_eq!(listed.status, if may_read { 200 } else { 403 }, "{permissions}");
        let refused = stage.services(&token).post("/api/integrations", &body).await;
        assert_eq!(refused.expect(403)["required_scope"], "services:write", "{permissions}");
    }
}

#[tokio::test]
async fn claims_are_read_where_the_operator_says() {
    let stage = Stage::with(Algorithm::Es256, |config| {
        config.tenant_claim = "https://example.com/tenant".into();
        config.user_claim = "email".into();
        config.permissions_claim = "scope".into();
    })
    .await;
    let mut claims = stage.claims();
    claims["tenant"] = json!("globex");
    claims["https://example.com/tenant"] = json!("acme");
    claims["scope"] = json!("openid services:read");
    let _ = stage.list(&stage.sign(&stage.key, &claims)).await.expect(401);
    claims["email"] = json!("user@example.com");
    let token = stage.sign(&stage.key, &claims);
    let _ = stage.list(&token).await.expect(200);
    let body = json!({ "name": "x", "type": "slack", "config": {} });
    let _ = stage.services(&token).post("/api/integrations", &body).await.expect(403);
}

#[tokio::test]
async fn whatever_is_wrong_with_a_token_it_is_told_no_more_than_an_unknown_one() {
    let stage = Stage::with(Algorithm::Rs256, |_| {}).await;
    let (key, now) = (&stage.key, stage.seconds());
    let other = Issuer::start().await.unwrap();
    other.add_key("spare", Algorithm::Rs256).unwrap();
    // The second RSA key of a process is another one than the first.
    let stranger = other.add_key("first", Algorithm::Rs256).unwrap();
    assert_ne!(stranger.jwk()["n"], key.jwk()["n"]);
    let with_header = |name: &str, value: Value| {
        let mut header = key.header();
        header[name] = value;
        key.sign(&header, &stage.claims()).unwrap()
    };
    let with_claim = |name: &str, value: Value| stage.sign(key, &stage.claims_with(name, value));
    let none = json!({ "alg": "none", "kid": "first", "typ": "JWT" });
    let hmac = json!({ "alg": "HS256", "kid": "first", "typ": "JWT" });
    let good = stage.token();
    let forged = format!("{}.{}", signing_input(&key.header(), &stage.claims_with("tenant", json!("globex"))), {
        good.rsplit('.').next().unwrap()
    });
    let wrong = [
        ("no algorithm", format!("{}.", signing_input(&none, &stage.claims()))),
        ("no algorithm, yet a signature", key.sign(&none, &stage.claims()).unwrap()),
        ("an HMAC with the public key", key.sign_with_the_public_key(&hmac, &stage.claims())),
        ("the same under the right name", key.sign_with_the_public_key(&key.header(), &stage.claims())),
        ("another algorithm", with_header("alg", json!("PS256"))),
        ("another spelling", with_header("alg", json!("rs256"))),
        ("an unknown key", with_header("kid", json!("second"))),
        ("a key for something else", with_header("kid", json!("for-encryption"))),
        ("no key", with_header("kid", Value::Null)),
        ("an extension", with_header("crit", json!(["exp"]))),
        ("another type", with_header("typ", json!("logout+jwt"))),
        ("another issuer's key of the same name", stranger.sign(&stranger.header(), &stage.claims()).unwrap()),
        ("a key that it brings along", {
            let header = json!({ "alg": "RS256", "kid": "first", "jwk": stranger.jwk(), "jku": other.url() });
            stranger.sign(&header, &stage.claims()).unwrap()
        }),
        ("a changed tenant", forged),
        ("another issuer", with_claim("iss", json!(other.url()))),
        ("another spelling of the issuer", with_claim("iss", json!(format!("{}/", stage.issuer.url())))),
        ("no issuer", with_claim("iss", Value::Null)),
        ("another audience", with_claim("aud", json!(["https://other.example.com"]))),
        ("no audience", with_claim("aud", Value::Null)),
        ("expired", with_claim("exp", json!(now))),
        ("no end", with_claim("exp", Value::Null)),
        ("an end that is no number", with_claim("exp", json!((now + 300).to_string()))),
        ("not valid yet", with_claim("nbf", json!(now + 61))),
        ("issued in the future", with_claim("iat", json!(now + 61))),
        ("no tenant", with_claim("tenant", Value::Null)),
        ("a tenant that reaches into another key", with_claim("tenant", json!("acme#tokens"))),
        ("a tenant that reaches into another secret", with_claim("tenant", json!("acme/services"))),
        ("the stack's own secrets", with_claim("tenant", json!("operator"))),
        ("several tenants", with_claim("tenant", json!(["acme"]))),
        ("no user", with_claim("sub", Value::Null)),
        ("too long", with_claim("padding", json!("x".repeat(8 * 1024)))),
        ("five parts", format!("{good}.x.y")),
        ("dots", "..".into()),
    ];
    stage.app.proxy.forget_calls();
    let unknown = stage.list("cwy_0000000000000000000000000000000000000000000").await.expect(401)["detail"].clone();
    assert_eq!(unknown, "The token is unknown, expired or revoked.");
    assert_eq!(stage.look_ups(), 1);
    for (what, token) in &wrong {
        let answer = stage.list(token).await;
        assert_eq!(answer.expect(401)["detail"], unknown, "{what}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{what}");
    }
    assert_eq!(stage.look_ups(), 1, "the table was asked for a JWT");
    let _ = stage.list(&good).await.expect(200);
    assert_eq!(other.host.requests().len(), 0);
    // 60 s is how far the issuer's clock may be ahead.
    let _ = stage.list(&with_claim("nbf", json!(now + 60))).await.expect(200);
}

#[tokio::test]
async fn a_token_stops_at_its_end_although_it_was_seen_before() {
    let stage = Stage::start().await;
    let token = stage.sign(&stage.key, &stage.claims_with("exp", json!(stage.seconds() + 30)));
    let _ = stage.list(&token).await.expect(200);
    stage.advance(29);
    let _ = stage.list(&token).await.expect(200);
    stage.advance(1);
    let _ = stage.list(&token).await.expect(401);
}

#[tokio::test]
async fn a_new_key_counts_at_once_and_a_removed_one_until_the_keys_are_fetched_again() {
    let stage = Stage::start().await;
    assert_eq!(stage.status_of(&stage.key).await, 200);
    stage.advance(30);
    let second = stage.issuer.add_key("second", Algorithm::Es256).unwrap();
    stage.issuer.remove_key("first");
    // Nobody has met the new one yet.
    assert_eq!((stage.status_of(&stage.key).await, stage.issuer.fetches()), (200, 1));
    assert_eq!((stage.status_of(&second).await, stage.issuer.fetches()), (200, 2));
    // The keys that were fetched for the new one have the old one no more.
    assert_eq!(stage.status_of(&stage.key).await, 401);

    let third = stage.issuer.add_key("third", Algorithm::Es256).unwrap();
    stage.issuer.remove_key("second");
    stage.advance(599);
    assert_eq!((stage.status_of(&second).await, stage.issuer.fetches()), (200, 2));
    stage.advance(1);
    assert_eq!((stage.status_of(&second).await, stage.issuer.fetches()), (401, 3));
    assert_eq!((stage.status_of(&third).await, stage.issuer.fetches()), (200, 3));
}

#[tokio::test]
async fn a_seen_token_of_a_removed_key_stops_once_the_keys_are_fetched_again() {
    let stage = Stage::start().await;
    let token = stage.sign(&stage.key, &stage.claims_with("exp", json!(stage.seconds() + 3_600)));
    let _ = stage.list(&token).await.expect(200);
    stage.issuer.remove_key("first");
    stage.advance(660);
    let _ = stage.list(&token).await.expect(401);
}

#[tokio::test]
async fn made_up_key_names_make_nobody_hammer_the_issuer() {
    let stage = Stage::start().await;
    assert_eq!((stage.status_of(&stage.key).await, stage.issuer.fetches()), (200, 1));
    let made_up = |number: usize| {
        let mut header = stage.key.header();
        header["kid"] = json!(format!("made up {number}"));
        stage.key.sign(&header, &stage.claims()).unwrap()
    };
    let tokens: Vec<String> = (0..40).map(made_up).collect();
    for (window, seconds) in [29, 1, 29, 1].into_iter().enumerate() {
        stage.advance(seconds);
        let answers = futures::future::join_all(tokens.iter().map(|token| stage.list(token))).await;
        assert!(answers.iter().all(|answer| answer.status == 401));
        assert_eq!(stage.issuer.fetches(), 1 + window.div_ceil(2), "after window {window}");
    }
    // What is good is not held up by it.
    assert_eq!(stage.status_of(&stage.key).await, 200);
}

#[tokio::test]
async fn many_first_tokens_at_once_fetch_the_keys_once() {
    let stage = Stage::start().await;
    let tokens: Vec<String> = (0..20).map(|_| stage.token()).collect();
    let answers = futures::future::join_all(tokens.iter().map(|token| stage.list(token))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!((stage.issuer.fetches(), stage.issuer.host.calls(DISCOVERY)), (1, 1));
}

#[tokio::test]
async fn while_the_issuer_has_never_answered_nothing_is_said_of_its_tokens() {
    let stage = Stage::start().await;
    let faults = stage.issuer.host.faults();
    faults.all(Fault::Answer(fakes::Answer::status(503)));
    let answer = stage.list(&stage.token()).await;
    let _ = answer.expect(500);
    assert!(!answer.text.contains("issuer"), "{}", answer.text);
    let asked = stage.issuer.host.requests().len();
    let _ = stage.list(&stage.token()).await.expect(500);
    assert_eq!(stage.issuer.host.requests().len(), asked, "it was asked again at once");
    // Tokens that are minted here do not depend on it, nor do tokens that are wrong whatever its keys are.
    let _ = stage.app.services().get("/api/integrations").await.expect(200);
    let unsigned = format!("{}.", signing_input(&json!({ "alg": "none", "kid": "first" }), &stage.claims()));
    let _ = stage.list(&unsigned).await.expect(401);
    faults.clear();
    stage.advance(4);
    let _ = stage.list(&stage.token()).await.expect(500);
    stage.advance(1);
    let _ = stage.list(&stage.token()).await.expect(200);
}

#[tokio::test]
async fn while_the_issuer_is_down_the_keys_that_are_known_count_for_a_day() {
    let stage = Stage::start().await;
    assert_eq!(stage.status_of(&stage.key).await, 200);
    let second = stage.issuer.add_key("second", Algorithm::Es256).unwrap();
    stage.issuer.host.faults().all(Fault::Close);
    stage.advance(600);
    assert_eq!(stage.status_of(&stage.key).await, 200);
    // It may be a new key: nobody can tell.
    assert_eq!(stage.status_of(&second).await, 500);
    stage.advance(86_400 - 601);
    assert_eq!(stage.status_of(&stage.key).await, 200);
    stage.advance(1);
    assert_eq!(stage.status_of(&stage.key).await, 500);
    stage.issuer.host.faults().clear();
    stage.advance(30);
    assert_eq!((stage.status_of(&stage.key).await, stage.status_of(&second).await), (200, 200));
}

#[tokio::test]
async fn what_does_not_lead_to_the_issuers_own_keys_is_not_followed() {
    let elsewhere = Issuer::start().await.unwrap();
    let key = elsewhere.add_key("first", Algorithm::Es256).unwrap();
    let address = elsewhere.host.address();
    for keys_at in [
        format!("http://{address}/keys"),
        format!("https://{address}/keys"),
        "http://169.254.169.254/latest/meta-data".into(),
        "https://[::1]/keys".into(),
        "/keys".into(),
    ] {
        let stage = Stage::start().await;
        stage.issuer.publish_keys_at(&keys_at);
        let token = stage.sign(&key, &stage.claims());
        let _ = stage.list(&token).await.expect(500);
        assert_eq!(elsewhere.host.requests().len(), 0, "{keys_at}");
    }
    // A document that is another issuer's.
    let stage = Stage::start().await;
    stage.issuer.claim_to_be("https://id.example.com");
    let _ = stage.list(&stage.token()).await.expect(500);
    assert_eq!(stage.issuer.fetches(), 0);
    // An issuer that sends us elsewhere is not followed.
    let stage = Stage::start().await;
    let moved = fakes::Answer::status(302).header("location", &format!("{}{DISCOVERY}", elsewhere.url()));
    stage.issuer.host.faults().all(Fault::Answer(moved));
    let _ = stage.list(&stage.token()).await.expect(500);
    assert_eq!(elsewhere.host.requests().len(), 0);
}

#[tokio::test]
async fn a_set_without_a_key_that_fits_takes_no_token() {
    let stage = Stage::with(Algorithm::Es256, |config| config.algorithm = SigningAlgorithm::EdDsa).await;
    let _ = stage.list(&stage.token()).await.expect(401);
    let mut header = stage.key.header();
    header["alg"] = json!("EdDSA");
    let _ = stage.list(&stage.key.sign(&header, &stage.claims()).unwrap()).await.expect(401);
    let fitting = stage.issuer.add_key("second", Algorithm::EdDsa).unwrap();
    stage.advance(30);
    assert_eq!(stage.status_of(&fitting).await, 200);
}

#[tokio::test]
async fn keys_that_were_fetched_in_advance_are_there_for_the_first_token() {
    let stage = Stage::start().await;
    stage.app.platform.authenticator.prepare().await;
    assert_eq!(stage.issuer.fetches(), 1);
    assert_eq!((stage.status_of(&stage.key).await, stage.issuer.fetches()), (200, 1));
    // A key that has come since then counts at once, the next one once the window is over.
    let second = stage.issuer.add_key("second", Algorithm::Es256).unwrap();
    assert_eq!((stage.status_of(&second).await, stage.issuer.fetches()), (200, 2));
    let third = stage.issuer.add_key("third", Algorithm::Es256).unwrap();
    stage.advance(29);
    assert_eq!((stage.status_of(&third).await, stage.issuer.fetches()), (401, 2));
    stage.advance(1);
    assert_eq!((stage.status_of(&third).await, stage.issuer.fetches()), (200, 3));
    // An issuer that was down at the start is asked again by the first token.
    let stage = Stage::start().await;
    stage.issuer.host.faults().all(Fault::Close);
    stage.app.platform.authenticator.prepare().await;
    stage.issuer.host.faults().clear();
    assert_eq!(stage.status_of(&stage.key).await, 200);
}

#[tokio::test]
async fn without_an_issuer_a_jwt_is_an_unknown_token() {
    let stage = Stage::start().await;
    let token = stage.token();
    let app = TestApp::start().await;
    let _ = app.services_as(&token).get("/api/integrations").await.expect(401);
    assert_eq!(stage.issuer.host.requests().len(), 0);
}

#[tokio::test]
async fn in_the_wallets_group_a_token_counts_only_with_a_known_client_that_it_names() {
    let stage = Stage::start().await;
    let acme = stage.app.tenant("acme");
    let globex = stage.app.tenant("globex");
    let may = json!(["integrations:read"]);
    let token = |client: &Value| {
        let mut claims = stage.claims_with("permissions", may.clone());
        claims["azp"] = client.clone();
        stage.sign(&stage.key, &claims)
    };
    let wallets = |token: &str| stage.app.wallets_as(acme, token);
    let list = async |client: Client| client.get("/v1/integrations").await;
    let good = token(&json!(acme.client_id));
    stage.app.proxy.forget_calls();
    let _ = list(wallets(&good)).await.expect(200);
    let _ = list(wallets(&good)).await.expect(200);
    // The client is looked for once.
    assert_eq!(stage.look_ups(), 1);

    let unknown = "The token is unknown, expired or revoked, or was not issued to this client.";
    let with = |name: &str, value: &str| wallets(&good).without(name).header(name, value);
    for (client, message) in [
        (wallets(&good).without("x-client-id"), "The X-Client-Id header is missing."),
        (wallets(&good).without("x-client-secret"), "The X-Client-Secret header is missing."),
        (with("x-client-id", &globex.client_id), unknown),
        (with("x-client-secret", "wrong"), unknown),
        (with("x-client-secret", &globex.client_secret), unknown),
        (wallets(&token(&json!(globex.client_id))), unknown),
        (wallets(&token(&Value::Null)), unknown),
        // Another tenant's client, whole.
        (stage.app.wallets_as(globex, &token(&json!(globex.client_id))), unknown),
    ] {
        assert_eq!(list(client).await.expect(401)["message"], message);
    }
    let write = wallets(&good).header("content-type", "application/json");
    let _ = write.send(Method::POST, "/v1/integrations", "{}").await.expect(403);
    // Elsewhere no client is asked for.
    let reader = stage.sign(&stage.key, &stage.claims());
    let _ = stage.list(&reader).await.expect(200);
}

#[tokio::test]
async fn guessing_a_clients_secret_costs_a_look_now_and_then() {
    let stage = Stage::start().await;
    let acme = stage.app.tenant("acme");
    let mut claims = stage.claims_with("permissions", json!(["integrations:read"]));
    claims["azp"] = json!("web");
    let client = stage.app.wallets_as(acme, &stage.sign(&stage.key, &claims));
    let client = client.without("x-client-id").header("x-client-id", "web").without("x-client-secret");
    let guess = async |secret: &str| {
        client.clone().header("x-client-secret", secret).get("/v1/integrations").await.status.as_u16()
    };
    stage.app.proxy.forget_calls();
    for number in 0..20 {
        assert_eq!(guess(&format!("cws_{number}")).await, 401);
    }
    assert_eq!(stage.look_ups(), 1);
    let grant = Grant {
        tenant: Tenant::parse("acme").unwrap(),
        user: "operator".into(),
        name: "makes the client known".into(),
        permissions: Vec::new(),
        expires_at: None,
        client: Some(("web".into(), "cws_right".into())),
    };
    let _ = stage.app.platform.tokens.mint(grant).await.unwrap();
    // A client that was just made known counts once the tenant's are read anew.
    stage.advance(5);
    stage.app.proxy.forget_calls();
    assert_eq!((guess("cws_right").await, stage.look_ups()), (200, 1));
    // What was read counts for whoever is among it, guessed in between or not.
    assert_eq!((guess("cws_wrong").await, guess("cws_right").await, stage.look_ups()), (401, 200, 1));
}

#[tokio::test]
async fn a_client_is_known_for_as_long_as_a_token_that_was_issued_to_it_works() {
    let stage = Stage::start().await;
    let tenant = Tenant::parse("initech").unwrap();
    let grant = Grant {
        tenant: tenant.clone(),
        user: "operator".into(),
        name: "makes the client known".into(),
        permissions: Vec::new(),
        expires_at: None,
        client: Some(("web".into(), "cws_0".into())),
    };
    let minted = stage.app.platform.tokens.mint(grant).await.unwrap();
    let mut claims = stage.claims_with("tenant", json!("initech"));
    claims["permissions"] = json!("integrations:read");
    claims["client_id"] = json!("web");
    claims["exp"] = json!(stage.seconds() + 3_600);
    let client = stage.app.wallets_as(stage.app.tenant("acme"), &stage.sign(&stage.key, &claims));
    let client = client.without("x-client-id").without("x-client-secret");
    let client = client.header("x-client-id", "web").header("x-client-secret", "cws_0");
    let _ = client.get("/v1/integrations").await.expect(200);
    stage.app.platform.tokens.revoke(&tenant, &minted.record.id).await.unwrap();
    stage.advance(60);
    let _ = client.get("/v1/integrations").await.expect(401);
}
