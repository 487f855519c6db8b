//! Type `telegram`: a bot, and the chats that it may or may not write to.

use fakes::telegram::{TelegramChat, TelegramChatKind, TelegramStanding};
use kit::TestApp;
use serde_json::{Value, json};

use super::super::fixtures::{config, create, read, received, send, with};
use super::{deliver, is_never_blamed, is_never_sent_twice, is_refused, judge, says};

const PERSON: i64 = 77;
const GROUP: i64 = -4_001;
const SUPERGROUP: i64 = -1_001_000_000_002;
const CHANNEL: i64 = -1_001_000_000_003;

/// A config whose chat is this one, to which the bot stands like this.
fn chat(app: &TestApp, id: i64, standing: TelegramStanding) -> Value {
    let kind = match id {
        PERSON => TelegramChatKind::Private,
        GROUP => TelegramChatKind::Group,
        SUPERGROUP => TelegramChatKind::Supergroup,
        _ => TelegramChatKind::Channel,
    };
    app.fakes.telegram.add_chat(TelegramChat { standing, ..TelegramChat::new(id, kind, "Somewhere") });
    with(config(app, "telegram"), json!({ "chatId": id }))
}

fn token(token: &str) -> Value {
    json!({ "botToken": token })
}

#[tokio::test]
async fn a_token_that_telegram_refuses_is_invalid() {
    let app = TestApp::start().await;
    let revoked = config(&app, "telegram");
    app.fakes.telegram.revoke(&app.demo.telegram_bot_token);
    judge(&app, "telegram", &revoked).await.is("invalid", "Copy the token from @BotFather again");
    // A well-formed one that nobody has, one without a secret, and ones that lead elsewhere in the path.
    for other in ["987654321:unknown", "not-a-token", "0123:zero-first", "1:x/../../getMe?", "1:ü#fragment"] {
        judge(&app, "telegram", &token(other)).await.is("invalid", "Copy the token from @BotFather again");
    }
    let paths: Vec<String> = app.fakes.telegram.host.requests().into_iter().map(|request| request.path).collect();
    assert!(paths.iter().all(|path| path.starts_with("/bot") && path.ends_with("/getMe")), "{paths:?}");
}

#[tokio::test]
async fn a_chat_that_the_bot_cannot_see_is_limited() {
    let app = TestApp::start().await;
    let unknown = with(config(&app, "telegram"), json!({ "chatId": "5" }));
    judge(&app, "telegram", &unknown).await.is("limited", "press Start");
    let unnamed = with(config(&app, "telegram"), json!({ "chatId": "@nobody_here" }));
    judge(&app, "telegram", &unnamed).await.is("limited", "press Start");
    for (id, standing) in [
        (SUPERGROUP, TelegramStanding::Kicked),
        (SUPERGROUP, TelegramStanding::NotMember),
        (CHANNEL, TelegramStanding::Kicked),
        (CHANNEL, TelegramStanding::NotMember),
    ] {
        let config = chat(&app, id, standing);
        judge(&app, "telegram", &config).await.is("limited", "add it to the group again");
    }
}

/// Telegram shows a chat to the bot although it may not write there, so only a message can tell.
#[tokio::test]
async fn a_chat_that_can_be_seen_but_not_written_to_is_noticed_only_by_a_message() {
    let app = TestApp::start().await;
    for (id, standing, hint) in [
        (PERSON, TelegramStanding::Blocked, "Unblock the bot"),
        (PERSON, TelegramStanding::Deactivated, "Unblock the bot"),
        (GROUP, TelegramStanding::Kicked, "add it to the group again"),
        (GROUP, TelegramStanding::NotMember, "add it to the group again"),
        (GROUP, TelegramStanding::UpgradedTo(SUPERGROUP), "Use -1001000000002 as the chat id"),
        (SUPERGROUP, TelegramStanding::Muted, "the bot's rights in the chat"),
        (CHANNEL, TelegramStanding::Muted, "the bot's rights in the chat"),
    ] {
        let config = chat(&app, id, standing);
        judge(&app, "telegram", &config).await.is_valid();
        is_refused(&deliver(&app, "telegram", &config, &json!({ "text": "hello" })).await, "", hint);
    }
    assert_eq!(received(&app), 0);
}

#[tokio::test]
async fn a_group_that_became_a_supergroup_is_limited_and_the_new_id_is_told() {
    let app = TestApp::start().await;
    let moved = json!({
        "ok": false,
        "error_code": 400,
        "description": "Bad Request: group chat was upgraded to a supergroup chat",
        "parameters": { "migrate_to_chat_id": SUPERGROUP },
    });
    app.fakes.telegram.host.faults().next_on("getChat", 1, says(400, &moved));
    judge(&app, "telegram", &config(&app, "telegram")).await.is("limited", "Use -1001000000002 as the chat id");
}

#[tokio::test]
async fn throttling_and_trouble_are_not_held_against_the_bot() {
    let app = TestApp::start().await;
    let working = config(&app, "telegram");
    app.fakes.telegram.throttle(1, 30);
    judge(&app, "telegram", &working).await.is_inconclusive("too often");
    let busy = json!({ "ok": false, "error_code": 429, "description": "Too Many Requests: retry after 3" });
    app.fakes.telegram.host.faults().next_on("getChat", 1, says(429, &busy));
    judge(&app, "telegram", &working).await.is_inconclusive("too often");
    is_never_blamed(&app, "telegram", &working, &app.fakes.telegram.host).await;
}

#[tokio::test]
async fn a_chat_is_named_by_its_number_or_its_public_name_and_kept_as_text() {
    let app = TestApp::start().await;
    let public = TelegramChat {
        username: Some("causeway_news".into()),
        ..TelegramChat::new(CHANNEL, TelegramChatKind::Channel, "News")
    };
    app.fakes.telegram.add_chat(public);
    for (given, kept) in [(json!(CHANNEL), "-1001000000003"), (json!("@causeway_news"), "@causeway_news")] {
        let config = with(config(&app, "telegram"), json!({ "chatId": given }));
        judge(&app, "telegram", &config).await.is_valid();
        let id = create(&app, "telegram", &config).await;
        assert_eq!(read(&app, &id).await["config"]["chatId"], kept);
        let _ = send(&app, &id, &json!({ "text": "hello" })).await.expect(200);
    }
    assert!(app.fakes.telegram.messages().iter().all(|message| message.chat_id == CHANNEL));
    judge(&app, "telegram", &token(&app.demo.telegram_bot_token)).await.is_valid();
}

#[tokio::test]
async fn a_message_arrives_as_it_was_written() {
    let app = TestApp::start().await;
    let text = "<b>*bold*</b> _under_score & [link](https://example.com) 1. #tag";
    let sent = deliver(&app, "telegram", &config(&app, "telegram"), &json!({ "text": text, "title": "Alert!" })).await;
    let [message] = app.fakes.telegram.messages().try_into().unwrap();
    assert_eq!(sent.expect(200)["providerMessageId"], message.id.to_string());
    assert_eq!((message.text, message.parse_mode), (format!("Alert!\n\n{text}"), None));
}

#[tokio::test]
async fn a_message_is_measured_in_characters() {
    let app = TestApp::start().await;
    let id = create(&app, "telegram", &config(&app, "telegram")).await;
    let _ = send(&app, &id, &json!({ "text": "ü🔷".repeat(2_048) })).await.expect(200);
    let body = send(&app, &id, &json!({ "text": "x".repeat(4_097) })).await.expect(400);
    assert!(body["fields"]["text"].as_str().unwrap().contains("4096 characters"), "{body}");
    assert_eq!(received(&app), 1);
}

#[tokio::test]
async fn a_bot_without_a_chat_needs_one_in_the_request() {
    let app = TestApp::start().await;
    let id = create(&app, "telegram", &token(&app.demo.telegram_bot_token)).await;
    let body = send(&app, &id, &json!({ "text": "hello" })).await.expect(400);
    assert!(body["fields"]["to"].as_str().unwrap().contains("is missing: one chat id"), "{body}");
    let _ = send(&app, &id, &json!({ "text": "hello", "to": app.demo.telegram_chat_id })).await.expect(200);
}

#[tokio::test]
async fn a_bot_that_is_throttled_tells_how_long_to_wait() {
    let app = TestApp::start().await;
    let id = create(&app, "telegram", &config(&app, "telegram")).await;
    app.fakes.telegram.throttle(1, 17);
    let answer = send(&app, &id, &json!({ "text": "hello" })).await;
    is_refused(&answer, "too much", "Wait");
    assert_eq!((&answer.json()["retry_after"], answer.header("retry-after")), (&json!(17), Some("17")));
    assert_eq!((received(&app), app.fakes.telegram.host.requests().len()), (0, 1));
}

#[tokio::test]
async fn a_token_that_is_refused_when_sending_is_named() {
    let app = TestApp::start().await;
    let revoked = config(&app, "telegram");
    app.fakes.telegram.revoke(&app.demo.telegram_bot_token);
    let answer = deliver(&app, "telegram", &revoked, &json!({ "text": "hello" })).await;
    is_refused(&answer, "rejected the bot token", "@BotFather");
}

#[tokio::test]
async fn what_may_have_been_sent_is_not_sent_again() {
    let app = TestApp::start().await;
    let hello = json!({ "text": "hello" });
    is_never_sent_twice(&app, "telegram", &config(&app, "telegram"), &hello, &app.fakes.telegram.host).await;
}
