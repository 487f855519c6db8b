//! Type `discord`: an incoming webhook.

use fakes::discord::{DiscordWebhook, DiscordWebhookKind};
use kit::TestApp;
use serde_json::{Value, json};

use super::super::fixtures::{config, create, read, received, send, test};
use super::{deliver, is_never_blamed, is_never_sent_twice, is_refused, judge, says};

const ID: &str = "100000000000000009";
const TOKEN: &str = "the-webhooks-secret-token";

/// A webhook that was set up like this.
fn webhook(app: &TestApp, change: impl FnOnce(&mut DiscordWebhook)) -> Value {
    let mut webhook = DiscordWebhook::new(ID, TOKEN);
    change(&mut webhook);
    json!({ "webhookUrl": app.fakes.discord.add_webhook(webhook) })
}

fn url(rest: &str) -> Value {
    json!({ "webhookUrl": format!("https://{rest}") })
}

#[tokio::test]
async fn a_wrong_token_is_invalid() {
    let app = TestApp::start().await;
    let _ = webhook(&app, |_| {});
    let wrong = url(&format!("discord.com/api/webhooks/{ID}/another-token"));
    judge(&app, "discord", &wrong).await.is("invalid", "Copy the whole URL from Discord again");
}

#[tokio::test]
async fn a_deleted_webhook_is_invalid_and_asks_for_attention() {
    let app = TestApp::start().await;
    let id = create(&app, "discord", &webhook(&app, |_| {})).await;
    app.fakes.discord.delete_webhook(ID);
    let report = test(&app, &id).await;
    assert_eq!(report["verdict"], "invalid");
    assert!(report["message"].as_str().unwrap().contains("Create a new one"), "{report}");
    assert_eq!(read(&app, &id).await["needsAttention"], true);
}

#[tokio::test]
async fn a_webhook_that_takes_no_messages_is_invalid() {
    let app = TestApp::start().await;
    for kind in [DiscordWebhookKind::ChannelFollower, DiscordWebhookKind::Application] {
        let config = webhook(&app, |webhook| webhook.kind = kind);
        judge(&app, "discord", &config).await.is("invalid", "is not an incoming webhook's");
    }
}

#[tokio::test]
async fn what_is_not_a_webhooks_url_is_invalid_and_nobody_is_asked() {
    let app = TestApp::start().await;
    for other in [
        format!("discord.com.example.com/api/webhooks/{ID}/{TOKEN}"),
        format!("discord.com/api/webhooks/{ID}"),
        format!("discord.com/api/webhooks/{ID}/{TOKEN}/slack"),
        "discord.com/channels/1/2".to_owned(),
        "discord.gg/invite".to_owned(),
    ] {
        judge(&app, "discord", &url(&other)).await.is("invalid", "not the URL of a Discord webhook");
    }
    assert!(app.fakes.discord.host.requests().is_empty());
    let numeric = url(&format!("discord.com/api/webhooks/99999999999999999999/{TOKEN}"));
    judge(&app, "discord", &numeric).await.is("invalid", "not the URL of a Discord webhook");
    let body = json!({ "type": "discord", "config": { "webhookUrl": "http://discord.com/api/webhooks/1/x" } });
    let answer = app.services().post("/api/integrations/test", &body).await.expect(400);
    assert!(answer["fields"]["config.webhookUrl"].as_str().unwrap().contains("https"), "{answer}");
}

#[tokio::test]
async fn a_webhook_without_the_right_to_post_is_limited() {
    let app = TestApp::start().await;
    let forbidden = json!({ "message": "Missing Permissions", "code": 50013 });
    app.fakes.discord.host.faults().next(1, says(403, &forbidden));
    judge(&app, "discord", &config(&app, "discord")).await.is("limited", "Check the channel's permissions");
}

#[tokio::test]
async fn throttling_and_trouble_are_not_held_against_the_webhook() {
    let app = TestApp::start().await;
    let working = config(&app, "discord");
    app.fakes.discord.throttle(1, 0.5);
    judge(&app, "discord", &working).await.is_inconclusive("too often");
    // What Discord's edge says to callers that it does not like, in JSON.
    app.fakes.discord.host.faults().next(1, says(403, &json!({ "message": "internal network error", "code": 40333 })));
    judge(&app, "discord", &working).await.is_inconclusive("HTTP 403");
    app.fakes.discord.host.faults().next(1, says(401, &json!({ "message": "401: Unauthorized", "code": 0 })));
    judge(&app, "discord", &working).await.is_inconclusive("HTTP 401");
    is_never_blamed(&app, "discord", &working, &app.fakes.discord.host).await;
}

#[tokio::test]
async fn every_form_of_a_webhooks_url_works() {
    let app = TestApp::start().await;
    let _ = webhook(&app, |_| {});
    for form in [
        "discord.com/api",
        "discord.com/api/v10",
        "discordapp.com/api",
        "ptb.discord.com/api",
        "canary.discord.com/api",
    ] {
        judge(&app, "discord", &url(&format!("{form}/webhooks/{ID}/{TOKEN}"))).await.is_valid();
    }
}

#[tokio::test]
async fn a_message_arrives_as_it_was_written_and_mentions_nobody() {
    let app = TestApp::start().await;
    let text = "@everyone @here <@80351110224678912> <@&165511591545143296> *bold* <b>";
    let sent = deliver(&app, "discord", &config(&app, "discord"), &json!({ "text": text, "title": "Alert" })).await;
    let [message] = app.fakes.discord.messages().try_into().unwrap();
    assert_eq!(sent.expect(200)["providerMessageId"], message.id);
    assert_eq!(message.content, format!("Alert\n\n{text}"));
    assert!(!message.mentions_everyone);
    assert!(message.mentioned_users.is_empty() && message.mentioned_roles.is_empty(), "{message:?}");
}

#[tokio::test]
async fn a_message_is_measured_in_characters() {
    let app = TestApp::start().await;
    let id = create(&app, "discord", &config(&app, "discord")).await;
    let _ = send(&app, &id, &json!({ "text": "ü🔷".repeat(1_000) })).await.expect(200);
    let body = send(&app, &id, &json!({ "text": "ü🔷".repeat(1_000), "title": "!" })).await.expect(400);
    assert!(body["fields"]["text"].as_str().unwrap().contains("2000 characters"), "{body}");
    assert_eq!(received(&app), 1);
}

#[tokio::test]
async fn a_forum_needs_a_thread() {
    let app = TestApp::start().await;
    let mut forum = webhook(&app, |webhook| webhook.is_forum = true);
    let refused = deliver(&app, "discord", &forum, &json!({ "text": "hello" })).await;
    is_refused(&refused, "forum", "Add ?thread_id=");
    forum["webhookUrl"] = json!(format!("{}?thread_id=77", forum["webhookUrl"].as_str().unwrap()));
    let _ = deliver(&app, "discord", &forum, &json!({ "text": "hello" })).await.expect(200);
    assert_eq!(app.fakes.discord.messages()[0].thread.as_deref(), Some("77"));
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let app = TestApp::start().await;
    let forbidden = webhook(&app, |webhook| webhook.is_forbidden = true);
    let refused = deliver(&app, "discord", &forbidden, &json!({ "text": "hello" })).await;
    is_refused(&refused, "not permitted", "Check the channel's permissions");
    let wrong = url(&format!("discord.com/api/webhooks/{ID}/another-token"));
    let refused = deliver(&app, "discord", &wrong, &json!({ "text": "hello" })).await;
    is_refused(&refused, "token", "Copy the whole URL");
    assert_eq!(received(&app), 0);
}

#[tokio::test]
async fn what_may_have_been_posted_is_not_posted_again() {
    let app = TestApp::start().await;
    let hello = json!({ "text": "hello" });
    is_never_sent_twice(&app, "discord", &config(&app, "discord"), &hello, &app.fakes.discord.host).await;
}
