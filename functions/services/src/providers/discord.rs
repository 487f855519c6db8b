//! Discord: an incoming webhook.
//!
//! The webhook's URL holds its id and its token, and whoever has both may read it without posting: that is the check.
//! Every host and API version that Discord shows in such URLs means the same webhook, so requests go to one address.
//! Discord says what it objects to by a number, `code`; a page without one was put there by something in between.

use axum::http::Method;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use shared::egress::{Answer, Egress, Upstream};
use shared::http::FieldProblem;
use url::Url;

use super::{
    Config, Field, Objection, Provider, Shape, is_plain_path, must_be_https, no_recipient, not_its_words, plain_text,
    refused_for_now, shortened, too_long, unanswered, unconfirmed, undelivered, unexpected, within,
};
use crate::model::{Delivery, Message, Refusal, Report};

const FIELDS: &[Field] = &[Field::secret(
    "webhookUrl",
    "Webhook URL",
    Shape::Url,
    "In Discord open the channel's settings, Integrations, Webhooks, create a webhook and copy its URL. To post into a \
     thread, add ?thread_id= and the thread's id to it.",
)
.required()];

/// What a message may hold.
const LONGEST_TEXT: usize = 2_000;
/// The message flag that keeps links from being looked up.
const SUPPRESS_EMBEDS: u32 = 1 << 2;

const NOT_A_WEBHOOK: &str = "This is not the URL of a Discord webhook. Copy one from the channel's settings in Discord, \
    under Integrations, Webhooks: it begins with https://discord.com/api/webhooks/.";

pub(super) struct Discord;

#[async_trait::async_trait]
impl Provider for Discord {
    fn label(&self) -> &'static str {
        "Discord"
    }

    fn description(&self) -> &'static str {
        "Posts messages to a Discord channel by a webhook."
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn rules(&self, config: &Config, path: &str) -> Vec<FieldProblem> {
        must_be_https(config, "webhookUrl", path).into_iter().collect()
    }

    async fn check(&self, config: &Config, egress: &Egress) -> Report {
        let Some(webhook) = Webhook::of(config) else { return Report::invalid(NOT_A_WEBHOOK) };
        match egress.upstream(Method::GET, Upstream::Discord, &webhook.path).send().await {
            Ok(answer) => verdict(&answer),
            Err(error) => unanswered("Discord", &error),
        }
    }

    async fn send(&self, config: &Config, message: &Message, egress: &Egress) -> Result<Delivery, Refusal> {
        no_recipient(message, "a Discord webhook")?;
        let content = within(plain_text(message), LONGEST_TEXT, "Discord")?;
        let webhook = Webhook::of(config).ok_or_else(|| Refusal::unusable("webhookUrl", NOT_A_WEBHOOK))?;
        // Only with `wait` does Discord say whether the message was posted, and its id.
        let mut request = egress.upstream(Method::POST, Upstream::Discord, &webhook.path).query(&[("wait", "true")]);
        if let Some(thread) = &webhook.thread {
            request = request.query(&[("thread_id", thread)]);
        }
        let payload = json!({ "content": content, "allowed_mentions": { "parse": [] }, "flags": SUPPRESS_EMBEDS });
        match request.json(&payload).send().await {
            Ok(answer) => delivery(&answer),
            Err(error) => Err(undelivered("Discord", &error)),
        }
    }
}

/// A webhook, as its URL names it.
struct Webhook {
    path: String,
    thread: Option<String>,
}

impl Webhook {
    fn of(config: &Config) -> Option<Self> {
        Self::named_by(&config.url("webhookUrl")?)
    }

    fn named_by(url: &Url) -> Option<Self> {
        let host = url.host_str()?;
        let host = host.strip_prefix("ptb.").or_else(|| host.strip_prefix("canary.")).unwrap_or(host);
        if url.scheme() != "https" || url.port().is_some() || !matches!(host, "discord.com" | "discordapp.com") {
            return None;
        }
        let path = url.path().strip_prefix("/api/")?;
        let (version, rest) = path.split_once('/')?;
        let is_version = version.strip_prefix('v').is_some_and(is_number);
        let (id, token) = if is_version { rest } else { path }.strip_prefix("webhooks/")?.split_once('/')?;
        let token = token.strip_suffix('/').unwrap_or(token);
        if !is_number(id) || token.is_empty() || token.contains('/') || !is_plain_path(token) {
            return None;
        }
        let thread = url.query_pairs().find(|(name, _)| name == "thread_id").map(|(_, thread)| thread.into_owned());
        Some(Self { path: format!("/api/webhooks/{id}/{token}"), thread })
    }
}

fn is_number(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What Discord tells of a webhook.
#[derive(Deserialize)]
struct About {
    #[serde(rename = "type")]
    kind: u64,
}

/// A posted message.
#[derive(Deserialize)]
struct Posted {
    id: String,
}

/// What Discord objects to.
#[derive(Deserialize)]
struct Fault {
    code: u64,
    #[serde(default)]
    message: String,
    /// Of a form: the fields' names, nested, down to `_errors`.
    #[serde(default)]
    errors: Json,
}

#[derive(Deserialize)]
struct Throttled {
    retry_after: f64,
}

fn verdict(answer: &Answer) -> Report {
    match (answer.status, answer.json::<About>(), answer.json::<Fault>()) {
        (200, Some(About { kind: 1 }), _) => Report::valid(),
        (200, Some(About { kind: 2 | 3 }), _) => Report::invalid(
            "This URL is not an incoming webhook's: it repeats another server's news or belongs to an application. \
             Create a webhook in the channel's settings, under Integrations, and put its URL into webhookUrl.",
        ),
        (400, _, Some(Fault { code: 50035, .. })) => Report::invalid(NOT_A_WEBHOOK),
        (status, _, Some(fault)) => {
            objection(status, &fault).map_or_else(|| unexpected("Discord", answer), Objection::report)
        }
        _ => unexpected("Discord", answer),
    }
}

fn delivery(answer: &Answer) -> Result<Delivery, Refusal> {
    if answer.is_success() {
        let posted = answer.json::<Posted>().ok_or_else(|| unconfirmed("Discord", answer))?;
        return Ok(Delivery { provider_message_id: Some(posted.id) });
    }
    if answer.status == 429 {
        let pause = answer.json::<Throttled>().map(|throttled| throttled.retry_after);
        let pause = pause.and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok());
        return Err(refused_for_now("Discord", answer, pause));
    }
    match answer.json::<Fault>() {
        Some(fault) if answer.status < 500 => Err(refusal(answer.status, &fault)),
        Some(_) => Err(refused_for_now("Discord", answer, None)),
        None => Err(not_its_words("Discord", answer)),
    }
}

fn refusal(status: u16, fault: &Fault) -> Refusal {
    if let Some(objection) = objection(status, fault) {
        return objection.refusal();
    }
    match (fault.code, first_field(&fault.errors).as_deref()) {
        (50035, Some("content")) => too_long(LONGEST_TEXT, "Discord"),
        (50035, Some(field)) => Refusal::refused(
            format!("Discord does not accept {} (code 50035).", shortened(field, 60)),
            "If the webhook's URL holds a thread_id, check it.",
        ),
        (code, _) => {
            let message = shortened(&fault.message, 200);
            Refusal::refused(
                format!("Discord did not take the message: {message} (code {code})."),
                "Look the code up in Discord's documentation of its API's error codes.",
            )
        }
    }
}

/// The path to the first field that a form error names, such as `content`.
fn first_field(errors: &Json) -> Option<String> {
    let (name, inner) = errors.as_object()?.iter().next()?;
    if name == "_errors" {
        return None;
    }
    Some(first_field(inner).map_or_else(|| name.clone(), |rest| format!("{name}.{rest}")))
}

/// What Discord's code means, if it concerns the webhook or its channel.
fn objection(status: u16, fault: &Fault) -> Option<Objection> {
    let objection = match (status, fault.code) {
        (401, 50027) => Objection::invalid(
            "The token in the webhook's URL is wrong.",
            "Copy the whole URL from Discord again and put it into webhookUrl.",
        ),
        (404, 10015) => Objection::invalid(
            "The webhook was deleted in Discord.",
            "Create a new one in the channel's settings and put its URL into webhookUrl.",
        ),
        (404, 10003) => Objection::limited(
            "The webhook's channel or thread does not exist any more.",
            "Check the thread_id in webhookUrl, or create a webhook in another channel.",
        ),
        (400, 220_001) => Objection::limited(
            "The webhook's channel is a forum, where every message needs a thread.",
            "Add ?thread_id= and the thread's id to webhookUrl.",
        ),
        (403, 50013) => Objection::limited(
            "The webhook is not permitted to post in its channel.",
            "Check the channel's permissions in Discord.",
        ),
        _ => return None,
    };
    Some(objection)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::stand_in::{Double, Reply, config, message, nowhere};
    use super::*;
    use crate::model::Verdict::{Inconclusive, Invalid, Limited, Valid};

    fn webhook(url: &str) -> Config {
        config(FIELDS, json!({ "webhookUrl": url }))
    }

    fn own() -> Config {
        webhook("https://discord.com/api/webhooks/123/t0ken")
    }

    fn fault(status: u16, code: u64) -> Reply {
        Reply::new(status, json!({ "message": "Discord's words", "code": code }))
    }

    #[test]
    fn every_form_of_the_url_names_the_same_webhook() {
        for (url, thread) in [
            ("https://discord.com/api/webhooks/123/t0ken", None),
            ("https://discord.com/api/v10/webhooks/123/t0ken/", None),
            ("https://discordapp.com/api/webhooks/123/t0ken?wait=true", None),
            ("https://ptb.discord.com/api/webhooks/123/t0ken?thread_id=77", Some("77")),
            ("https://canary.discordapp.com:443/api/webhooks/123/t0ken", None),
        ] {
            let webhook = Webhook::named_by(&Url::parse(url).unwrap()).unwrap();
            assert_eq!(
                (webhook.path.as_str(), webhook.thread.as_deref()),
                ("/api/webhooks/123/t0ken", thread),
                "{url}"
            );
        }
    }

    #[tokio::test]
    async fn a_url_of_something_else_is_invalid_without_asking() {
        for url in [
            "https://example.com/api/webhooks/123/t0ken",
            "https://discord.com.example.com/api/webhooks/123/t0ken",
            "https://discord.com:8443/api/webhooks/123/t0ken",
            "https://discord.com/api/webhooks/123",
            "https://discord.com/api/webhooks/123/",
            "https://discord.com/api/webhooks/abc/t0ken",
            "https://discord.com/api/webhooks/123/t0ken/slack",
            "https://discord.com/api/webhooks/123/..%2f..%2fadmin",
            "https://discord.com/api/webhooks/123/..;x",
            "https://discord.com/api/v10/channels/123/messages",
            "https://discord.com/channels/1/2",
            "https://test-webhook-url...",
        ] {
            assert_eq!(Discord.check(&webhook(url), &nowhere()).await, Report::invalid(NOT_A_WEBHOOK), "{url}");
        }
        assert_eq!(
            Discord.rules(&webhook("http://discord.com/api/webhooks/1/t"), "config")[0].field,
            "config.webhookUrl"
        );
    }

    #[tokio::test]
    async fn a_webhook_is_judged_by_its_type_and_by_discords_codes() {
        let cases = [
            (Reply::new(200, json!({ "type": 1, "token": "t0ken", "name": "Alerts" })), Valid),
            (Reply::new(200, json!({ "type": 2 })), Invalid),
            (Reply::new(200, json!({ "type": 3 })), Invalid),
            (Reply::new(200, json!({ "type": 9 })), Inconclusive),
            (Reply::new(200, "<html>welcome</html>"), Inconclusive),
            (fault(401, 50027), Invalid),
            (fault(404, 10015), Invalid),
            (fault(400, 50035), Invalid),
            (fault(403, 50013), Limited),
            (fault(401, 0), Inconclusive),
            (fault(404, 0), Inconclusive),
            (fault(403, 40333), Inconclusive),
            (Reply::new(403, "<html>Cloudflare</html>"), Inconclusive),
            (Reply::new(429, json!({ "message": "slow down", "retry_after": 0.5, "global": false })), Inconclusive),
            (Reply::new(502, ""), Inconclusive),
        ];
        for (prepared, verdict) in cases {
            let discord = Double::answering([prepared.clone()]).await;
            let report = Discord.check(&own(), &discord.standing_for(Upstream::Discord)).await;
            assert_eq!(report.verdict, verdict, "{prepared:?}: {}", report.message);
            let [asked] = discord.asked().try_into().unwrap();
            assert_eq!((asked.method.as_str(), asked.path.as_str()), ("GET", "/api/webhooks/123/t0ken"));
            assert!(!asked.header("user-agent").is_empty(), "Discord blocks requests that do not say who asks");
        }
        assert_eq!(Discord.check(&own(), &nowhere()).await.verdict, Inconclusive);
    }

    #[tokio::test]
    async fn a_message_mentions_nobody_and_comes_back_with_its_id() {
        let discord = Double::answering([Reply::new(200, json!({ "id": "900", "content": "" }))]).await;
        let message = Message { title: Some("Alert".into()), ..message("@everyone look", &[]) };
        let to_thread = webhook("https://discord.com/api/webhooks/123/t0ken?thread_id=77");
        let sent = Discord.send(&to_thread, &message, &discord.standing_for(Upstream::Discord)).await.unwrap();
        assert_eq!(sent.provider_message_id.as_deref(), Some("900"));
        let [asked] = discord.asked().try_into().unwrap();
        assert_eq!(asked.path, "/api/webhooks/123/t0ken?wait=true&thread_id=77");
        let payload = json!({ "content": "Alert\n\n@everyone look", "allowed_mentions": { "parse": [] }, "flags": 4 });
        assert_eq!(asked.body, payload);
    }

    #[tokio::test]
    async fn characters_are_counted_as_discord_counts_them() {
        let discord = Double::answering([Reply::new(200, json!({ "id": "900" }))]).await;
        let egress = discord.standing_for(Upstream::Discord);
        assert!(Discord.send(&own(), &message(&"🔷".repeat(2_000), &[]), &egress).await.is_ok());
        let refused = Discord.send(&own(), &message(&"🔷".repeat(2_001), &[]), &egress).await.unwrap_err();
        assert!(matches!(refused, Refusal::Unusable { field, message } if field == "text" && message.contains("2000")));
        assert_eq!(discord.asked().len(), 1);
        let elsewhere = Discord.send(&own(), &message("hello", &["456"]), &egress).await.unwrap_err();
        assert!(matches!(elsewhere, Refusal::Unusable { field, .. } if field == "to"));
    }

    #[tokio::test]
    async fn a_refusal_says_what_to_do() {
        let refused = |prepared: Reply| async move {
            let discord = Double::answering([prepared]).await;
            Discord.send(&own(), &message("hello", &[]), &discord.standing_for(Upstream::Discord)).await.unwrap_err()
        };
        let told = |refusal: Refusal| match refusal {
            Refusal::Refused { message, hint: Some(hint), .. } => format!("{message} {hint}"),
            other => panic!("{other:?}"),
        };
        assert!(told(refused(fault(404, 10015)).await).contains("deleted"));
        assert!(told(refused(fault(400, 220_001)).await).contains("thread_id"));
        assert!(told(refused(fault(400, 50006)).await).contains("Discord's words (code 50006)"));
        assert!(told(refused(Reply::new(403, "<html>Cloudflare</html>")).await).contains("HTTP 403"));
        assert!(told(refused(fault(500, 0)).await).contains("HTTP 500"));
        for lost in [500, 502, 503, 520] {
            assert!(matches!(refused(Reply::new(lost, "<html>")).await, Refusal::Unknown { .. }), "{lost}");
        }
        let later = refused(Reply::new(503, "").header("retry-after", 5)).await;
        assert!(matches!(later, Refusal::Refused { retry_after: Some(_), .. }), "{later:?}");
        let form =
            |path: Json| Reply::new(400, json!({ "message": "Invalid Form Body", "code": 50035, "errors": path }));
        let long = form(json!({ "content": { "_errors": [{ "code": "BASE_TYPE_MAX_LENGTH" }] } }));
        assert!(matches!(refused(long).await, Refusal::Unusable { field, .. } if field == "text"));
        let nested = form(json!({ "embeds": { "0": { "title": { "_errors": [] } } } }));
        assert!(told(refused(nested).await).contains("embeds.0.title"));
        assert!(matches!(refused(Reply::new(204, "")).await, Refusal::Unknown { .. }));
        let throttled = Reply::new(429, json!({ "message": "slow down", "retry_after": 0.25, "global": false }));
        let throttled = refused(throttled.header("retry-after", 1)).await;
        let pause = Duration::from_millis(250);
        assert!(
            matches!(throttled, Refusal::Refused { retry_after: Some(told), .. } if told == pause),
            "{throttled:?}"
        );
    }
}
