//! Telegram's Bot API: tokens, access to chats, markup and rate limits.

use fakes::telegram::{Telegram, TelegramBot, TelegramChat, TelegramChatKind, TelegramStanding};
use serde_json::{Value, json};

use crate::client::{FORM, JSON, Reply, call, get, post_json};

const TOKEN: &str = "123456789:secret";

async fn telegram() -> Telegram {
    let telegram = Telegram::start().await.unwrap();
    telegram.add_bot(TelegramBot {
        token: TOKEN.to_owned(),
        username: "alerts_bot".to_owned(),
        first_name: "Alerts".to_owned(),
    });
    telegram.add_chat(TelegramChat::new(42, TelegramChatKind::Private, "Ada"));
    telegram.add_chat(TelegramChat::new(-7, TelegramChatKind::Group, "Team"));
    telegram.add_chat(TelegramChat::new(-1007, TelegramChatKind::Supergroup, "Crowd"));
    telegram.add_chat(TelegramChat::new(-1008, TelegramChatKind::Channel, "News"));
    telegram
}

fn url(telegram: &Telegram, token: &str, method: &str) -> String {
    format!("{}/bot{token}/{method}", telegram.host.origin())
}

async fn send(telegram: &Telegram, arguments: &Value) -> Reply {
    post_json(&url(telegram, TOKEN, "sendMessage"), arguments).await
}

#[tokio::test]
async fn get_me_tells_who_the_bot_is() {
    let telegram = telegram().await;
    for method in ["getMe", "getme"] {
        let reply = get(&url(&telegram, TOKEN, method)).await;
        let body = reply.json();
        assert_eq!((reply.status, &body["ok"]), (200, &json!(true)));
        assert_eq!((&body["result"]["id"], &body["result"]["is_bot"]), (&json!(123_456_789), &json!(true)));
        assert_eq!(body["result"]["username"], "alerts_bot");
    }
    let unknown = get(&url(&telegram, TOKEN, "getNothing")).await.json();
    assert_eq!(unknown, json!({ "ok": false, "error_code": 404, "description": "Not Found: method not found" }));
}

#[tokio::test]
async fn bad_tokens_are_unauthorized_or_not_found() {
    let telegram = telegram().await;
    let cases = [
        ("123456789:wrong", 401, "Unauthorized"),
        ("0123:secret", 401, "Unauthorized: invalid token specified"),
        ("-5:secret", 401, "Unauthorized: invalid token specified"),
        ("no-colon", 404, "Not Found"),
        ("word:secret", 404, "Not Found"),
    ];
    for (token, status, description) in cases {
        let reply = get(&url(&telegram, token, "getMe")).await;
        let expected = json!({ "ok": false, "error_code": status, "description": description });
        assert_eq!((reply.status, reply.json()), (status, expected), "{token}");
    }
    telegram.revoke(TOKEN);
    assert_eq!(get(&url(&telegram, TOKEN, "getMe")).await.status, 401);
    assert_eq!(get(&format!("{}/getMe", telegram.host.origin())).await.status, 404);
}

#[tokio::test]
async fn messages_are_sent_however_the_arguments_come() {
    let telegram = telegram().await;
    let reply = send(&telegram, &json!({ "chat_id": 42, "text": "one", "disable_notification": true })).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["result"]["message_id"], 1);
    let url = url(&telegram, TOKEN, "sendMessage");
    assert_eq!(call("POST", &url, &[FORM], "chat_id=-7&text=two").await.status, 200);
    assert_eq!(get(&format!("{url}?chat_id=-1007&text=three")).await.status, 200);
    let sent: Vec<_> = telegram.messages().into_iter().map(|it| (it.chat_id, it.text, it.is_silent)).collect();
    let expected = [(42, "one", true), (-7, "two", false), (-1007, "three", false)];
    assert_eq!(sent, expected.map(|(chat, text, silent)| (chat, text.to_owned(), silent)));
    assert_eq!(call("POST", &url, &[JSON], "{").await.status, 400);
}

#[tokio::test]
async fn public_names_find_groups_and_channels_but_no_people() {
    let telegram = telegram().await;
    let named = |id, kind| TelegramChat { username: Some(format!("name{id}")), ..TelegramChat::new(id, kind, "x") };
    telegram.add_chat(named(1, TelegramChatKind::Private));
    telegram.add_chat(named(2, TelegramChatKind::Channel));
    assert_eq!(send(&telegram, &json!({ "chat_id": "@NAME2", "text": "hello" })).await.status, 200);
    let reply = send(&telegram, &json!({ "chat_id": "@name1", "text": "hello" })).await;
    assert_eq!(reply.json()["description"], "Bad Request: chat not found");
}

#[tokio::test]
async fn bad_messages_are_bad_requests() {
    let telegram = telegram().await;
    let cases = [
        (json!({ "text": "hello" }), "Bad Request: chat_id is empty"),
        (json!({ "chat_id": 99, "text": "hello" }), "Bad Request: chat not found"),
        (json!({ "chat_id": 42, "text": " \n" }), "Bad Request: message text is empty"),
        (json!({ "chat_id": 42, "text": "x".repeat(4_097) }), "Bad Request: message is too long"),
        (json!({ "chat_id": 42, "text": "hello", "parse_mode": "BBCode" }), "Bad Request: unsupported parse_mode"),
    ];
    for (arguments, description) in cases {
        let reply = send(&telegram, &arguments).await;
        assert_eq!((reply.status, &reply.json()["description"]), (400, &json!(description)));
    }
    for (mode, text) in [("MarkdownV2", "50%."), ("HTML", "a < b"), ("HTML", "<script>x</script>")] {
        let reply = send(&telegram, &json!({ "chat_id": 42, "text": text, "parse_mode": mode })).await;
        assert!(reply.json()["description"].as_str().unwrap().contains("can't parse entities"), "{text}");
    }
    assert!(telegram.messages().is_empty());
    for (mode, text) in [("MarkdownV2", "50%\\."), ("HTML", "<b>a</b> &lt; b")] {
        assert_eq!(send(&telegram, &json!({ "chat_id": 42, "text": text, "parse_mode": mode })).await.status, 200);
    }
}

#[tokio::test]
async fn a_chat_may_be_readable_and_still_refuse_messages() {
    use TelegramStanding::{Blocked, Deactivated, Kicked, Muted, NotMember, UpgradedTo};
    let telegram = telegram().await;
    // For each chat and standing: what getChat answers, what sendMessage answers and says.
    let cases = [
        (42, Blocked, 200, 403, "Forbidden: bot was blocked by the user"),
        (42, Deactivated, 200, 403, "Forbidden: user is deactivated"),
        (-7, Kicked, 200, 403, "Forbidden: bot was kicked from the group chat"),
        (-7, NotMember, 200, 403, "Forbidden: bot is not a member of the group chat"),
        (-7, UpgradedTo(-1007), 200, 400, "Bad Request: group chat was upgraded to a supergroup chat"),
        (-1007, Kicked, 403, 403, "Forbidden: bot was kicked from the supergroup chat"),
        (-1007, NotMember, 403, 403, "Forbidden: bot is not a member of the supergroup chat"),
        (-1007, Muted, 200, 400, "Bad Request: not enough rights to send text messages to the chat"),
        (-1008, Kicked, 403, 403, "Forbidden: bot was kicked from the channel chat"),
        (-1008, NotMember, 403, 403, "Forbidden: bot is not a member of the channel chat"),
        (-1008, Muted, 200, 400, "Bad Request: need administrator rights in the channel chat"),
    ];
    for (chat, standing, read, written, description) in cases {
        telegram.set_standing(chat, standing);
        let info = get(&format!("{}?chat_id={chat}", url(&telegram, TOKEN, "getChat"))).await;
        assert_eq!(info.status, read, "getChat {chat} {standing:?}");
        let reply = send(&telegram, &json!({ "chat_id": chat, "text": "hello" })).await;
        assert_eq!((reply.status, &reply.json()["description"]), (written, &json!(description)));
        assert_eq!(reply.json()["error_code"], written);
    }
    telegram.set_standing(-7, UpgradedTo(-1007));
    let moved = send(&telegram, &json!({ "chat_id": "-7", "text": "hello" })).await.json();
    assert_eq!(moved["parameters"], json!({ "migrate_to_chat_id": -1007 }));
    assert!(telegram.messages().is_empty());

    // A public channel can be looked at by anybody.
    let public = TelegramChat {
        username: Some("news".to_owned()),
        standing: NotMember,
        ..TelegramChat::new(-1008, TelegramChatKind::Channel, "News")
    };
    telegram.add_chat(public);
    let info = get(&format!("{}?chat_id=@news", url(&telegram, TOKEN, "getChat"))).await;
    assert_eq!((info.status, &info.json()["result"]["title"]), (200, &json!("News")));
    assert_eq!(send(&telegram, &json!({ "chat_id": "@news", "text": "hello" })).await.status, 403);
}

#[tokio::test]
async fn a_rate_limit_says_the_wait_twice() {
    let telegram = telegram().await;
    telegram.throttle(1, 7);
    let reply = send(&telegram, &json!({ "chat_id": 42, "text": "hello" })).await;
    assert_eq!((reply.status, reply.header("retry-after")), (429, "7"));
    let expected = json!({
        "ok": false,
        "error_code": 429,
        "description": "Too Many Requests: retry after 7",
        "parameters": { "retry_after": 7 },
    });
    assert_eq!(reply.json(), expected);
    assert_eq!(send(&telegram, &json!({ "chat_id": 42, "text": "hello" })).await.status, 200);
}
