//! Telegram: a bot's token and, by default, a chat.
//!
//! `getMe` judges the token and `getChat` whether the bot can see the chat; neither shows in the chat. Telegram answers
//! in JSON with `ok`, and repeats the HTTP status in it; the token is part of the path, so no path is ever shown.
//! Messages are plain text, but Telegram turns an `@name` into a mention in that, too; nothing switches it off.

use std::time::Duration;

use axum::http::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use shared::egress::{Answer, Egress, Outgoing, Upstream};

use super::{
    Config, Field, Objection, Provider, Shape, not_its_words, plain_text, recipient, refused_for_now, segment,
    shortened, too_long, unanswered, unconfirmed, undelivered, unexpected, within,
};
use crate::model::{Delivery, Message, Refusal, Report};

const FIELDS: &[Field] = &[
    Field::secret(
        "botToken",
        "Bot token",
        Shape::Text(512),
        "Talk to @BotFather in Telegram: /newbot makes a bot, /token shows the token of one you have.",
    )
    .required(),
    Field::plain(
        "chatId",
        "Default chat",
        Shape::ChatId,
        "Where the bot writes when a message names no chat: the chat's id, which is negative for groups, or the public \
         name of a channel or group with @. Add the bot to the chat first; a person must have pressed Start.",
    ),
];

/// What a message may hold. Telegram counts characters, not the UTF-16 units in which it gives positions.
const LONGEST_TEXT: usize = 4_096;

const NO_TOKEN: &str = "There is no bot token. Give botToken.";

pub(super) struct Telegram;

#[async_trait::async_trait]
impl Provider for Telegram {
    fn label(&self) -> &'static str {
        "Telegram"
    }

    fn description(&self) -> &'static str {
        "Sends messages to a Telegram chat, group or channel as a bot."
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    async fn check(&self, config: &Config, egress: &Egress) -> Report {
        let Some(token) = config.secret("botToken") else { return Report::invalid(NO_TOKEN) };
        if let Err(report) = ask(call(egress, Method::GET, token, "getMe"), token_objection).await {
            return report;
        }
        let Some(chat) = config.text("chatId") else { return Report::valid() };
        let request = call(egress, Method::GET, token, "getChat").query(&[("chat_id", chat)]);
        ask(request, objection).await.err().unwrap_or_else(Report::valid)
    }

    async fn send(&self, config: &Config, message: &Message, egress: &Egress) -> Result<Delivery, Refusal> {
        let chat = recipient(message, config.text("chatId"), "one chat id, or the public name of a chat with @")?;
        let text = within(plain_text(message), LONGEST_TEXT, "Telegram")?;
        let token = config.secret("botToken").ok_or_else(|| Refusal::unusable("botToken", NO_TOKEN))?;
        let payload = json!({ "chat_id": chat, "text": text, "link_preview_options": { "is_disabled": true } });
        match call(egress, Method::POST, token, "sendMessage").json(&payload).send().await {
            Ok(answer) => delivery(&answer),
            Err(error) => Err(undelivered("Telegram", &error)),
        }
    }
}

/// What Telegram answers, whatever the method.
#[derive(Deserialize)]
struct Reply {
    ok: bool,
    #[serde(default)]
    description: String,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Default, Deserialize)]
struct Parameters {
    /// In seconds.
    retry_after: Option<u64>,
    /// The supergroup that a group became.
    migrate_to_chat_id: Option<i64>,
}

#[derive(Deserialize)]
struct Sent {
    result: SentMessage,
}

#[derive(Deserialize)]
struct SentMessage {
    message_id: i64,
}

fn call(egress: &Egress, method: Method, token: &SecretString, name: &str) -> Outgoing {
    egress.upstream(method, Upstream::Telegram, &format!("/bot{}/{name}", segment(token.expose_secret())))
}

/// Asks, and reports anything but a yes; `objection` says which objections are to be expected.
async fn ask(request: Outgoing, objection: fn(u16, &Reply) -> Option<Objection>) -> Result<(), Report> {
    let answer = request.send().await.map_err(|error| unanswered("Telegram", &error))?;
    match answer.json::<Reply>() {
        Some(reply) if reply.ok => Ok(()),
        Some(reply) => {
            Err(objection(answer.status, &reply).map_or_else(|| unexpected("Telegram", &answer), Objection::report))
        }
        None => Err(unexpected("Telegram", &answer)),
    }
}

fn delivery(answer: &Answer) -> Result<Delivery, Refusal> {
    match answer.json::<Reply>() {
        Some(reply) if reply.ok => {
            let id = answer.json::<Sent>().map(|sent| sent.result.message_id.to_string());
            Ok(Delivery { provider_message_id: id })
        }
        Some(reply) => Err(refusal(answer, &reply)),
        None if answer.is_success() => Err(unconfirmed("Telegram", answer)),
        None => Err(not_its_words("Telegram", answer)),
    }
}

fn refusal(answer: &Answer, reply: &Reply) -> Refusal {
    if reply.description.to_ascii_lowercase().contains("message is too long") {
        return too_long(LONGEST_TEXT, "Telegram");
    }
    let pause = reply.parameters.retry_after.map(Duration::from_secs);
    objection(answer.status, reply).map_or_else(|| refused_for_now("Telegram", answer, pause), Objection::refusal)
}

/// What Telegram objects to, if it concerns the token or the chat.
fn objection(status: u16, reply: &Reply) -> Option<Objection> {
    token_objection(status, reply).or_else(|| chat_objection(status, reply))
}

/// A malformed token is answered with 404: to Telegram it is a path that does not exist.
fn token_objection(status: u16, _reply: &Reply) -> Option<Objection> {
    let objection = Objection::invalid(
        "Telegram rejected the bot token: it is wrong or was revoked.",
        "Copy the token from @BotFather again and put it into botToken.",
    );
    matches!(status, 401 | 404).then_some(objection)
}

fn chat_objection(status: u16, reply: &Reply) -> Option<Objection> {
    let said = shortened(&reply.description, 200);
    let objection = match (status, reply.parameters.migrate_to_chat_id) {
        (400, Some(new)) => Objection::limited(
            format!("The group became a supergroup, and its chat id is now {new}."),
            format!("Use {new} as the chat id."),
        ),
        (400, None) if said.to_ascii_lowercase().contains("chat not found") => Objection::limited(
            "The bot has never seen this chat.",
            "Open the bot in Telegram and press Start, or add it to the group or channel. Check the chat id, too: those of \
             groups are negative, and a public name begins with @.",
        ),
        (400, None) => Objection::limited(
            format!("Telegram does not let the bot write to this chat ({said})."),
            "Check the chat id and the bot's rights in the chat.",
        ),
        (403, _) => Objection::limited(
            format!("The bot is shut out of this chat ({said})."),
            "Unblock the bot, or add it to the group again; in a channel it must be an administrator.",
        ),
        _ => return None,
    };
    Some(objection)
}

#[cfg(test)]
mod tests {
    use super::super::stand_in::{Double, Reply as Prepared, config, message, nowhere};
    use super::*;
    use crate::model::Verdict::{Inconclusive, Invalid, Limited, Valid};

    fn bot(chat: Option<&str>) -> Config {
        match chat {
            Some(chat) => config(FIELDS, json!({ "botToken": "123:s3cret", "chatId": chat })),
            None => config(FIELDS, json!({ "botToken": "123:s3cret" })),
        }
    }

    fn yes() -> Prepared {
        Prepared::new(200, json!({ "ok": true, "result": { "id": 123, "is_bot": true, "message_id": 77 } }))
    }

    fn no(status: u16, description: &str) -> Prepared {
        Prepared::new(status, json!({ "ok": false, "error_code": status, "description": description }))
    }

    fn moved() -> Prepared {
        let parameters = json!({ "migrate_to_chat_id": -100_777 });
        let description = "Bad Request: group chat was upgraded to a supergroup chat";
        Prepared::new(
            400,
            json!({ "ok": false, "error_code": 400, "description": description, "parameters": parameters }),
        )
    }

    #[tokio::test]
    async fn a_token_is_judged_by_get_me() {
        let cases = [
            (yes(), Valid),
            (no(401, "Unauthorized"), Invalid),
            (no(404, "Not Found"), Invalid),
            (no(403, "Forbidden"), Inconclusive),
            (no(421, "Misdirected Request"), Inconclusive),
            (no(429, "Too Many Requests: retry after 5"), Inconclusive),
            (no(500, "Internal Server Error"), Inconclusive),
            (Prepared::new(404, "<html>proxy</html>"), Inconclusive),
            (Prepared::new(401, "<html>proxy</html>"), Inconclusive),
            (Prepared::new(200, "<html>welcome</html>"), Inconclusive),
        ];
        for (prepared, verdict) in cases {
            let telegram = Double::answering([prepared.clone()]).await;
            let report = Telegram.check(&bot(None), &telegram.standing_for(Upstream::Telegram)).await;
            assert_eq!(report.verdict, verdict, "{prepared:?}: {}", report.message);
            let [asked] = telegram.asked().try_into().unwrap();
            assert_eq!((asked.method.as_str(), asked.path.as_str()), ("GET", "/bot123:s3cret/getMe"));
        }
        let unreached = Telegram.check(&bot(None), &nowhere()).await;
        assert_eq!(unreached.verdict, Inconclusive);
        assert!(!unreached.message.contains("s3cret"), "{}", unreached.message);
    }

    #[tokio::test]
    async fn a_chat_is_judged_by_get_chat() {
        let cases = [
            (yes(), Valid, ""),
            (no(400, "Bad Request: chat not found"), Limited, "press Start"),
            (moved(), Limited, "-100777"),
            (no(403, "Forbidden: bot was kicked from the supergroup chat"), Limited, "was kicked"),
            (no(429, "Too Many Requests: retry after 5"), Inconclusive, ""),
            (Prepared::new(502, "<html>"), Inconclusive, ""),
        ];
        for (prepared, verdict, told) in cases {
            let telegram = Double::answering([yes(), prepared.clone()]).await;
            let report = Telegram.check(&bot(Some("@ops")), &telegram.standing_for(Upstream::Telegram)).await;
            assert_eq!(report.verdict, verdict, "{prepared:?}");
            assert!(report.message.contains(told), "{}", report.message);
            assert_eq!(telegram.asked()[1].path, "/bot123:s3cret/getChat?chat_id=%40ops");
        }
    }

    #[tokio::test]
    async fn a_token_stays_one_segment_of_the_path() {
        let telegram = Double::answering([no(404, "Not Found")]).await;
        let config = config(FIELDS, json!({ "botToken": "1:a/../../x?y#z ü%2F" }));
        Telegram.check(&config, &telegram.standing_for(Upstream::Telegram)).await;
        assert_eq!(telegram.asked()[0].path, "/bot1:a%2F..%2F..%2Fx%3Fy%23z%20%C3%BC%252F/getMe");
    }

    #[tokio::test]
    async fn a_message_goes_out_as_plain_text() {
        let telegram = Double::answering([yes()]).await;
        let egress = telegram.standing_for(Upstream::Telegram);
        let titled = Message { title: Some("Alert".into()), ..message("<b>*now*</b>", &[]) };
        let sent = Telegram.send(&bot(Some("-100123")), &titled, &egress).await.unwrap();
        assert_eq!(sent.provider_message_id.as_deref(), Some("77"));
        Telegram.send(&bot(Some("-100123")), &message("hello", &["@ops"]), &egress).await.unwrap();
        let asked = telegram.asked();
        assert_eq!(asked[0].path, "/bot123:s3cret/sendMessage");
        let payload = json!({
            "chat_id": "-100123", "text": "Alert\n\n<b>*now*</b>", "link_preview_options": { "is_disabled": true },
        });
        assert_eq!(asked[0].body, payload);
        assert_eq!(asked[1].body["chat_id"], "@ops");
    }

    #[tokio::test]
    async fn what_cannot_be_sent_is_refused_before_anyone_is_asked() {
        for (config, message, at) in [
            (bot(None), message("hello", &[]), "to"),
            (bot(None), message("hello", &["1", "2"]), "to"),
            (bot(Some("1")), message(&"🔷".repeat(LONGEST_TEXT + 1), &[]), "text"),
        ] {
            let refused = Telegram.send(&config, &message, &nowhere()).await.unwrap_err();
            assert!(matches!(&refused, Refusal::Unusable { field, .. } if field == at), "{refused:?}");
        }
    }

    #[tokio::test]
    async fn a_refusal_says_what_to_do() {
        let refused = |prepared: Prepared| async move {
            let telegram = Double::answering([prepared]).await;
            Telegram
                .send(&bot(Some("1")), &message("hello", &[]), &telegram.standing_for(Upstream::Telegram))
                .await
                .unwrap_err()
        };
        let told = |refusal: Refusal| match refusal {
            Refusal::Refused { message, hint: Some(hint), .. } => format!("{message} {hint}"),
            other => panic!("{other:?}"),
        };
        assert!(told(refused(no(401, "Unauthorized")).await).contains("@BotFather"));
        assert!(told(refused(moved()).await).contains("Use -100777"));
        assert!(told(refused(no(403, "Forbidden: bot was blocked by the user")).await).contains("Unblock"));
        assert!(told(refused(no(400, "Bad Request: not enough rights")).await).contains("not enough rights"));
        let long = refused(no(400, "Bad Request: message is too long")).await;
        assert!(matches!(long, Refusal::Unusable { field, .. } if field == "text"));
        assert!(told(refused(no(500, "Internal Server Error")).await).contains("HTTP 500"));
        for lost in [200, 500, 502, 503] {
            assert!(matches!(refused(Prepared::new(lost, "<html>")).await, Refusal::Unknown { .. }), "{lost}");
        }
        let throttled = json!({ "ok": false, "error_code": 429, "parameters": { "retry_after": 9 } });
        let pause = Duration::from_secs(9);
        let throttled = refused(Prepared::new(429, throttled)).await;
        assert!(
            matches!(throttled, Refusal::Refused { retry_after: Some(told), .. } if told == pause),
            "{throttled:?}"
        );
    }
}
