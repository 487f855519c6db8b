//! A function's real binary with the operator's issuer behind TLS, configured by its environment alone, and what it owes
//! the issuer's tokens.
//!
//! The groups differ in what a token may do and in how they write errors, so both come with the [`Listing`]; what happens
//! is the same for all.

use std::time::Duration;

use fakes::Fault;
use fakes::issuer::{Algorithm, DISCOVERY, Issuer, Key, signing_input};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::TestApp;
use crate::runtime_api::{FunctionProcess, RuntimeApi};
use crate::tls::Tls;

const AUDIENCE: &str = "https://api.example.com";
const DEADLINE: Duration = Duration::from_secs(29);
/// How long an issuer that is back is waited for: a function asks again after 5 s.
const PATIENCE: Duration = Duration::from_secs(60);

/// The request that is tried, and what the group answers it with.
#[derive(Debug, Clone)]
pub struct Listing {
    /// The API's binary.
    pub binary: &'static str,
    /// Its function.
    pub function: &'static str,
    /// The event of a list, with all that proves who asks.
    pub event: fn(&TestApp) -> Value,
    /// What a token needs for it.
    pub permission: &'static str,
    /// The body for a token that does not count, without the request's id.
    pub unauthorized: Value,
    /// The body where nothing can be said of a token, without the request's id.
    pub unavailable: Value,
}

/// A function with an issuer that has one key.
struct Stage {
    listing: Listing,
    app: TestApp,
    issuer: Issuer,
    key: Key,
    tls: Tls,
    api: RuntimeApi,
    process: FunctionProcess,
}

impl Stage {
    /// Starts all of it. `before` stands between the issuer's start and the function's.
    async fn start(listing: &Listing, before: impl FnOnce(&Issuer)) -> Self {
        let app = TestApp::start().await;
        app.clock.set(Timestamp::now());
        let issuer = Issuer::start().await.expect("the issuer");
        let key = issuer.add_key("first", Algorithm::Es256).expect("a key");
        let tls = Tls::start(issuer.host.address()).await.expect("TLS");
        issuer.claim_to_be(&tls.url());
        issuer.publish_keys_at(&format!("{}/keys", tls.url()));
        before(&issuer);
        let api = RuntimeApi::start().await.expect("the Runtime API");
        let mut environment = app.environment(&api, listing.function);
        let allowed = [app.fakes.user_addresses(), vec![tls.host()]].concat().join(",");
        let set = [
            ("CAUSEWAY_EGRESS_ALLOW", allowed),
            ("CAUSEWAY_OIDC_ISSUER", tls.url()),
            ("CAUSEWAY_OIDC_AUDIENCE", AUDIENCE.to_owned()),
            ("CAUSEWAY_OIDC_ALGORITHM", "ES256".to_owned()),
            ("CAUSEWAY_OIDC_PERMISSIONS_CLAIM", "scope".to_owned()),
        ];
        environment.extend(set.map(|(name, value)| (name.to_owned(), value)));
        environment.push(tls.trust());
        let process = FunctionProcess::spawn(listing.binary, environment, &api).expect("the function");
        api.first_next().await.expect("a function that starts");
        Self { listing: listing.clone(), app, issuer, key, tls, api, process }
    }

    fn claims(&self) -> Value {
        let now = Timestamp::now().as_second();
        let client = &self.app.tenant("acme").client_id;
        json!({
            "iss": self.tls.url(), "aud": [AUDIENCE], "exp": now + 600, "nbf": now, "iat": now,
            "sub": "user_1", "azp": client, "tenant": "acme", "scope": format!("openid {}", self.listing.permission),
        })
    }

    fn claims_with(&self, name: &str, value: Value) -> Value {
        let mut claims = self.claims();
        claims.as_object_mut().expect("claims").insert(name.to_owned(), value);
        claims
    }

    fn sign(&self, key: &Key, claims: &Value) -> String {
        key.sign(&key.header(), claims).expect("a signature")
    }

    /// An ordinary token that this key has signed.
    fn token_of(&self, key: &Key) -> String {
        self.sign(key, &self.claims())
    }

    /// The status of the list for this token, the answer's headers, and its body without the request's id.
    async fn list(&self, token: &str) -> (u64, Value, Value) {
        let mut event = (self.listing.event)(&self.app);
        let headers = event.pointer_mut("/headers").and_then(Value::as_object_mut).expect("headers");
        headers.insert("authorization".into(), format!("Bearer {token}").into());
        let answer = self.api.invoke(event, DEADLINE).await.json().expect("an answer");
        let status = answer.get("statusCode").and_then(Value::as_u64).expect("a status");
        let body = answer.get("body").and_then(Value::as_str).expect("a body");
        let mut body: Value = serde_json::from_str(body).expect("a JSON body");
        if let Some(body) = body.as_object_mut() {
            body.retain(|name, _| !["request_id", "requestId", "traceId"].contains(&name.as_str()));
        }
        (status, answer.get("headers").cloned().unwrap_or_default(), body)
    }

    async fn status_of(&self, key: &Key) -> u64 {
        self.list(&self.token_of(key)).await.0
    }

    /// A token of `acme`'s that `causeway token create` would mint.
    fn opaque(&self) -> &str {
        &self.app.tenant("acme").tokens.admin
    }

    fn wrote(&self, text: &str) -> bool {
        self.process.lines().iter().any(|line| line.text.contains(text))
    }
}

/// The keys are there before the first request. What the issuer has not signed for this stack, or what has ended, is
/// refused as any unknown token is. A key that replaces another counts at once, and the other no more.
pub async fn tokens_count_as_their_issuer_says(listing: Listing) {
    let stage = Stage::start(&listing, |_| {}).await;
    assert_eq!((stage.issuer.fetches(), stage.issuer.host.calls(DISCOVERY)), (1, 1), "in its init");
    let good = stage.token_of(&stage.key);
    let (status, _, body) = stage.list(&good).await;
    assert_eq!(status, 200, "{body}");

    let key = &stage.key;
    let hmac = json!({ "alg": "HS256", "kid": "first", "typ": "JWT" });
    let none = json!({ "alg": "none", "kid": "first", "typ": "JWT" });
    let stranger = Key::generate("first", Algorithm::Es256, 0).expect("a key");
    let wrong = [
        ("another audience", stage.sign(key, &stage.claims_with("aud", json!("https://other.example.com")))),
        ("expired", stage.sign(key, &stage.claims_with("exp", json!(Timestamp::now().as_second() - 1)))),
        ("another issuer", stage.sign(key, &stage.claims_with("iss", json!("https://id.example.com")))),
        ("another algorithm", key.sign_with_the_public_key(&hmac, &stage.claims())),
        ("no algorithm", format!("{}.", signing_input(&none, &stage.claims()))),
        ("another's key of the same name", stage.token_of(&stranger)),
    ];
    for (what, token) in &wrong {
        let (status, headers, body) = stage.list(token).await;
        assert_eq!((status, &body), (401, &listing.unauthorized), "{what}");
        assert_eq!(headers.get("www-authenticate"), Some(&json!("Bearer")), "{what}");
    }
    assert_eq!(stage.issuer.fetches(), 1, "a wrong token had the keys fetched");
    let (status, _, body) = stage.list(&stage.sign(key, &stage.claims_with("scope", json!("openid")))).await;
    assert_eq!(status, 403, "{body}");
    assert_eq!(stage.list(stage.opaque()).await.0, 200);

    let second = stage.issuer.add_key("second", Algorithm::Es256).expect("a key");
    stage.issuer.remove_key("first");
    assert_eq!((stage.status_of(&second).await, stage.issuer.fetches()), (200, 2));
    let (status, _, body) = stage.list(&stage.token_of(&stage.key)).await;
    assert_eq!((status, &body), (401, &listing.unauthorized), "the key that was removed");

    stage.process.line_with("a JWT was refused").await.expect("a line that says why");
    for token in wrong.iter().map(|(_, token)| token).chain([&good]) {
        let signature = token.rsplit('.').next().unwrap_or_default();
        assert!(!stage.wrote(token) && (signature.is_empty() || !stage.wrote(signature)), "a token is in the log");
    }
}

/// An issuer that is down keeps no function from starting and no opaque token from working. Its own tokens are answered
/// as a failure of ours until it is back, and then they count.
pub async fn an_issuer_that_is_down_at_the_start_is_met_again(listing: Listing) {
    let stage = Stage::start(&listing, |issuer| issuer.host.faults().all(Fault::Close)).await;
    assert!(stage.process.line_with("could not be fetched in advance").await.is_some());
    assert_eq!(stage.list(stage.opaque()).await.0, 200);
    let (status, headers, body) = stage.list(&stage.token_of(&stage.key)).await;
    assert_eq!((status, &body), (500, &listing.unavailable));
    assert_eq!(headers.get("www-authenticate"), None);
    assert!(stage.process.line_with("\"no keys\"").await.is_some());
    // What is wrong whatever the keys are is told so even now.
    let unsigned = format!("{}.", signing_input(&json!({ "alg": "none", "kid": "first" }), &stage.claims()));
    assert_eq!(stage.list(&unsigned).await.0, 401);

    stage.issuer.host.faults().clear();
    let back = async { while stage.status_of(&stage.key).await != 200 {} };
    tokio::time::timeout(PATIENCE, back).await.expect("the issuer's tokens count once it is back");
    assert_eq!(stage.issuer.fetches(), 1);
}
