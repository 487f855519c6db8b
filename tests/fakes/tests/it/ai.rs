//! What the providers of keys say, and which of their answers mislead.

use fakes::ai::{AiKey, AiProviders, Condition};
use serde_json::json;

use crate::client::{FORM, JSON, call, get};

/// The call that proves a key, by upstream: method, path, and where the key stands.
const PROOFS: &[(&str, &str, &str, &str)] = &[
    ("OPENROUTER", "GET", "/api/v1/key", "bearer"),
    ("GROQ", "GET", "/openai/v1/models", "bearer"),
    ("OPENAI", "GET", "/v1/models", "bearer"),
    ("ANTHROPIC", "GET", "/v1/models", "x-api-key"),
    ("GOOGLE_AI", "GET", "/v1beta/models", "x-goog-api-key"),
    ("MISTRAL", "GET", "/v1/models", "bearer"),
    ("DEEPSEEK", "GET", "/user/balance", "bearer"),
    ("XAI", "GET", "/v1/api-key", "bearer"),
    ("TOGETHER", "GET", "/v1/models", "bearer"),
    ("FIREWORKS", "GET", "/v1/accounts", "bearer"),
    ("COHERE", "POST", "/v1/check-api-key", "bearer"),
    ("CEREBRAS", "GET", "/v1/models", "bearer"),
    ("NVIDIA_NGC", "POST", "/v3/keys/get-caller-info", "form"),
    ("HUGGINGFACE", "GET", "/api/whoami-v2", "bearer"),
    ("ELEVENLABS", "GET", "/v1/user/subscription", "xi-api-key"),
    ("SERPER", "GET", "/account", "x-api-key"),
    ("SERPAPI", "GET", "/account.json", "query"),
    ("TAVILY", "GET", "/usage", "bearer"),
    ("MOONSHOT", "GET", "/v1/users/me/balance", "bearer"),
    ("MOONSHOT_CN", "GET", "/v1/users/me/balance", "bearer"),
    ("SILICONFLOW", "GET", "/v1/user/info", "bearer"),
    ("SILICONFLOW_COM", "GET", "/v1/user/info", "bearer"),
    ("NOVITA", "GET", "/openapi/v1/billing/balance/detail", "bearer"),
    ("DEEPINFRA", "GET", "/payment/checklist", "bearer"),
];

async fn shown(origin: &str, (method, path, place): (&str, &str, &str), key: &str) -> crate::client::Reply {
    let (bearer, version) = (format!("Bearer {key}"), ("anthropic-version", "2023-06-01"));
    let url = format!("{origin}{path}");
    match place {
        "bearer" => call(method, &url, &[("authorization", &bearer)], "").await,
        "query" => call(method, &format!("{url}?api_key={key}"), &[], "").await,
        "form" => call(method, &url, &[FORM], format!("credentials={key}")).await,
        header => call(method, &url, &[(header, key), version], "").await,
    }
}

#[tokio::test]
async fn a_key_works_until_it_is_revoked_and_may_be_throttled() {
    let fakes = AiProviders::start().await.unwrap();
    for (name, method, path, place) in PROOFS {
        let (fake, proof) = (fakes.named(name).unwrap(), (*method, *path, *place));
        let origin = fake.host.origin();
        let before = shown(&origin, proof, "a-key-of-mine").await.status;
        let refusals: &[u16] = match *name {
            "GOOGLE_AI" | "XAI" => &[400],
            "SERPER" => &[403],
            _ => &[401],
        };
        assert!(refusals.contains(&before), "{name}: {before}");
        fake.add_key("a-key-of-mine");
        assert_eq!(shown(&origin, proof, "a-key-of-mine").await.status, 200, "{name}");
        fake.throttle(1, 7);
        let throttled = shown(&origin, proof, "a-key-of-mine").await;
        assert_eq!((throttled.status, throttled.header("retry-after")), (429, "7"), "{name}");
        fake.revoke_key("a-key-of-mine");
        assert_eq!(shown(&origin, proof, "a-key-of-mine").await.status, before, "{name}");
    }
}

#[tokio::test]
async fn several_catalogues_are_open_to_everybody() {
    let fakes = AiProviders::start().await.unwrap();
    for (name, path) in [
        ("OPENROUTER", "/api/v1/models"),
        ("PERPLEXITY", "/v1/models"),
        ("SAMBANOVA", "/v1/models"),
        ("NVIDIA_NIM", "/v1/models"),
        ("DEEPINFRA", "/v1/openai/models"),
    ] {
        let url = format!("{}{path}", fakes.named(name).unwrap().host.origin());
        assert_eq!(get(&url).await.json()["object"], "list", "{name}");
    }
}

#[tokio::test]
async fn an_unknown_model_tells_a_good_key_from_a_bad_one() {
    let fakes = AiProviders::start().await.unwrap();
    for (fake, path) in [(&fakes.perplexity, "/chat/completions"), (&fakes.sambanova, "/v1/chat/completions")] {
        fake.add_key("good");
        let url = format!("{}{path}", fake.host.origin());
        let body = json!({ "model": "none", "messages": [] }).to_string();
        for (key, status) in [("Bearer good", 400), ("Bearer bad", 401)] {
            assert_eq!(call("POST", &url, &[("authorization", key), JSON], body.clone()).await.status, status);
        }
    }
}

#[tokio::test]
async fn balances_change_and_an_exhausted_key_still_lists_models() {
    let fakes = AiProviders::start().await.unwrap();
    let deepseek = &fakes.deepseek;
    deepseek.set_key("key", AiKey::with_balance(10.0));
    deepseek.spend("key", 2.5);
    let bearer = [("authorization", "Bearer key")];
    let url = format!("{}/user/balance", deepseek.host.origin());
    let balance = call("GET", &url, &bearer, "").await.json();
    assert_eq!(balance["balance_infos"][1]["total_balance"], "7.50");
    deepseek.set_condition("key", Condition::Exhausted);
    assert_eq!(call("GET", &url, &bearer, "").await.json()["is_available"], false);

    fakes.openai.set_key("key", AiKey::in_condition(Condition::Exhausted));
    let origin = fakes.openai.host.origin();
    assert_eq!(call("GET", &format!("{origin}/v1/models"), &bearer, "").await.status, 200);
    let url = format!("{origin}/v1/chat/completions");
    let refused = call("POST", &url, &[bearer[0], JSON], json!({ "model": "sandbox-1" }).to_string()).await;
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (429, &json!("insufficient_quota")));
}

#[tokio::test]
async fn a_key_without_a_cap_has_no_limit_rather_than_none_left() {
    let fakes = AiProviders::start().await.unwrap();
    fakes.openrouter.set_key("key", AiKey { balance: None, ..AiKey::default() });
    let url = format!("{}/api/v1/key", fakes.openrouter.host.origin());
    let told = call("GET", &url, &[("authorization", "Bearer key")], "").await.json();
    assert_eq!(told["data"]["limit_remaining"], json!(null));
    assert_eq!(told["data"]["usage_daily"], json!(1.25));
}
