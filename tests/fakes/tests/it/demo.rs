//! The seeded credentials, each used once, and what the whole set promises.

use std::collections::HashSet;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fakes::Fakes;
use serde_json::json;

use crate::client::{JSON, call, get, post_json};

#[tokio::test]
async fn every_demo_credential_works() {
    let fakes = Fakes::start().await.unwrap();
    let demo = fakes.seed_demo();
    let endpoint = |name: &str| fakes.endpoints().into_iter().find(|(known, _)| *known == name).unwrap().1;
    let bearer = |key: &str| format!("Bearer {key}");

    let url = demo.slack_webhook_url.replace("https://hooks.slack.com", &endpoint("SLACK_HOOKS"));
    assert_eq!(post_json(&url, &json!({ "text": "hello" })).await.text, "ok");
    let url = format!("{}/api/chat.postMessage", endpoint("SLACK_API"));
    let message = json!({ "channel": demo.slack_channel, "text": "hello" }).to_string();
    let reply = call("POST", &url, &[("authorization", &bearer(&demo.slack_bot_token)), JSON], message).await;
    assert_eq!(reply.json()["ok"], true);
    assert_eq!(fakes.slack.messages().len(), 2);

    let url = demo.discord_webhook_url.replace("https://discord.com", &endpoint("DISCORD"));
    assert_eq!(get(&url).await.json()["type"], 1);

    let url = format!("{}/bot{}/sendMessage", endpoint("TELEGRAM"), demo.telegram_bot_token);
    let message = json!({ "chat_id": demo.telegram_chat_id, "text": "hello" });
    assert_eq!(post_json(&url, &message).await.json()["ok"], true);

    for (name, key) in [("SENDGRID", &demo.sendgrid_api_key), ("SENDGRID_EU", &demo.sendgrid_eu_api_key)] {
        let url = format!("{}/v3/mail/send", endpoint(name));
        let email = json!({
            "personalizations": [{ "to": [{ "email": "ada@example.org" }] }],
            "from": { "email": demo.sendgrid_from_email },
            "subject": "hello",
            "content": [{ "type": "text/plain", "value": "world" }],
        });
        let reply = call("POST", &url, &[("authorization", &bearer(key)), JSON], email.to_string()).await;
        assert_eq!(reply.status, 202);
    }

    let url = format!("{}/emails", endpoint("RESEND"));
    let email = json!({ "from": demo.resend_from_email, "to": "ada@example.org", "subject": "hello", "text": "world" });
    let reply = call("POST", &url, &[("authorization", &bearer(&demo.resend_api_key)), JSON], email.to_string()).await;
    assert_eq!(reply.status, 200);

    let secret = STANDARD.decode(demo.webhook_signing_secret.strip_prefix("whsec_").unwrap()).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    let signature = format!("v1,{}", STANDARD.encode(hmac::sign(&key, format!("msg_1.{now}.{{}}").as_bytes())));
    let headers = [("webhook-id", "msg_1"), ("webhook-timestamp", &now), ("webhook-signature", &signature)];
    assert_eq!(call("POST", &demo.webhook_url, &headers, "{}").await.status, 200);

    let chain_id = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": [] });
    let reply = post_json(&demo.evm_rpc_url, &chain_id).await.json();
    assert_eq!(reply["result"], format!("{:#x}", demo.evm_chain_id));

    let url = format!("{}/v1/credits", endpoint("AI_GATEWAY"));
    let reply = call("GET", &url, &[("authorization", &bearer(&demo.ai_gateway_api_key))], "").await;
    assert_eq!(reply.status, 200);
    let url = format!("{}/models", demo.openai_compatible_base_url);
    let reply = call("GET", &url, &[("authorization", &bearer(&demo.openai_compatible_api_key))], "").await;
    assert_eq!(reply.status, 200);
    let [one, two] = &demo.openrouter_api_keys;
    for (name, path, key) in [
        ("OPENROUTER", "/api/v1/key", one),
        ("OPENROUTER", "/api/v1/key", two),
        ("GROQ", "/openai/v1/models", &demo.groq_api_key),
        ("DEEPSEEK", "/user/balance", &demo.deepseek_api_key),
    ] {
        let url = format!("{}{path}", endpoint(name));
        assert_eq!(call("GET", &url, &[("authorization", &bearer(key))], "").await.status, 200);
    }
}

#[tokio::test]
async fn demo_values_stay_the_same_and_look_like_the_real_ones() {
    let (one, other) = (Fakes::start().await.unwrap(), Fakes::start().await.unwrap());
    let (demo, again, elsewhere) = (one.seed_demo(), one.seed_demo(), other.seed_demo());
    assert_eq!(demo, again);
    let values = |demo| {
        let text = serde_json::to_string(demo).unwrap();
        let without_ports =
            text.split("127.0.0.1:").map(|rest| rest.trim_start_matches(|it: char| it.is_ascii_digit()));
        without_ports.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(values(&demo), values(&elsewhere));

    let secret = demo.slack_webhook_url.strip_prefix("https://hooks.slack.com/services/T0SANDBOX/B0SANDBOX/").unwrap();
    assert_eq!(secret.len(), 24);
    let token = demo.discord_webhook_url.rsplit('/').next().unwrap();
    assert_eq!(token.len(), 68);
    assert_eq!(demo.telegram_bot_token.split(':').nth(1).unwrap().len(), 35);
    for key in [&demo.sendgrid_api_key, &demo.sendgrid_eu_api_key] {
        assert_eq!(key.split('.').map(str::len).collect::<Vec<_>>(), [2, 22, 43]);
    }
    assert!(demo.webhook_url.ends_with("/hook"));
}

#[tokio::test]
async fn nothing_is_known_before_the_demo_is_seeded() {
    let (seeded, fresh) = (Fakes::start().await.unwrap(), Fakes::start().await.unwrap());
    let demo = seeded.seed_demo();
    let url = demo.discord_webhook_url.replace("https://discord.com", &fresh.discord.host.origin());
    assert_eq!(get(&url).await.status, 404);
    let url = demo.slack_webhook_url.replace("https://hooks.slack.com", &fresh.slack.hooks.origin());
    assert_eq!(post_json(&url, &json!({ "text": "hello" })).await.status, 404);
    let url = format!("{}/bot{}/getMe", fresh.telegram.host.origin(), demo.telegram_bot_token);
    assert_eq!(get(&url).await.status, 401);
}

#[tokio::test]
async fn every_upstream_is_named_once_and_all_of_them_are_on_this_machine() {
    let fakes = Fakes::start().await.unwrap();
    let (names, origins): (HashSet<_>, Vec<_>) = fakes.endpoints().into_iter().unzip();
    assert_eq!(names.len(), origins.len());
    assert!(origins.iter().all(|origin| origin.starts_with("http://127.0.0.1:")), "{origins:?}");
    assert!(fakes.user_addresses().iter().all(|address| address.starts_with("127.0.0.1:")));
}
