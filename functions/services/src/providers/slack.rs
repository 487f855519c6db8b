//! Slack: an incoming webhook, or a bot's token.
//!
//! A webhook is judged by a payload that is not JSON: Slack looks at the address first, so `invalid_payload` says that
//! the address is alive, and nothing is posted. It does not say that the channel still takes messages; only a message
//! shows that. A token is judged by `auth.test`, which needs no scope and lists the granted ones in a header. Slack says
//! what it objects to in a word: of a webhook in the body, of a token in `error` under HTTP 200.

use axum::http::Method;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use shared::egress::{Answer, Egress, Outgoing, Upstream};
use shared::http::FieldProblem;
use url::Url;

use super::{
    Config, Field, Objection, Provider, Shape, is_plain_path, must_be_https, no_recipient, not_its_words, plain_text,
    recipient, refused_for_now, shortened, too_long, unanswered, unconfirmed, undelivered, unexpected, within,
};
use crate::model::{Delivery, Message, Refusal, Report};

const FIELDS: &[Field] = &[
    Field::secret(
        "webhookUrl",
        "Incoming webhook URL",
        Shape::Url,
        "In your Slack app's settings open Incoming Webhooks, add one to a channel and copy its URL. Leave it out if you \
         give a bot token.",
    ),
    Field::secret(
        "apiKey",
        "Bot token",
        Shape::Text(512),
        "In your Slack app's settings open OAuth & Permissions, add the scope chat:write, install the app and copy the \
         Bot User OAuth Token (xoxb-…). Leave it out if you give a webhook URL.",
    ),
    Field::plain(
        "channel",
        "Default channel",
        Shape::Text(100),
        "Where a bot posts when a message names no channel: the channel's id (C…), at the end of the channel's details. \
         A webhook always posts to its own channel.",
    ),
];

/// What a message may hold; Slack cuts longer ones.
const LONGEST_TEXT: usize = 40_000;

const NOT_A_WEBHOOK: &str = "This is not the URL of a Slack incoming webhook. Copy one from your Slack app's settings, \
    under Incoming Webhooks: it begins with https://hooks.slack.com/services/.";
const A_WORKFLOW: &str = "This URL starts a Slack workflow, which takes no messages of this kind. Create an incoming \
    webhook instead: its URL begins with https://hooks.slack.com/services/.";
const NO_CREDENTIAL: &str = "There is no credential. Give webhookUrl or apiKey.";

pub(super) struct Slack;

#[async_trait::async_trait]
impl Provider for Slack {
    fn label(&self) -> &'static str {
        "Slack"
    }

    fn description(&self) -> &'static str {
        "Posts messages to a Slack channel by an incoming webhook or as a bot."
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn rules(&self, config: &Config, path: &str) -> Vec<FieldProblem> {
        let place = format!("{path}.webhookUrl");
        match (config.secret("webhookUrl"), config.secret("apiKey")) {
            (None, None) => {
                let message = "is missing: give webhookUrl (an incoming webhook's URL) or apiKey (a bot token)";
                vec![FieldProblem::new(place, "required", message)]
            }
            (Some(_), Some(_)) => {
                let message = "cannot stand beside apiKey: set webhookUrl to null to post as a bot, or apiKey to null to \
                    post by the webhook";
                vec![FieldProblem::new(place, "value", message)]
            }
            _ => must_be_https(config, "webhookUrl", path).into_iter().collect(),
        }
    }

    async fn check(&self, config: &Config, egress: &Egress) -> Report {
        match Credential::of(config) {
            Some(Credential::Webhook(url)) => check_webhook(&url, egress).await,
            Some(Credential::Bot(token)) => check_bot(token, config.text("channel"), egress).await,
            None => Report::invalid(NO_CREDENTIAL),
        }
    }

    async fn send(&self, config: &Config, message: &Message, egress: &Egress) -> Result<Delivery, Refusal> {
        match Credential::of(config) {
            Some(Credential::Webhook(url)) => send_by_webhook(&url, message, egress).await,
            Some(Credential::Bot(token)) => send_as_bot(token, config.text("channel"), message, egress).await,
            None => Err(Refusal::unusable("webhookUrl", NO_CREDENTIAL)),
        }
    }
}

enum Credential<'a> {
    Webhook(Url),
    Bot(&'a SecretString),
}

impl<'a> Credential<'a> {
    fn of(config: &'a Config) -> Option<Self> {
        let webhook = config.url("webhookUrl").map(Self::Webhook);
        webhook.or_else(|| config.secret("apiKey").map(Self::Bot))
    }
}

/// What the Web API answers, whatever the method.
#[derive(Deserialize)]
struct Reply {
    ok: bool,
    error: Option<String>,
    /// The scope that was missing.
    needed: Option<String>,
    /// A posted message's id.
    ts: Option<String>,
}

#[derive(Deserialize)]
struct ChannelReply {
    channel: Channel,
}

#[derive(Deserialize)]
struct Channel {
    #[serde(default)]
    is_archived: bool,
    #[serde(default)]
    is_private: bool,
    is_member: Option<bool>,
}

/// A message in which Slack is to see neither markup nor names nor links to look up.
#[derive(Serialize)]
struct Payload<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    text: &'a str,
    mrkdwn: bool,
    link_names: bool,
    unfurl_links: bool,
    unfurl_media: bool,
}

impl<'a> Payload<'a> {
    fn new(channel: Option<&'a str>, text: &'a str) -> Self {
        Self { channel, text, mrkdwn: false, link_names: false, unfurl_links: false, unfurl_media: false }
    }
}

async fn check_webhook(url: &Url, egress: &Egress) -> Report {
    let request = match to_webhook(url, egress) {
        Ok(request) => request,
        Err(misplaced) => return Report::invalid(misplaced),
    };
    let probe = request.body("application/json", "not a message".into());
    match probe.repeatable().send().await {
        Ok(answer) => webhook_verdict(&answer),
        Err(error) => unanswered("Slack", &error),
    }
}

/// A request to the incoming webhook that a URL names. Else what the URL is, and what to do.
///
/// Slack's address is an upstream's, and where the operator has put that, nothing but a webhook's path is asked for.
fn to_webhook(url: &Url, egress: &Egress) -> Result<Outgoing, &'static str> {
    match (placed(url)?, url.path()) {
        (Site::Slack, path) => Ok(egress.upstream(Method::POST, Upstream::SlackHooks, path)),
        (Site::GovSlack, _) => Ok(egress.user_url(Method::POST, url)),
    }
}

/// Where there are incoming webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Site {
    Slack,
    GovSlack,
}

/// Whose incoming webhook a URL can be. Else what it is, and what to do.
fn placed(url: &Url) -> Result<Site, &'static str> {
    let site = match url.host_str() {
        Some("hooks.slack.com") => Site::Slack,
        Some("hooks.slack-gov.com") => Site::GovSlack,
        _ => return Err(NOT_A_WEBHOOK),
    };
    if url.scheme() != "https" || url.port().is_some() {
        return Err(NOT_A_WEBHOOK);
    }
    match url.path() {
        path if path.starts_with("/workflows/") || path.starts_with("/triggers/") => Err(A_WORKFLOW),
        path if path.strip_prefix("/services/").is_some_and(|rest| !rest.is_empty() && is_plain_path(rest)) => Ok(site),
        _ => Err(NOT_A_WEBHOOK),
    }
}

fn webhook_verdict(answer: &Answer) -> Report {
    match (answer.status, answer.text().trim()) {
        (200, "ok") | (400, "invalid_payload" | "no_text" | "missing_text_or_fallback_or_attachments") => {
            Report::valid()
        }
        (status @ 400..500, word) => {
            // A 404 is about the webhook unless its word is about the channel.
            let unknown = || (status == 404 && is_word(word)).then(unknown_webhook);
            objection(word, None).or_else(unknown).map_or_else(|| unexpected("Slack", answer), Objection::report)
        }
        _ => unexpected("Slack", answer),
    }
}

async fn check_bot(token: &SecretString, channel: Option<&str>, egress: &Egress) -> Report {
    let request = egress.upstream(Method::POST, Upstream::SlackApi, "/api/auth.test").bearer(token);
    let answer = match request.repeatable().send().await {
        Ok(answer) => answer,
        Err(error) => return unanswered("Slack", &error),
    };
    match answer.json::<Reply>() {
        Some(reply) if reply.ok => {}
        Some(Reply { error: Some(word), needed, .. }) => return token_verdict(&word, needed.as_deref()),
        _ => return unexpected("Slack", &answer),
    }
    // Without the header nothing is known of the scopes, which is no reason to doubt the token.
    let Some(scopes) = answer.header("x-oauth-scopes") else { return Report::valid() };
    let scopes: Vec<&str> = scopes.split(',').map(str::trim).collect();
    if !scopes.contains(&"chat:write") {
        return missing_scope("chat:write").report();
    }
    match channel {
        Some(channel) => check_channel(token, channel, &scopes, egress).await,
        None => Report::valid(),
    }
}

fn token_verdict(word: &str, needed: Option<&str>) -> Report {
    match word {
        "ratelimited" | "rate_limited" => Report::inconclusive("Slack is being asked too often just now"),
        word => objection(word, needed).map_or_else(
            || Report::inconclusive(format!("Slack could not say ({})", shortened(word, 60))),
            Objection::report,
        ),
    }
}

/// Looks the default channel up where the scopes allow it. What cannot be looked up is not held against the token.
async fn check_channel(token: &SecretString, channel: &str, scopes: &[&str], egress: &Egress) -> Report {
    let sees_public = scopes.contains(&"channels:read");
    let sees_private = scopes.contains(&"groups:read");
    // Only ids can be looked up, not names, which have no capitals.
    let is_id = channel.starts_with(['C', 'G'])
        && channel.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if !is_id || !(sees_public || sees_private) {
        return Report::valid();
    }
    let request = egress.upstream(Method::GET, Upstream::SlackApi, "/api/conversations.info");
    let Ok(answer) = request.query(&[("channel", channel)]).bearer(token).send().await else { return Report::valid() };
    if let Some(ChannelReply { channel }) = answer.json() {
        let may_post =
            channel.is_member != Some(false) || (!channel.is_private && scopes.contains(&"chat:write.public"));
        return match channel {
            Channel { is_archived: true, .. } => objection("is_archived", None),
            _ if !may_post => objection("not_in_channel", None),
            _ => None,
        }
        .map_or_else(Report::valid, Objection::report);
    }
    match answer.json::<Reply>().and_then(|reply| reply.error).as_deref() {
        // Seeing only some kinds of channel, the bot may well post to one of another kind.
        Some(word @ "channel_not_found") if sees_public && sees_private => {
            objection(word, None).map_or_else(Report::valid, Objection::report)
        }
        _ => Report::valid(),
    }
}

async fn send_by_webhook(url: &Url, message: &Message, egress: &Egress) -> Result<Delivery, Refusal> {
    no_recipient(message, "an incoming webhook")?;
    let text = escaped(message)?;
    let request = to_webhook(url, egress).map_err(|misplaced| Refusal::unusable("webhookUrl", misplaced))?;
    let answer = posted(request, &Payload::new(None, &text)).await?;
    match (answer.status, answer.text().trim()) {
        (200, "ok") => Ok(Delivery::default()),
        (200..300, _) => Err(unconfirmed("Slack", &answer)),
        (400..=503, word) if is_word(word) => Err(refusal(word, None, &answer)),
        _ => Err(not_its_words("Slack", &answer)),
    }
}

async fn send_as_bot(
    token: &SecretString,
    default: Option<&str>,
    message: &Message,
    egress: &Egress,
) -> Result<Delivery, Refusal> {
    let channel = recipient(message, default, "one channel, by its id (C…) or its name with #")?;
    let text = escaped(message)?;
    let request = egress.upstream(Method::POST, Upstream::SlackApi, "/api/chat.postMessage").bearer(token);
    let answer = posted(request, &Payload::new(Some(channel), &text)).await?;
    match answer.json::<Reply>() {
        Some(reply) if reply.ok => Ok(Delivery { provider_message_id: reply.ts }),
        Some(Reply { error: Some(word), needed, .. }) => Err(refusal(&word, needed.as_deref(), &answer)),
        _ if answer.is_success() => Err(unconfirmed("Slack", &answer)),
        _ => Err(not_its_words("Slack", &answer)),
    }
}

async fn posted(request: Outgoing, payload: &Payload<'_>) -> Result<Answer, Refusal> {
    request.json(payload).send().await.map_err(|error| undelivered("Slack", &error))
}

/// The message with the three characters escaped by which Slack knows mentions and links: `<!channel>` stays text.
fn escaped(message: &Message) -> Result<String, Refusal> {
    let text = plain_text(message).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    within(text, LONGEST_TEXT, "Slack")
}

fn refusal(word: &str, needed: Option<&str>, answer: &Answer) -> Refusal {
    match word {
        "msg_too_long" => too_long(LONGEST_TEXT, "Slack"),
        _ if answer.status == 429 => refused_for_now("Slack", answer, None),
        "ratelimited" | "rate_limited" => {
            Refusal::throttled("Slack is being sent too much just now.", answer.retry_after())
        }
        // Slack documents that some of the operation may have succeeded, or does not say that none has.
        "internal_error" | "fatal_error" | "request_timeout" | "rollup_error" => Refusal::Unknown {
            message: format!("Slack had trouble of its own ({word}); the message may or may not have been delivered."),
        },
        word => objection(word, needed).map_or_else(
            || {
                let message = format!("Slack did not take the message ({}).", shortened(word, 60));
                Refusal::refused(message, "Look the word up in Slack's documentation of chat.postMessage.")
            },
            Objection::refusal,
        ),
    }
}

/// Slack's word for something: in contrast to a page that something in between put there.
fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn unknown_webhook() -> Objection {
    Objection::invalid(
        "Slack does not know this webhook: it was removed, or its URL is not complete.",
        "Create an incoming webhook in your Slack app's settings and put its URL into webhookUrl.",
    )
}

fn missing_scope(needed: &str) -> Objection {
    let needed = shortened(needed, 60);
    Objection::limited(
        format!("The token is good, but its app lacks the scope {needed}."),
        "Add the scope under OAuth & Permissions in the app's settings and reinstall the app.",
    )
}

/// What Slack's word means, if it concerns the credential or its channel.
fn objection(word: &str, needed: Option<&str>) -> Option<Objection> {
    let objection = match word {
        "invalid_token" | "no_service" | "no_service_id" | "no_team" | "no_active_hooks" | "team_disabled" => {
            unknown_webhook()
        }
        "invalid_auth" | "not_authed" => Objection::invalid(
            "Slack rejected the bot token, or the workspace does not allow this server's address.",
            "Copy the Bot User OAuth Token again, or have the address added to the workspace's allowed addresses.",
        ),
        "token_revoked" | "token_expired" | "account_inactive" => Objection::invalid(
            "The bot token was revoked or has expired, or its app was removed.",
            "Reinstall the app in Slack and put its new Bot User OAuth Token into apiKey.",
        ),
        "missing_scope" => missing_scope(needed.unwrap_or("chat:write")),
        "channel_not_found" => Objection::limited(
            "Slack does not know the channel, or does not show it to the app.",
            "Check the channel's id, invite the app into a private channel, or choose another channel.",
        ),
        "not_in_channel" => {
            Objection::limited("The bot is not in the channel.", "Invite it there: type /invite and the bot's name.")
        }
        "is_archived" | "channel_is_archived" => {
            Objection::limited("The channel is archived.", "Unarchive it in Slack or choose another channel.")
        }
        "action_prohibited" | "restricted_action" | "posting_to_general_channel_denied" | "ekm_access_denied" => {
            Objection::limited(
                "The workspace does not let the app post there.",
                "Ask an administrator of the workspace to allow it, or choose another channel.",
            )
        }
        _ => return None,
    };
    Some(objection)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::super::stand_in::{Double, Reply as Prepared, config, message, nowhere};
    use super::*;
    use crate::model::Verdict::{self, Inconclusive, Invalid, Limited, Valid};

    const HOOK: &str = "https://hooks.slack.com/services/T0/B0/s3cret";

    fn webhook() -> Config {
        config(FIELDS, json!({ "webhookUrl": HOOK }))
    }

    fn bot(channel: Option<&str>) -> Config {
        match channel {
            Some(channel) => config(FIELDS, json!({ "apiKey": "xoxb-s3cret", "channel": channel })),
            None => config(FIELDS, json!({ "apiKey": "xoxb-s3cret" })),
        }
    }

    fn authenticated(scopes: &str) -> Prepared {
        Prepared::new(200, json!({ "ok": true, "bot_id": "B0" })).header("x-oauth-scopes", scopes)
    }

    fn error(word: &str) -> Prepared {
        Prepared::new(200, json!({ "ok": false, "error": word }))
    }

    #[test]
    fn exactly_one_credential_is_wanted() {
        for (given, codes) in [
            (json!({}), vec![("config.webhookUrl", "required")]),
            (json!({ "channel": "C012345678" }), vec![("config.webhookUrl", "required")]),
            (json!({ "webhookUrl": HOOK, "apiKey": "xoxb-1" }), vec![("config.webhookUrl", "value")]),
            (json!({ "webhookUrl": "http://hooks.slack.com/services/T/B/x" }), vec![("config.webhookUrl", "value")]),
            (json!({ "webhookUrl": "https://hooks.slack.com/..." }), vec![]),
            (json!({ "webhookUrl": "https://new-webhook-url..." }), vec![]),
            (json!({ "apiKey": "xoxb-1", "channel": "#general" }), vec![]),
        ] {
            let problems = Slack.rules(&config(FIELDS, given.clone()), "config");
            let problems: Vec<(&str, &str)> = problems.iter().map(|it| (it.field.as_str(), it.code)).collect();
            assert_eq!(problems, codes, "{given}");
        }
    }

    #[tokio::test]
    async fn a_url_of_something_else_is_invalid_without_asking() {
        for (url, told) in [
            ("https://example.com/services/T/B/x", NOT_A_WEBHOOK),
            ("https://hooks.slack.com.example.com/services/T/B/x", NOT_A_WEBHOOK),
            ("https://hooks.slack.com:8443/services/T/B/x", NOT_A_WEBHOOK),
            ("https://hooks.slack.com/...", NOT_A_WEBHOOK),
            ("https://hooks.slack.com/services/", NOT_A_WEBHOOK),
            ("https://hooks.slack.com/services/../api/T/B/x", NOT_A_WEBHOOK),
            ("https://hooks.slack.com/services/..%2f..%2fadmin", NOT_A_WEBHOOK),
            ("https://hooks.slack.com/services/..;/admin", NOT_A_WEBHOOK),
            ("https://test-webhook-url...", NOT_A_WEBHOOK),
            ("https://hooks.slack.com/workflows/T/A/1/x", A_WORKFLOW),
            ("https://hooks.slack.com/triggers/T/1/x", A_WORKFLOW),
        ] {
            let report = Slack.check(&config(FIELDS, json!({ "webhookUrl": url })), &nowhere()).await;
            assert_eq!(report, Report::invalid(told), "{url}");
        }
        assert_eq!(placed(&Url::parse("https://hooks.slack-gov.com/services/T/B/x").unwrap()), Ok(Site::GovSlack));
    }

    #[tokio::test]
    async fn a_webhook_is_judged_by_slacks_word() {
        let cases: [(u16, &str, Verdict); 16] = [
            (400, "invalid_payload", Valid),
            (400, "no_text", Valid),
            (200, "ok", Valid),
            (400, "invalid_token", Invalid),
            (403, "invalid_token", Invalid),
            (404, "no_service", Invalid),
            (404, "no_team", Invalid),
            (404, "some_new_word", Invalid),
            (403, "action_prohibited", Limited),
            (410, "channel_is_archived", Limited),
            (403, "<html>blocked</html>", Inconclusive),
            (404, "<html>not found</html>", Inconclusive),
            (200, "<html>welcome</html>", Inconclusive),
            (302, "", Inconclusive),
            (429, "rate_limited", Inconclusive),
            (500, "rollup_error", Inconclusive),
        ];
        for (status, body, verdict) in cases {
            let slack = Double::answering([Prepared::new(status, body)]).await;
            let report = Slack.check(&webhook(), &slack.standing_for(Upstream::SlackHooks)).await;
            assert_eq!(report.verdict, verdict, "{status} {body}: {}", report.message);
            assert!(!report.message.contains("s3cret"), "{}", report.message);
            let [asked] = slack.asked().try_into().unwrap();
            assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/services/T0/B0/s3cret"));
            assert!(serde_json::from_str::<Json>(&asked.text).is_err(), "the probe must not be a message");
        }
        assert_eq!(Slack.check(&webhook(), &nowhere()).await.verdict, Inconclusive);
    }

    #[tokio::test]
    async fn a_token_is_judged_by_auth_test() {
        let cases = [
            (authenticated("chat:write,channels:read"), Valid),
            (Prepared::new(200, json!({ "ok": true })), Valid),
            (authenticated("channels:read"), Limited),
            (authenticated("chat:write.public"), Limited),
            (error("invalid_auth"), Invalid),
            (error("not_authed"), Invalid),
            (error("token_revoked"), Invalid),
            (error("account_inactive"), Invalid),
            (error("missing_scope"), Limited),
            (error("ratelimited"), Inconclusive),
            (error("fatal_error"), Inconclusive),
            (error("never_seen_before"), Inconclusive),
            (Prepared::new(429, ""), Inconclusive),
            (Prepared::new(401, "<html>proxy</html>"), Inconclusive),
            (Prepared::new(503, ""), Inconclusive),
        ];
        for (prepared, verdict) in cases {
            let slack = Double::answering([prepared.clone()]).await;
            let report = Slack.check(&bot(None), &slack.standing_for(Upstream::SlackApi)).await;
            assert_eq!(report.verdict, verdict, "{prepared:?}: {}", report.message);
            let asked = &slack.asked()[0];
            assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/api/auth.test"));
            assert_eq!(asked.header("authorization"), "Bearer xoxb-s3cret");
        }
    }

    #[tokio::test]
    async fn the_default_channel_is_looked_up_where_the_scopes_allow_it() {
        let channel = |fields: Json| Prepared::new(200, json!({ "ok": true, "channel": fields }));
        let both = "chat:write, channels:read, groups:read";
        let cases = [
            ("C012345678", both, channel(json!({ "is_member": true, "is_archived": false })), Valid, 2),
            ("C012345678", both, channel(json!({ "is_member": true, "is_archived": true })), Limited, 2),
            ("C012345678", both, channel(json!({ "is_member": false })), Limited, 2),
            (
                "C012345678",
                "chat:write,channels:read,chat:write.public",
                channel(json!({ "is_member": false })),
                Valid,
                2,
            ),
            ("C012345678", both, error("channel_not_found"), Limited, 2),
            ("C012345678", "chat:write,channels:read", error("channel_not_found"), Valid, 2),
            ("C012345678", both, Prepared::new(429, ""), Valid, 2),
            ("C012345678", "chat:write", error("missing_scope"), Valid, 1),
            ("#general", both, error("channel_not_found"), Valid, 1),
        ];
        for (id, scopes, prepared, verdict, calls) in cases {
            let slack = Double::answering([authenticated(scopes), prepared.clone()]).await;
            let report = Slack.check(&bot(Some(id)), &slack.standing_for(Upstream::SlackApi)).await;
            assert_eq!(report.verdict, verdict, "{id} {scopes} {prepared:?}: {}", report.message);
            let asked = slack.asked();
            assert_eq!(asked.len(), calls);
            if let Some(second) = asked.get(1) {
                assert_eq!(second.path, "/api/conversations.info?channel=C012345678");
            }
        }
    }

    #[tokio::test]
    async fn a_message_is_plain_text_that_mentions_nobody() {
        let slack = Double::answering([Prepared::new(200, "ok")]).await;
        let message = Message { title: Some("Tom & Jerry".into()), ..message("<!channel> *now*", &[]) };
        let sent = Slack.send(&webhook(), &message, &slack.standing_for(Upstream::SlackHooks)).await;
        assert_eq!(sent, Ok(Delivery::default()));
        let quiet = json!({
            "text": "Tom &amp; Jerry\n\n&lt;!channel&gt; *now*",
            "mrkdwn": false, "link_names": false, "unfurl_links": false, "unfurl_media": false,
        });
        assert_eq!(slack.asked()[0].body, quiet);
    }

    #[tokio::test]
    async fn a_bot_posts_to_the_messages_channel_or_to_its_own() {
        let slack =
            Double::answering([Prepared::new(200, json!({ "ok": true, "channel": "C1", "ts": "17.000200" }))]).await;
        let egress = slack.standing_for(Upstream::SlackApi);
        let sent = Slack.send(&bot(Some("C_DEFAULT")), &message("hello", &[]), &egress).await.unwrap();
        assert_eq!(sent.provider_message_id.as_deref(), Some("17.000200"));
        Slack.send(&bot(Some("C_DEFAULT")), &message("hello", &["#ops"]), &egress).await.unwrap();
        let channels: Vec<Json> = slack.asked().iter().map(|asked| asked.body["channel"].clone()).collect();
        assert_eq!(channels, ["C_DEFAULT", "#ops"]);
    }

    #[tokio::test]
    async fn what_cannot_be_sent_is_refused_before_anyone_is_asked() {
        let long = "&".repeat(LONGEST_TEXT / 5 + 1);
        for (config, message, field) in [
            (bot(None), message("hello", &[]), "to"),
            (bot(None), message("hello", &["C1", "C2"]), "to"),
            (webhook(), message("hello", &["C1"]), "to"),
            (webhook(), message(&long, &[]), "text"),
            (
                config(FIELDS, json!({ "webhookUrl": "https://hooks.slack.com/triggers/T/1/x" })),
                message("hello", &[]),
                "webhookUrl",
            ),
        ] {
            let refused = Slack.send(&config, &message, &nowhere()).await.unwrap_err();
            assert!(matches!(&refused, Refusal::Unusable { field: at, .. } if at == field), "{refused:?}");
        }
    }

    #[tokio::test]
    async fn a_refusal_says_what_to_do() {
        let refused = |prepared: Prepared| async move {
            let slack = Double::answering([prepared]).await;
            Slack
                .send(&bot(Some("C1")), &message("hello", &[]), &slack.standing_for(Upstream::SlackApi))
                .await
                .unwrap_err()
        };
        let told = |refusal: Refusal| match refusal {
            Refusal::Refused { hint: Some(hint), .. } => hint,
            other => panic!("{other:?}"),
        };
        assert!(told(refused(error("not_in_channel")).await).contains("/invite"));
        let scope = Prepared::new(200, json!({ "ok": false, "error": "missing_scope", "needed": "chat:write" }));
        assert!(told(refused(scope).await).contains("reinstall"));
        assert!(matches!(refused(error("msg_too_long")).await, Refusal::Unusable { field, .. } if field == "text"));
        assert!(matches!(refused(error("internal_error")).await, Refusal::Unknown { .. }));
        for lost in [200, 500, 502, 503] {
            assert!(matches!(refused(Prepared::new(lost, "<html>")).await, Refusal::Unknown { .. }), "{lost}");
        }
        assert!(matches!(refused(Prepared::new(403, "<html>")).await, Refusal::Refused { .. }));
        let throttled = Prepared::new(429, json!({ "ok": false, "error": "ratelimited" })).header("retry-after", 30);
        let pause = std::time::Duration::from_secs(30);
        assert!(matches!(refused(throttled).await, Refusal::Refused { retry_after: Some(told), .. } if told == pause));
        let slack = Double::answering([Prepared::new(410, "channel_is_archived")]).await;
        let gone = Slack.send(&webhook(), &message("hello", &[]), &slack.standing_for(Upstream::SlackHooks)).await;
        assert!(told(gone.unwrap_err()).contains("Unarchive"));
        for lost in [Prepared::new(500, "rollup_error"), Prepared::new(502, "<html>"), Prepared::new(503, "")] {
            let slack = Double::answering([lost.clone()]).await;
            let sent = Slack.send(&webhook(), &message("hello", &[]), &slack.standing_for(Upstream::SlackHooks)).await;
            assert!(matches!(sent, Err(Refusal::Unknown { .. })), "{lost:?}: {sent:?}");
        }
    }
}
