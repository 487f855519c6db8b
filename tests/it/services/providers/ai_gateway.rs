//! `ai-gateway`: Vercel's, and others that speak OpenAI's protocol.

use fakes::Fault;
use fakes::ai_gateway::Catalogue;
use kit::TestApp;
use serde_json::{Value, json};

use super::super::fixtures::{config, create, read, test, with};
use super::{is_never_blamed, judge, page, says};

/// A config for the other gateway.
fn other(app: &TestApp) -> Value {
    json!({ "apiKey": app.demo.openai_compatible_api_key, "baseUrl": app.demo.openai_compatible_base_url })
}

#[tokio::test]
async fn a_key_that_vercel_does_not_know_is_invalid() {
    let app = TestApp::start().await;
    judge(&app, "ai-gateway", &json!({ "apiKey": "vck_wrong" })).await.is("invalid", "Create a new key");
    app.fakes.ai_gateway.revoke_key(&app.demo.ai_gateway_api_key);
    judge(&app, "ai-gateway", &config(&app, "ai-gateway")).await.is("invalid", "Create a new key");
}

#[tokio::test]
async fn a_key_that_vercel_blocks_or_that_has_no_credit_is_limited() {
    let app = TestApp::start().await;
    for balance in ["0", "0.00", "-0.01"] {
        app.fakes.ai_gateway.add_key(&app.demo.ai_gateway_api_key, balance, "100");
        judge(&app, "ai-gateway", &config(&app, "ai-gateway")).await.is("limited", "Top it up");
    }
    app.fakes.ai_gateway.block_key(&app.demo.ai_gateway_api_key);
    judge(&app, "ai-gateway", &config(&app, "ai-gateway")).await.is("limited", "blocked or over its budget");
    let spent = json!({ "error": { "message": "Insufficient funds", "type": "insufficient_funds" } });
    app.fakes.ai_gateway.host.faults().next(1, says(402, &spent));
    judge(&app, "ai-gateway", &config(&app, "ai-gateway")).await.is("limited", "Top it up");
}

#[tokio::test]
async fn throttling_and_trouble_are_not_held_against_vercels_key() {
    let app = TestApp::start().await;
    let working = config(&app, "ai-gateway");
    app.fakes.ai_gateway.throttle(1, 5);
    judge(&app, "ai-gateway", &working).await.is_inconclusive("too often");
    app.fakes.ai_gateway.host.faults().next(1, page(401));
    judge(&app, "ai-gateway", &working).await.is_inconclusive("HTTP 401");
    is_never_blamed(&app, "ai-gateway", &working, &app.fakes.ai_gateway.host).await;
}

#[tokio::test]
async fn a_test_at_vercel_reads_the_credits_and_nothing_else() {
    let app = TestApp::start().await;
    let explicit = with(config(&app, "ai-gateway"), json!({ "baseUrl": "https://ai-gateway.vercel.sh/v1" }));
    for config in [config(&app, "ai-gateway"), explicit] {
        judge(&app, "ai-gateway", &config).await.is_valid();
    }
    for request in app.fakes.ai_gateway.host.requests() {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/v1/credits"));
    }
}

#[tokio::test]
async fn a_key_of_another_gateway_is_proved_by_a_junk_key_failing_first() {
    let app = TestApp::start().await;
    judge(&app, "ai-gateway", &other(&app)).await.is_valid();
    let [junk, real] = app.fakes.openai_compatible.host.requests().try_into().unwrap();
    assert_eq!((junk.path.as_str(), real.path.as_str()), ("/v1/models", "/v1/models"));
    assert!(!junk.header("authorization").unwrap().contains("sandbox"), "the junk holds nothing of the real key");
    let key = format!("Bearer {}", app.demo.openai_compatible_api_key);
    assert_eq!(real.header("authorization"), Some(key.as_str()));
}

#[tokio::test]
async fn a_key_that_another_gateway_does_not_know_is_invalid_and_no_part_of_it_is_repeated() {
    let app = TestApp::start().await;
    let wrong = with(other(&app), json!({ "apiKey": "sk-wrongkey-0123456789-tail" }));
    let judged = judge(&app, "ai-gateway", &wrong).await;
    judged.is("invalid", "Create a new key there");
    for part in ["sk-wrong", "tail", "***"] {
        assert!(!judged.message.contains(part), "{}", judged.message);
    }
}

#[tokio::test]
async fn a_catalogue_that_everybody_may_read_proves_no_key() {
    let app = TestApp::start().await;
    app.fakes.openai_compatible.set_catalogue(Catalogue::Public);
    for key in ["sk-wrong", &app.demo.openai_compatible_api_key] {
        let config = with(other(&app), json!({ "apiKey": key }));
        judge(&app, "ai-gateway", &config).await.is_inconclusive("to any key, even to one made up");
    }
    let shown = app.fakes.openai_compatible.host.requests();
    assert!(shown.iter().all(|request| !request.header("authorization").unwrap().contains("sk-")), "junk is enough");
}

#[tokio::test]
async fn a_gateway_with_limits_of_its_own_is_limited() {
    let app = TestApp::start().await;
    let refused = says(401, &json!({ "error": { "message": "Incorrect API key provided: not-a-ke****" } }));
    for (status, told) in [(402, "Top it up"), (403, "may lack the right")] {
        let faults = app.fakes.openai_compatible.host.faults();
        faults.next(1, refused.clone());
        faults.next(1, says(status, &json!({ "error": { "message": "sk-sandbox-not-a-real-key" } })));
        judge(&app, "ai-gateway", &other(&app)).await.is("limited", told);
    }
}

/// What answers 403 to every key it does not know, as many proxies do, has not known this one either.
#[tokio::test]
async fn a_gateway_that_answers_403_to_the_made_up_and_to_the_real_key_proves_nothing() {
    let app = TestApp::start().await;
    let id = create(&app, "ai-gateway", &with(other(&app), json!({ "apiKey": "sk-wrong" }))).await;
    assert_eq!(test(&app, &id).await["verdict"], "invalid");
    let forbidden = says(403, &json!({ "message": "Forbidden" }));
    app.fakes.openai_compatible.host.faults().all(forbidden);
    let report = test(&app, &id).await;
    assert_eq!((&report["status"], &report["verdict"]), (&json!("error"), &json!("inconclusive")), "{report}");
    assert!(report["message"].as_str().unwrap().contains("as it refuses a made-up one"), "{report}");
    assert_eq!(read(&app, &id).await["needsAttention"], true, "nothing has shown that it works");
}

#[tokio::test]
async fn throttling_and_trouble_are_not_held_against_another_gateways_key() {
    let app = TestApp::start().await;
    app.fakes.openai_compatible.throttle(1, 5);
    judge(&app, "ai-gateway", &other(&app)).await.is_inconclusive("too often");
    let base = with(other(&app), json!({ "baseUrl": app.fakes.openai_compatible.host.origin() }));
    judge(&app, "ai-gateway", &base).await.is_inconclusive("There is no list of models under baseUrl");
    let faults = app.fakes.openai_compatible.host.faults();
    for (fault, told) in [
        (page(200), "no list of models"),
        (page(403), "HTTP 403"),
        (page(401), "HTTP 401"),
        (page(502), "HTTP 502"),
        (Fault::Close, "cut"),
    ] {
        faults.all(fault);
        judge(&app, "ai-gateway", &other(&app)).await.is_inconclusive(told);
        faults.clear();
    }
    judge(&app, "ai-gateway", &other(&app)).await.is_valid();
}
