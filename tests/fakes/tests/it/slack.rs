//! Slack's webhooks and Web API: the order of refusals, scopes, channels and mentions.

use fakes::slack::{Slack, SlackBot, SlackChannel, SlackHook, SlackRefusal};
use serde_json::{Value, json};

use crate::client::{FORM, JSON, Reply, call, get, post_json};

const TOKEN: &str = "xoxb-test";

async fn workspace() -> (Slack, String) {
    let slack = Slack::start().await.unwrap();
    slack.add_channel(SlackChannel::new("C1", "alerts"));
    slack.add_bot(SlackBot::new(TOKEN));
    let url = slack.add_hook(SlackHook {
        team: "T1".to_owned(),
        service: "B1".to_owned(),
        secret: "s3cret".to_owned(),
        channel: "C1".to_owned(),
    });
    assert_eq!(url, "https://hooks.slack.com/services/T1/B1/s3cret");
    let url = url.replace("https://hooks.slack.com", &slack.hooks.origin());
    (slack, url)
}

async fn api(slack: &Slack, method: &str, arguments: &Value) -> Reply {
    let url = format!("{}/api/{method}", slack.api.origin());
    call("POST", &url, &[("authorization", &format!("Bearer {TOKEN}")), JSON], arguments.to_string()).await
}

#[tokio::test]
async fn a_hook_judges_the_address_then_the_payload_then_the_channel() {
    let (slack, url) = workspace().await;
    slack.archive_channel("C1");
    let (hello, broken) = (json!({ "text": "hello" }).to_string(), "{".to_owned());
    let cases = [
        (url.replace("T1", "T9"), &broken, 404, "no_team"),
        (url.replace("B1", "B9"), &broken, 404, "no_service"),
        (url.replace("s3cret", "wrong"), &broken, 403, "invalid_token"),
        (url.clone(), &broken, 400, "invalid_payload"),
        (url.clone(), &json!([]).to_string(), 400, "invalid_payload"),
        (url.clone(), &json!({}).to_string(), 400, "no_text"),
        (url.clone(), &json!({ "text": "" }).to_string(), 400, "no_text"),
        (url.clone(), &hello, 410, "channel_is_archived"),
    ];
    for (url, body, status, text) in cases {
        let reply = call("POST", &url, &[JSON], body.clone()).await;
        assert_eq!((reply.status, reply.text.as_str()), (status, text), "{url} {body}");
        assert_eq!(reply.header("content-type"), "text/html");
    }
    assert!(slack.messages().is_empty());
    assert_eq!(get(&url).await.status, 405);
}

#[tokio::test]
async fn a_hook_posts() {
    let (slack, url) = workspace().await;
    let reply = post_json(&url, &json!({ "text": "hello" })).await;
    assert_eq!((reply.status, reply.text.as_str()), (200, "ok"));
    let encoded = "payload=%7B%22text%22%3A%22from+a+form%22%7D";
    assert_eq!(call("POST", &url, &[FORM], encoded).await.status, 200);
    let blocks = json!([{ "type": "section", "text": { "type": "mrkdwn", "text": "*hi*" } }]);
    assert_eq!(post_json(&url, &json!({ "blocks": blocks })).await.status, 200);
    let texts: Vec<_> = slack.messages().into_iter().map(|message| (message.channel, message.text)).collect();
    let expected = ["hello", "from a form", ""].map(|text| ("C1".to_owned(), text.to_owned()));
    assert_eq!(texts, expected);
}

#[tokio::test]
async fn a_hook_refuses_real_posts_only() {
    let (slack, url) = workspace().await;
    slack.prohibit_hook("B1");
    assert_eq!(call("POST", &url, &[JSON], "{").await.text, "invalid_payload");
    let reply = post_json(&url, &json!({ "text": "hello" })).await;
    assert_eq!((reply.status, reply.text.as_str()), (403, "action_prohibited"));

    let (slack, url) = workspace().await;
    slack.delete_channel("C1");
    let reply = post_json(&url, &json!({ "text": "hello" })).await;
    assert_eq!((reply.status, reply.text.as_str()), (404, "channel_not_found"));
    slack.remove_hook("B1");
    assert_eq!(post_json(&url, &json!({ "text": "hello" })).await.text, "no_team");
}

#[tokio::test]
async fn mentions_of_everybody_are_noticed_unless_escaped() {
    let (slack, url) = workspace().await;
    let quiet = [
        json!({ "text": "&lt;!channel&gt; @channel" }),
        json!({ "blocks": [{ "type": "header", "text": { "type": "plain_text", "text": "<!channel>" } }] }),
    ];
    let loud = [
        json!({ "text": "<!here> fire" }),
        json!({ "text": "<!channel|channel>" }),
        json!({ "text": "@everyone", "link_names": true }),
        json!({ "text": "x", "blocks": [{ "type": "section", "text": { "type": "mrkdwn", "text": "<!channel>" } }] }),
        json!({ "attachments": [{ "text": "<!channel>" }] }),
    ];
    for (broadcasts, payloads) in [(false, quiet.as_slice()), (true, loud.as_slice())] {
        for payload in payloads {
            assert_eq!(post_json(&url, payload).await.text, "ok", "{payload}");
            assert_eq!(slack.messages().last().unwrap().broadcasts, broadcasts, "{payload}");
        }
    }
}

#[tokio::test]
async fn blocks_have_limits() {
    let (slack, url) = workspace().await;
    let block = |kind: &str, text_kind: &str, length: usize| json!({ "blocks": [{ "type": kind, "text": { "type": text_kind, "text": "x".repeat(length) } }] });
    for payload in [
        block("section", "mrkdwn", 3_001),
        block("header", "plain_text", 151),
        block("header", "mrkdwn", 5),
        json!({ "blocks": vec![json!({ "type": "divider" }); 51] }),
        json!({ "text": "x", "blocks": "no list" }),
    ] {
        let reply = post_json(&url, &payload).await;
        assert_eq!((reply.status, reply.text.as_str()), (400, "invalid_blocks"));
    }
    assert_eq!(post_json(&url, &block("section", "mrkdwn", 3_000)).await.status, 200);
    assert_eq!(slack.messages().len(), 1);
}

#[tokio::test]
async fn auth_test_tells_who_and_the_scopes() {
    let (slack, _) = workspace().await;
    slack.set_scopes(TOKEN, &["chat:write", "team:read"]);
    let reply = api(&slack, "auth.test", &json!({})).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("x-oauth-scopes"), "chat:write,team:read");
    let body = reply.json();
    assert_eq!(body["ok"], true);
    assert_eq!((&body["team_id"], &body["bot_id"]), (&json!("T0SANDBOX"), &json!("B0BOT")));
}

#[tokio::test]
async fn refused_tokens_answer_200_with_an_error_and_no_scopes() {
    let (slack, _) = workspace().await;
    let url = format!("{}/api/auth.test", slack.api.origin());
    let cases = [
        (vec![], "", "not_authed"),
        (vec![("authorization", "Bearer xoxb-unknown")], "", "invalid_auth"),
        (vec![FORM], "token=xoxb-unknown", "invalid_auth"),
        (vec![JSON], "{\"token\":\"xoxb-test\"}", "not_authed"),
    ];
    for (headers, body, error) in cases {
        let reply = call("POST", &url, &headers, body).await;
        assert_eq!((reply.status, reply.json()), (200, json!({ "ok": false, "error": error })));
        assert_eq!(reply.header("x-oauth-scopes"), "");
    }
    assert_eq!(call("POST", &url, &[FORM], "token=xoxb-test").await.json()["ok"], true);
    for (refusal, error) in [
        (SlackRefusal::Revoked, "token_revoked"),
        (SlackRefusal::AccountInactive, "account_inactive"),
        (SlackRefusal::Expired, "token_expired"),
        (SlackRefusal::AddressNotAllowed, "invalid_auth"),
    ] {
        slack.refuse_token(TOKEN, refusal);
        assert_eq!(api(&slack, "auth.test", &json!({})).await.json()["error"], error);
    }
}

#[tokio::test]
async fn chat_post_message_posts_by_id_and_by_name() {
    let (slack, _) = workspace().await;
    for channel in ["C1", "alerts", "#alerts"] {
        let body = api(&slack, "chat.postMessage", &json!({ "channel": channel, "text": "hello" })).await.json();
        assert_eq!((&body["ok"], &body["channel"]), (&json!(true), &json!("C1")));
        assert_eq!(body["ts"], slack.messages().last().unwrap().ts);
    }
    let stamps: std::collections::HashSet<_> = slack.messages().into_iter().map(|message| message.ts).collect();
    assert_eq!(stamps.len(), 3);
}

#[tokio::test]
async fn chat_post_message_refuses() {
    let (slack, _) = workspace().await;
    let post = async |arguments: Value| api(&slack, "chat.postMessage", &arguments).await.json();
    let hello = |channel: &str| json!({ "channel": channel, "text": "hello" });
    slack.add_channel(SlackChannel { is_member: false, ..SlackChannel::new("C2", "public") });
    slack.add_channel(SlackChannel { is_member: false, is_private: true, ..SlackChannel::new("C3", "secret") });
    slack.add_channel(SlackChannel { is_archived: true, ..SlackChannel::new("C4", "old") });
    for (arguments, error) in [
        (hello("C9"), "channel_not_found"),
        (hello("C2"), "not_in_channel"),
        (hello("C3"), "channel_not_found"),
        (hello("C4"), "is_archived"),
        (json!({ "channel": "C1" }), "no_text"),
        (json!({ "channel": "C1", "text": "x".repeat(40_001) }), "msg_too_long"),
        (json!([]), "json_not_object"),
    ] {
        assert_eq!(post(arguments).await, json!({ "ok": false, "error": error }));
    }
    slack.set_scopes(TOKEN, &["chat:write", "chat:write.public"]);
    assert_eq!(post(hello("C2")).await["ok"], true);
    slack.leave_channel("C1");
    slack.set_scopes(TOKEN, &["channels:read"]);
    let expected =
        json!({ "ok": false, "error": "missing_scope", "needed": "chat:write", "provided": "channels:read" });
    assert_eq!(post(hello("C1")).await, expected);
    assert_eq!(slack.messages().len(), 1);
    let url = format!("{}/api/chat.postMessage", slack.api.origin());
    let reply = call("POST", &url, &[("authorization", "Bearer xoxb-test"), JSON], "{").await;
    assert_eq!(reply.json()["error"], "invalid_json");
}

#[tokio::test]
async fn conversations_info_reads_forms_but_not_json() {
    let (slack, _) = workspace().await;
    let url = format!("{}/api/conversations.info", slack.api.origin());
    let token = ("authorization", "Bearer xoxb-test");
    slack.archive_channel("C1");
    let body = call("GET", &format!("{url}?channel=C1"), &[token], "").await.json();
    assert_eq!((&body["channel"]["is_archived"], &body["channel"]["is_member"]), (&json!(true), &json!(true)));
    assert_eq!(call("POST", &url, &[token, FORM], "channel=C1").await.json()["channel"]["name"], "alerts");
    let as_json = call("POST", &url, &[token, JSON], json!({ "channel": "C1" }).to_string()).await.json();
    assert_eq!(as_json["error"], "invalid_arguments");
    assert_eq!(call("POST", &url, &[token, FORM], "channel=C9").await.json()["error"], "channel_not_found");
    slack.set_scopes(TOKEN, &["chat:write"]);
    let refused = call("POST", &url, &[token, FORM], "channel=C1").await.json();
    assert_eq!((&refused["error"], &refused["needed"]), (&json!("missing_scope"), &json!("channels:read")));
}

#[tokio::test]
async fn too_many_requests_are_a_429_on_both_hosts() {
    let (slack, url) = workspace().await;
    slack.throttle(2, 30);
    let reply = api(&slack, "auth.test", &json!({})).await;
    assert_eq!((reply.status, reply.header("retry-after")), (429, "30"));
    assert_eq!(reply.json(), json!({ "ok": false, "error": "ratelimited" }));
    let reply = post_json(&url, &json!({ "text": "hello" })).await;
    assert_eq!((reply.status, reply.header("retry-after"), reply.text.as_str()), (429, "30", "rate_limited"));
    assert_eq!(post_json(&url, &json!({ "text": "hello" })).await.status, 200);
    assert_eq!(api(&slack, "nothing.here", &json!({})).await.json()["error"], "unknown_method");
}
