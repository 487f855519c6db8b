//! Discord's webhooks: addresses, limits, mentions, threads and rate limits.

use fakes::discord::{Discord, DiscordWebhook, DiscordWebhookKind};
use serde_json::{Value, json};

use crate::client::{FORM, JSON, call, call_as_is, get, post_json};

const ID: &str = "100000000000000001";

async fn discord() -> (Discord, String) {
    let discord = Discord::start().await.unwrap();
    let url = discord.add_webhook(DiscordWebhook::new(ID, "t0ken"));
    assert_eq!(url, format!("https://discord.com/api/webhooks/{ID}/t0ken"));
    let url = url.replace("https://discord.com", &discord.host.origin());
    (discord, url)
}

#[tokio::test]
async fn a_webhook_describes_itself() {
    let (discord, url) = discord().await;
    for url in [url.clone(), url.replace("/api/", "/api/v10/")] {
        let reply = get(&url).await;
        assert_eq!(reply.status, 200);
        let body = reply.json();
        assert_eq!((&body["type"], &body["token"], &body["name"]), (&json!(1), &json!("t0ken"), &json!("Alerts")));
        assert!(body.get("user").is_none());
    }
    for (kind, number) in [(DiscordWebhookKind::ChannelFollower, 2), (DiscordWebhookKind::Application, 3)] {
        discord.add_webhook(DiscordWebhook { kind, ..DiscordWebhook::new(ID, "t0ken") });
        let body = get(&url).await.json();
        assert_eq!(body["type"], number);
        assert!(body.get("token").is_none());
        assert_eq!(post_json(&url, &json!({ "content": "hello" })).await.json()["code"], 10015);
    }
    assert!(get(&url).await.json()["channel_id"].is_null());
}

#[tokio::test]
async fn wrong_addresses_are_told_apart() {
    let (discord, url) = discord().await;
    let cases = [
        (url.replace("t0ken", "wrong"), 401, 50027),
        (url.replace(ID, "100000000000000009"), 404, 10015),
        (url.replace(ID, "abc"), 400, 50035),
        (url.replace("/api/", "/api/v5/"), 400, 50041),
        (url.replace("/webhooks/", "/nothing/"), 404, 0),
    ];
    for (url, status, code) in cases {
        for method in ["GET", "POST"] {
            let reply = call(method, &url, &[JSON], "{\"content\":\"hello\"}").await;
            assert_eq!((reply.status, &reply.json()["code"]), (status, &json!(code)), "{method} {url}");
        }
    }
    discord.delete_webhook(ID);
    assert_eq!(get(&url).await.json(), json!({ "message": "Unknown Webhook", "code": 10015 }));
    assert_eq!(call("PUT", &url, &[], "").await.status, 405);
    assert!(discord.messages().is_empty());
}

#[tokio::test]
async fn a_caller_without_a_name_is_stopped_at_the_edge() {
    let (discord, url) = discord().await;
    let reply = call_as_is("GET", &url, &[], "").await.unwrap();
    assert_eq!((reply.status, &reply.json()["code"]), (403, &json!(40333)));
    let reply = call_as_is("POST", &url, &[JSON], "{\"content\":\"hello\"}").await.unwrap();
    assert_eq!(reply.status, 403);
    assert!(discord.messages().is_empty());
}

#[tokio::test]
async fn a_post_is_answered_with_nothing_unless_asked_to_wait() {
    let (discord, url) = discord().await;
    let reply = post_json(&url, &json!({ "content": "hello" })).await;
    assert_eq!((reply.status, reply.text.as_str()), (204, ""));
    let reply = post_json(&format!("{url}?wait=true"), &json!({ "content": "again" })).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["id"], discord.messages()[1].id);
    assert_eq!(reply.header("x-ratelimit-limit"), "5");
    assert!(reply.header("x-ratelimit-reset-after").contains('.'));
    assert_eq!(call("POST", &url, &[FORM], "content=form").await.status, 204);
    let contents: Vec<_> = discord.messages().into_iter().map(|message| message.content).collect();
    assert_eq!(contents, ["hello", "again", "form"]);
}

#[tokio::test]
async fn bad_messages_are_refused_with_the_field() {
    let (discord, url) = discord().await;
    let embeds = |count: usize| json!({ "embeds": vec![json!({ "description": "x".repeat(4_000) }); count] });
    let cases = [
        (json!({}), 50006, ""),
        (json!({ "content": "  " }), 50006, ""),
        (json!({ "content": "x".repeat(2_001) }), 50035, "/errors/content/_errors/0/code"),
        (json!({ "content": 5 }), 50035, "/errors/content/_errors/0/code"),
        (json!({ "content": "x", "username": "x".repeat(81) }), 50035, "/errors/username/_errors/0/code"),
        (json!({ "embeds": vec![json!({ "title": "x" }); 11] }), 50035, "/errors/embeds/_errors/0/code"),
        (json!({ "embeds": [{ "title": "x".repeat(257) }] }), 50035, "/errors/embeds/0/title/_errors/0/code"),
        (
            json!({ "embeds": [{ "description": "x".repeat(4_097) }] }),
            50035,
            "/errors/embeds/0/description/_errors/0/code",
        ),
        (embeds(2), 50035, "/errors/embeds/_errors/0/code"),
    ];
    for (payload, code, field) in cases {
        let reply = post_json(&url, &payload).await;
        assert_eq!((reply.status, &reply.json()["code"]), (400, &json!(code)));
        assert!(reply.json().pointer(field).is_some(), "{field}: {}", reply.text);
    }
    let reply = call("POST", &url, &[JSON], "{").await;
    assert_eq!((reply.status, &reply.json()["code"]), (400, &json!(50109)));
    let reply = call("POST", &url, &[("content-type", "text/plain")], "{\"content\":\"hello\"}").await;
    assert_eq!((reply.status, &reply.json()["code"]), (400, &json!(50006)));
    assert!(discord.messages().is_empty());
    assert_eq!(post_json(&url, &json!({ "content": "é".repeat(2_000) })).await.status, 204);
    assert_eq!(post_json(&url, &embeds(1)).await.status, 204);
}

#[tokio::test]
async fn mentions_fire_unless_silenced() {
    let (discord, url) = discord().await;
    let content = "@everyone <@11> <@!12> <@&21> <@11>";
    let cases = [
        (Value::Null, true, vec!["11", "12"], vec!["21"]),
        (json!({ "parse": [] }), false, vec![], vec![]),
        (json!({ "parse": ["everyone"] }), true, vec![], vec![]),
        (json!({ "parse": ["roles"], "users": ["12"] }), false, vec!["12"], vec!["21"]),
    ];
    for (allowed, everyone, users, roles) in cases {
        post_json(&url, &json!({ "content": content, "allowed_mentions": allowed })).await;
        let message = discord.messages().pop().unwrap();
        assert_eq!(message.mentions_everyone, everyone, "{allowed}");
        assert_eq!(
            (message.mentioned_users, message.mentioned_roles),
            (users.into_iter().map(str::to_owned).collect(), roles.into_iter().map(str::to_owned).collect())
        );
        assert_eq!(message.allowed_mentions.is_none(), allowed.is_null());
    }
    post_json(&url, &json!({ "embeds": [{ "description": "@everyone" }] })).await;
    assert!(!discord.messages().pop().unwrap().mentions_everyone);
}

#[tokio::test]
async fn forums_want_a_thread_and_channels_cannot_make_one() {
    let (discord, url) = discord().await;
    let named = json!({ "content": "hello", "thread_name": "incident" });
    assert_eq!(post_json(&url, &named).await.json()["code"], 220_003);
    discord.add_webhook(DiscordWebhook { is_forum: true, ..DiscordWebhook::new(ID, "t0ken") });
    assert_eq!(post_json(&url, &json!({ "content": "hello" })).await.json()["code"], 220_001);
    assert_eq!(post_json(&format!("{url}?thread_id=7"), &named).await.json()["code"], 220_002);
    assert_eq!(post_json(&url, &named).await.status, 204);
    assert_eq!(post_json(&format!("{url}?thread_id=7"), &json!({ "content": "hello" })).await.status, 204);
    let threads: Vec<_> = discord.messages().into_iter().filter_map(|message| message.thread).collect();
    assert_eq!(threads, ["incident", "7"]);

    discord.add_webhook(DiscordWebhook { is_forbidden: true, ..DiscordWebhook::new(ID, "t0ken") });
    let reply = post_json(&url, &json!({ "content": "hello" })).await;
    assert_eq!((reply.status, &reply.json()["code"]), (403, &json!(50013)));
}

#[tokio::test]
async fn a_rate_limit_keeps_its_fraction_in_the_body_only() {
    let (discord, url) = discord().await;
    discord.throttle(1, 64.57);
    let reply = post_json(&url, &json!({ "content": "hello" })).await;
    assert_eq!((reply.status, reply.header("retry-after")), (429, "65"));
    assert_eq!(reply.header("x-ratelimit-remaining"), "0");
    assert_eq!(reply.header("x-ratelimit-scope"), "user");
    let body = reply.json();
    assert_eq!((&body["retry_after"], &body["global"]), (&json!(64.57), &json!(false)));
    assert!(discord.messages().is_empty());
    assert_eq!(post_json(&url, &json!({ "content": "hello" })).await.status, 204);
}
