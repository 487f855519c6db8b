//! `slack`: by an incoming webhook, and as a bot.

use fakes::slack::{SlackBot, SlackChannel, SlackRefusal};
use fakes::{Answer as Reply, Fault};
use kit::TestApp;
use serde_json::{Value, json};

use super::super::fixtures::{config, create, received, send, with};
use super::{deliver, is_never_blamed, is_never_sent_twice, is_refused, judge, says};

/// A bot whose default is the channel that it is in.
fn bot(app: &TestApp) -> Value {
    json!({ "apiKey": app.demo.slack_bot_token, "channel": app.demo.slack_channel })
}

fn webhook(rest: &str) -> Value {
    json!({ "webhookUrl": format!("https://{rest}") })
}

#[tokio::test]
async fn a_webhook_and_a_token_exclude_each_other_and_one_must_be_there() {
    let app = TestApp::start().await;
    for (config, told) in [
        (json!({ "channel": "C1" }), "is missing"),
        (with(config(&app, "slack"), bot(&app)), "cannot stand beside apiKey"),
    ] {
        let body = json!({ "name": "mine", "type": "slack", "config": config });
        let answer = app.services().post("/api/integrations", &body).await.expect(400);
        assert!(answer["fields"]["config.webhookUrl"].as_str().unwrap().contains(told), "{answer}");
    }
}

#[tokio::test]
async fn a_webhook_that_slack_does_not_know_is_invalid() {
    let app = TestApp::start().await;
    let working = config(&app, "slack");
    for other in ["B0SANDBOX/another-secret", "B0OTHER/another-secret"] {
        let wrong = webhook(&format!("hooks.slack.com/services/T0SANDBOX/{other}"));
        judge(&app, "slack", &wrong).await.is("invalid", "Create an incoming webhook");
    }
    app.fakes.slack.remove_hook("B0SANDBOX");
    judge(&app, "slack", &working).await.is("invalid", "it was removed");
}

#[tokio::test]
async fn what_is_not_a_webhooks_url_is_invalid_and_nobody_is_asked() {
    let app = TestApp::start().await;
    for other in [
        "hooks.slack.com.example.com/services/T0/B0/secret",
        "hooks.slack.com:8443/services/T0/B0/secret",
        "hooks.slack.com/other/T0/B0/secret",
        "slack.com/api/chat.postMessage",
    ] {
        judge(&app, "slack", &webhook(other)).await.is("invalid", "not the URL of a Slack incoming webhook");
    }
    for workflow in ["hooks.slack.com/workflows/T0/A0/1/secret", "hooks.slack.com/triggers/T0/1/secret"] {
        judge(&app, "slack", &webhook(workflow)).await.is("invalid", "Create an incoming webhook instead");
    }
    assert!(app.fakes.slack.hooks.requests().is_empty() && app.fakes.slack.api.requests().is_empty());
}

#[tokio::test]
async fn a_webhook_whose_channel_takes_no_messages_shows_it_only_when_one_is_sent() {
    let app = TestApp::start().await;
    let (working, hello) = (config(&app, "slack"), json!({ "text": "hello" }));
    app.fakes.slack.archive_channel(&app.demo.slack_channel);
    judge(&app, "slack", &working).await.is_valid();
    is_refused(&deliver(&app, "slack", &working, &hello).await, "archived", "Unarchive it");
    app.fakes.slack.delete_channel(&app.demo.slack_channel);
    is_refused(&deliver(&app, "slack", &working, &hello).await, "does not know the channel", "choose another channel");
    app.fakes.slack.prohibit_hook("B0SANDBOX");
    is_refused(&deliver(&app, "slack", &working, &hello).await, "does not let the app post", "Ask an administrator");
    app.fakes.slack.remove_hook("B0SANDBOX");
    is_refused(
        &deliver(&app, "slack", &working, &hello).await,
        "does not know this webhook",
        "Create an incoming webhook",
    );
    assert_eq!(received(&app), 0);
}

/// Slack looks at the channel only after the payload, but nothing promises that it always will.
#[tokio::test]
async fn a_word_about_the_channel_does_not_make_the_webhook_invalid() {
    let app = TestApp::start().await;
    for (status, word, told) in [
        (403, "action_prohibited", "Ask an administrator"),
        (404, "channel_not_found", "choose another channel"),
        (410, "channel_is_archived", "Unarchive it"),
    ] {
        app.fakes.slack.hooks.faults().next(1, Fault::Answer(Reply::status(status).body(word)));
        judge(&app, "slack", &config(&app, "slack")).await.is("limited", told);
    }
    app.fakes.slack.hooks.faults().next(1, Fault::Answer(Reply::status(404).body("a_word_of_tomorrow")));
    judge(&app, "slack", &config(&app, "slack")).await.is("invalid", "Create an incoming webhook");
}

#[tokio::test]
async fn throttling_and_trouble_are_not_held_against_a_webhook() {
    let app = TestApp::start().await;
    app.fakes.slack.throttle(1, 30);
    judge(&app, "slack", &config(&app, "slack")).await.is_inconclusive("too often");
    is_never_blamed(&app, "slack", &config(&app, "slack"), &app.fakes.slack.hooks).await;
}

#[tokio::test]
async fn a_token_that_slack_refuses_is_invalid() {
    let app = TestApp::start().await;
    judge(&app, "slack", &json!({ "apiKey": "xoxb-wrong" })).await.is("invalid", "Copy the Bot User OAuth Token again");
    for (refusal, told) in [
        (SlackRefusal::Revoked, "Reinstall the app"),
        (SlackRefusal::AccountInactive, "Reinstall the app"),
        (SlackRefusal::Expired, "Reinstall the app"),
        (SlackRefusal::AddressNotAllowed, "allowed addresses"),
    ] {
        app.fakes.slack.refuse_token(&app.demo.slack_bot_token, refusal);
        judge(&app, "slack", &bot(&app)).await.is("invalid", told);
    }
}

#[tokio::test]
async fn a_token_that_may_not_write_is_limited() {
    let app = TestApp::start().await;
    app.fakes.slack.set_scopes(&app.demo.slack_bot_token, &["channels:read"]);
    let judged = judge(&app, "slack", &bot(&app)).await;
    judged.is("limited", "lacks the scope chat:write");
    judged.is("limited", "reinstall the app");
    let refused = deliver(&app, "slack", &bot(&app), &json!({ "text": "hello" })).await;
    is_refused(&refused, "lacks the scope chat:write", "reinstall the app");
}

#[tokio::test]
async fn a_channel_where_the_bot_cannot_post_is_limited() {
    let app = TestApp::start().await;
    let slack = &app.fakes.slack;
    slack.add_channel(SlackChannel { is_archived: true, ..SlackChannel::new("C0ARCHIVED", "old") });
    slack.add_channel(SlackChannel { is_member: false, ..SlackChannel::new("C0FOREIGN", "foreign") });
    slack.add_channel(SlackChannel { is_member: false, is_private: true, ..SlackChannel::new("C0HIDDEN", "hidden") });
    for (channel, told) in [
        ("C0ARCHIVED", "Unarchive it"),
        ("C0FOREIGN", "/invite"),
        ("C0HIDDEN", "invite the app into a private channel"),
        ("C0NOWHERE", "Check the channel's id"),
    ] {
        let config = with(bot(&app), json!({ "channel": channel }));
        judge(&app, "slack", &config).await.is("limited", told);
        is_refused(&deliver(&app, "slack", &config, &json!({ "text": "hello" })).await, "", told);
    }
    slack.set_scopes(&app.demo.slack_bot_token, &["chat:write", "chat:write.public", "channels:read", "groups:read"]);
    let foreign = with(bot(&app), json!({ "channel": "C0FOREIGN" }));
    judge(&app, "slack", &foreign).await.is_valid();
    let _ = deliver(&app, "slack", &foreign, &json!({ "text": "hello" })).await.expect(200);
}

#[tokio::test]
async fn a_channel_that_cannot_be_looked_up_is_not_held_against_the_token() {
    let app = TestApp::start().await;
    let slack = &app.fakes.slack;
    let by_name = with(bot(&app), json!({ "channel": "#alerts" }));
    judge(&app, "slack", &by_name).await.is_valid();
    slack.set_scopes(&app.demo.slack_bot_token, &["chat:write"]);
    judge(&app, "slack", &bot(&app)).await.is_valid();
    assert_eq!(slack.api.calls("conversations.info"), 0, "it would only be refused");
    // With one of the two scopes a channel of the other kind looks as if there were none.
    slack.set_scopes(&app.demo.slack_bot_token, &["chat:write", "channels:read"]);
    slack.add_channel(SlackChannel { is_private: true, ..SlackChannel::new("C0PRIVATE", "private") });
    judge(&app, "slack", &with(bot(&app), json!({ "channel": "C0PRIVATE" }))).await.is_valid();
    slack.set_scopes(&app.demo.slack_bot_token, &["chat:write", "channels:read", "groups:read"]);
    let slow_down =
        Reply::status(429).header("retry-after", "30").json(&json!({ "ok": false, "error": "ratelimited" }));
    slack.api.faults().next_on("conversations.info", 1, Fault::Answer(slow_down));
    judge(&app, "slack", &bot(&app)).await.is_valid();
}

#[tokio::test]
async fn throttling_and_trouble_are_not_held_against_a_token() {
    let app = TestApp::start().await;
    app.fakes.slack.throttle(1, 30);
    judge(&app, "slack", &bot(&app)).await.is_inconclusive("too often");
    for word in ["ratelimited", "internal_error", "fatal_error", "request_timeout", "team_added_to_org"] {
        app.fakes.slack.api.faults().next(1, says(200, &json!({ "ok": false, "error": word })));
        judge(&app, "slack", &bot(&app)).await.is_inconclusive("Slack");
    }
    is_never_blamed(&app, "slack", &bot(&app), &app.fakes.slack.api).await;
}

#[tokio::test]
async fn a_message_arrives_as_it_was_written_and_notifies_nobody() {
    let app = TestApp::start().await;
    app.fakes.slack.add_channel(SlackChannel::new("C0GENERAL", "general"));
    let text = "<!channel> <!here> @everyone <@U0SANDBOX> Tom & Jerry *now* <https://example.com|click>";
    for config in [config(&app, "slack"), bot(&app)] {
        let message = json!({ "text": text, "title": "Alert <!everyone>" });
        let _ = deliver(&app, "slack", &config, &message).await.expect(200);
    }
    let messages = app.fakes.slack.messages();
    assert_eq!(messages.len(), 2);
    for message in messages {
        assert!(!message.broadcasts, "{}", message.text);
        assert!(!message.text.contains('<'), "no markup of Slack's is left: {}", message.text);
        let shown = message.text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        assert_eq!(shown, format!("Alert <!everyone>\n\n{text}"));
        assert_eq!(message.payload["mrkdwn"], false);
    }
}

#[tokio::test]
async fn a_bot_posts_to_its_default_or_to_the_channel_that_is_asked_for() {
    let app = TestApp::start().await;
    app.fakes.slack.add_channel(SlackChannel::new("C0GENERAL", "general"));
    let id = create(&app, "slack", &bot(&app)).await;
    for to in [Value::Null, json!("#general"), json!(["C0GENERAL"])] {
        let mut message = json!({ "text": "hello" });
        if !to.is_null() {
            message["to"] = to;
        }
        let sent = send(&app, &id, &message).await.expect(200);
        assert_eq!(sent["providerMessageId"], app.fakes.slack.messages().last().unwrap().ts);
    }
    let channels: Vec<String> = app.fakes.slack.messages().into_iter().map(|message| message.channel).collect();
    assert_eq!(channels, [app.demo.slack_channel.as_str(), "C0GENERAL", "C0GENERAL"]);
    let homeless = create(&app, "slack", &json!({ "apiKey": app.demo.slack_bot_token })).await;
    for message in [json!({ "text": "hello" }), json!({ "text": "hello", "to": ["C0GENERAL", "C0SANDBOX"] })] {
        let body = send(&app, &homeless, &message).await.expect(400);
        assert!(body["fields"]["to"].as_str().unwrap().contains("one channel"), "{body}");
    }
    assert_eq!(received(&app), 3);
}

#[tokio::test]
async fn a_bot_that_is_throttled_tells_how_long_to_wait() {
    let app = TestApp::start().await;
    let id = create(&app, "slack", &bot(&app)).await;
    app.fakes.slack.throttle(1, 30);
    let answer = send(&app, &id, &json!({ "text": "hello" })).await;
    is_refused(&answer, "too much", "Wait");
    assert_eq!((&answer.json()["retry_after"], answer.header("retry-after")), (&json!(30), Some("30")));
    assert_eq!((received(&app), app.fakes.slack.api.requests().len()), (0, 1));
}

#[tokio::test]
async fn a_text_that_slack_would_cut_is_refused_before_it_is_sent() {
    let app = TestApp::start().await;
    for config in [config(&app, "slack"), bot(&app)] {
        let body = deliver(&app, "slack", &config, &json!({ "text": "x".repeat(40_001) })).await.expect(400);
        assert!(body["fields"]["text"].as_str().unwrap().contains("40000 characters"), "{body}");
    }
    assert_eq!(received(&app), 0);
}

#[tokio::test]
async fn what_slack_may_have_posted_is_not_posted_again() {
    let app = TestApp::start().await;
    let hello = json!({ "text": "hello" });
    is_never_sent_twice(&app, "slack", &config(&app, "slack"), &hello, &app.fakes.slack.hooks).await;
    is_never_sent_twice(&app, "slack", &bot(&app), &hello, &app.fakes.slack.api).await;
    app.fakes.slack.hooks.faults().next(1, Fault::Answer(Reply::status(500).body("rollup_error")));
    let body = deliver(&app, "slack", &config(&app, "slack"), &hello).await.expect(504);
    assert!(body["detail"].as_str().unwrap().contains("rollup_error"), "{body}");
    for word in ["internal_error", "fatal_error", "request_timeout"] {
        app.fakes.slack.api.faults().next(1, says(200, &json!({ "ok": false, "error": word })));
        let body = deliver(&app, "slack", &bot(&app), &hello).await.expect(504);
        assert!(body["detail"].as_str().unwrap().contains(word), "Slack itself does not know: {body}");
    }
}

#[tokio::test]
async fn a_new_bot_of_the_same_workspace_works_beside_the_old_one() {
    let app = TestApp::start().await;
    app.fakes.slack.add_bot(SlackBot::new("xoxb-second"));
    judge(&app, "slack", &json!({ "apiKey": "xoxb-second" })).await.is_valid();
    judge(&app, "slack", &bot(&app)).await.is_valid();
}
