//! Resend: e-mail.
//!
//! The check lists the account's domains, which sends nothing and shows whether the sender's domain is verified. A key
//! that may only send cannot list them; Resend says so in its refusal, which proves the key. A message to one recipient
//! is one e-mail; to several it is one batch with an e-mail each, so that recipients do not see one another and either
//! all are taken or none. Resend recognises a repetition by its key for 24 hours, so a send whose answer was lost is
//! tried again, and a client that repeats its request sends nothing twice.
//!
//! Where what Resend does comes from: its OpenAPI document, its page of errors (a bad key is 403, a missing or a
//! restricted one 401), its official SDKs (a bad key is seen as `validation_error` too), its pages on batches,
//! idempotency keys and rate limits.

use std::time::Duration;

use axum::http::Method;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use shared::digest::sha256_hex;
use shared::egress::{Answer, Egress, Upstream};

use crate::model::{Delivery, Message, Refusal, Report};

use super::email::{self, Mailbox};
use super::{
    Config, Field, Provider, Shape, incomplete, not_its_words, refused_for_now, shortened, unanswered, unconfirmed,
    undelivered, unexpected,
};

const FIELDS: &[Field] = &[
    Field::secret(
        "apiKey",
        "API key",
        Shape::Text(512),
        "At resend.com/api-keys, create a key; sending access is enough. It is shown once and starts with re_.",
    )
    .required(),
    Field::plain(
        "fromEmail",
        "Sender",
        Shape::Email,
        "The address that messages come from, or `Name <address>`. Its domain must be verified at resend.com/domains. \
         Needed for sending.",
    ),
];

const LABEL: &str = "Resend";
/// The most e-mails of a batch.
const MOST_RECIPIENTS: usize = 100;
/// The longest `Idempotency-Key`.
const LONGEST_KEY: usize = 256;
/// Everybody may send from here, to the account's own address.
const TRIAL_DOMAIN: &str = "resend.dev";
/// Domains are listed all at once, some 300 bytes each.
const LIST: usize = 1024 * 1024;

pub(super) struct Resend;

#[async_trait::async_trait]
impl Provider for Resend {
    fn label(&self) -> &'static str {
        LABEL
    }

    fn description(&self) -> &'static str {
        "Sends e-mail through Resend."
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    async fn check(&self, config: &Config, egress: &Egress) -> Report {
        let Some(key) = config.secret("apiKey") else { return incomplete("apiKey") };
        let request = egress.upstream(Method::GET, Upstream::Resend, "/domains").bearer(key).read_at_most(LIST);
        match request.send().await {
            Ok(answer) => judge(&answer, email::sender(config)),
            Err(error) => unanswered(LABEL, &error),
        }
    }

    fn recognises_repetitions(&self) -> bool {
        true
    }

    async fn send(&self, config: &Config, message: &Message, egress: &Egress) -> Result<Delivery, Refusal> {
        let key = config.secret("apiKey").ok_or_else(|| Refusal::unusable("config.apiKey", "is missing"))?;
        let from = email::sender_of_message(config)?;
        let to = email::recipients(message, MOST_RECIPIENTS)?;
        let subject = email::subject(message)?;
        let mail =
            |to: &Mailbox<'_>| json!({ "from": from.text, "to": [to.text], "subject": subject, "text": message.text });
        let mails: Vec<Json> = to.iter().map(mail).collect();
        let request = match mails.as_slice() {
            [only] => egress.upstream(Method::POST, Upstream::Resend, "/emails").json(only),
            several => egress.upstream(Method::POST, Upstream::Resend, "/emails/batch").json(several),
        };
        let request = request.bearer(key).header("idempotency-key", &repetition_key(message)).repeatable();
        let answer = request.send().await.map_err(|error| undelivered(LABEL, &error))?;
        match message_id(&answer) {
            Some(id) if answer.is_success() => Ok(Delivery { provider_message_id: Some(id) }),
            _ if answer.is_success() => Err(unconfirmed(LABEL, &answer)),
            _ => Err(refusal(&answer, &from)),
        }
    }
}

fn judge(answer: &Answer, from: Option<Mailbox<'_>>) -> Report {
    #[derive(Deserialize)]
    struct Domains {
        data: Vec<Domain>,
    }
    if answer.status == 200 {
        let Some(domains) = answer.json::<Domains>() else { return unexpected(LABEL, answer) };
        return from.map_or_else(Report::valid, |from| judge_sender(&from, &domains.data));
    }
    let Some(problem) = Problem::of(answer) else { return unexpected(LABEL, answer) };
    match problem.name.as_str() {
        "restricted_api_key" => Report::valid(),
        _ if problem.is_bad_key() => Report::invalid(
            "Resend does not accept the API key: it is wrong or was deleted. Create a new key and save it here.",
        ),
        "daily_quota_exceeded" => Report::limited(
            "The API key works but the account has used up its e-mails of the day. Wait for the next day or upgrade \
             the plan at Resend.",
        ),
        "monthly_quota_exceeded" => Report::limited(
            "The API key works but the account has used up its e-mails of the month. Wait for the next month or \
             upgrade the plan at Resend.",
        ),
        _ => unexpected(LABEL, answer),
    }
}

/// A domain of the account.
#[derive(Debug, Deserialize)]
struct Domain {
    name: String,
    status: String,
}

/// A domain is verified by itself: neither the one above it nor one below it counts.
fn judge_sender(from: &Mailbox<'_>, domains: &[Domain]) -> Report {
    let name = from.domain();
    if name == TRIAL_DOMAIN {
        return Report::limited(
            "The API key works but a resend.dev sender reaches only the account's own address. Verify a domain at \
             resend.com/domains and save a fromEmail of it.",
        );
    }
    match domains.iter().find(|domain| domain.name.eq_ignore_ascii_case(&name)) {
        Some(domain) if domain.status == "verified" => Report::valid(),
        Some(domain) => Report::limited(format!(
            "The API key works but Resend has not verified the sender's domain {name} (its status is {}). Finish it at \
             resend.com/domains.",
            shortened(&domain.status, 40)
        )),
        None => Report::limited(format!(
            "The API key works but the sender's domain {name} is not one of the account's. Add it at \
             resend.com/domains, or save a fromEmail of a verified domain."
        )),
    }
}

/// The key by which Resend recognises a repetition. One that is too long is stood for by its digest: cut short it could
/// be that of another message.
fn repetition_key(message: &Message) -> String {
    let key = &message.idempotency_key;
    if key.chars().count() <= LONGEST_KEY { key.clone() } else { sha256_hex(key.as_bytes()) }
}

/// Resend's id of the e-mail; of a batch, that of its first.
fn message_id(answer: &Answer) -> Option<String> {
    #[derive(Deserialize)]
    struct Sent {
        id: String,
    }
    #[derive(Deserialize)]
    struct Batch {
        data: Vec<Sent>,
    }
    let sent = answer.json::<Sent>().or_else(|| answer.json::<Batch>()?.data.into_iter().next());
    sent.map(|sent| sent.id)
}

fn refusal(answer: &Answer, from: &Mailbox<'_>) -> Refusal {
    let Some(problem) = Problem::of(answer) else { return not_its_words(LABEL, answer) };
    match (answer.status, problem.name.as_str()) {
        _ if problem.is_bad_key() => Refusal::refused(
            "Resend does not accept the API key.",
            "Create a new key at resend.com/api-keys and save it here.",
        ),
        (_, "daily_quota_exceeded") => Refusal::Refused {
            message: "The Resend account has used up its e-mails of the day.".into(),
            hint: Some("Wait for the next day or upgrade the plan at Resend.".into()),
            retry_after: answer.retry_after(),
        },
        (_, "monthly_quota_exceeded") => Refusal::Refused {
            message: "The Resend account has used up its e-mails of the month.".into(),
            hint: Some("Wait for the next month or upgrade the plan at Resend.".into()),
            retry_after: answer.retry_after(),
        },
        (_, "concurrent_idempotent_requests") => Refusal::Unknown {
            message: "Resend is still busy with the same message; it may or may not have been delivered.".into(),
        },
        (_, "invalid_idempotent_request") => Refusal::refused(
            "Resend has seen another message with this idempotency key in the last 24 hours.",
            "Send it again with a new Idempotency-Key.",
        ),
        // Not in Resend's words: they name the account's own address.
        (403, _) => Refusal::refused(
            format!("Resend does not let this API key send from {} to these recipients.", from.address),
            "Verify the sender's domain at resend.com/domains and use a key that may send from it; a resend.dev sender \
             reaches only the account's own address.",
        ),
        // The key is in a header and never in what a validation objects to.
        (400 | 422, _) => Refusal::refused(
            format!("Resend found the e-mail faulty: {}.", shortened(&problem.message, 200).trim_end_matches('.')),
            "Change what it names, then send again.",
        ),
        _ => refused_for_now(LABEL, answer, until_reset(answer)),
    }
}

/// How long the rate limit lasts.
fn until_reset(answer: &Answer) -> Option<Duration> {
    let reset = || answer.header("ratelimit-reset")?.trim().parse().ok().map(Duration::from_secs);
    answer.retry_after().or_else(reset)
}

/// What Resend objects to.
#[derive(Debug, Deserialize)]
struct Problem {
    name: String,
    #[serde(default)]
    message: String,
}

impl Problem {
    fn of(answer: &Answer) -> Option<Self> {
        answer.json()
    }

    fn is_bad_key(&self) -> bool {
        let named = ["invalid_api_key", "missing_api_key"].iter().any(|name| self.name.eq_ignore_ascii_case(name));
        named || (self.name == "validation_error" && self.message.to_ascii_lowercase().contains("api key is invalid"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::stand_in::{StandIn, answer, config, egress, message};
    use super::*;
    use crate::model::Verdict::{self, Inconclusive, Invalid, Limited, Valid};

    const DOMAINS: &str = r#"{"object":"list","has_more":false,"data":[
        {"id":"1","name":"team.example","status":"verified"},{"id":"2","name":"new.example","status":"pending"}]}"#;

    fn settings(from: &str) -> Config {
        config(FIELDS, json!({ "apiKey": "re_secret", "fromEmail": from }))
    }

    fn problem(status: u16, name: &str, message: &str) -> String {
        json!({ "statusCode": status, "name": name, "message": message }).to_string()
    }

    async fn checked(status: u16, body: String, config: Config) -> Report {
        let stand_in = StandIn::answering(move |_| answer(status, &[], &body)).await;
        let report = Resend.check(&config, &egress(&[(Upstream::Resend, &stand_in)], &[])).await;
        assert_eq!(stand_in.asked()[0].path, "/domains");
        assert_eq!(stand_in.asked()[0].header("authorization"), "Bearer re_secret");
        report
    }

    async fn sent(
        status: u16,
        headers: &'static [(&'static str, &'static str)],
        body: String,
    ) -> Result<Delivery, Refusal> {
        let stand_in = StandIn::answering(move |_| answer(status, headers, &body)).await;
        let egress = egress(&[(Upstream::Resend, &stand_in)], &[]);
        Resend.send(&settings("ops@team.example"), &message("hello", &["you@there.example"]), &egress).await
    }

    #[tokio::test]
    async fn answers_are_judged() {
        let cases: &[(u16, &str, &str, Verdict)] = &[
            (401, "restricted_api_key", "This API key is restricted to only send emails", Valid),
            (401, "missing_api_key", "Missing API key in the authorization header", Invalid),
            (403, "invalid_api_key", "API key is invalid", Invalid),
            (400, "validation_error", "API key is invalid", Invalid),
            (401, "validation_error", "API key is invalid", Invalid),
            (400, "validation_error", "We found an error", Inconclusive),
            (429, "daily_quota_exceeded", "", Limited),
            (429, "monthly_quota_exceeded", "", Limited),
            (429, "rate_limit_exceeded", "", Inconclusive),
            (500, "internal_server_error", "", Inconclusive),
        ];
        for (status, name, words, verdict) in cases {
            let report = checked(*status, problem(*status, name, words), settings("ops@team.example")).await;
            assert_eq!(report.verdict, *verdict, "{status} {name}");
        }
        for (status, body) in [(200, "<html>"), (403, "error code: 1010"), (401, "<html>"), (502, "")] {
            let report = checked(status, body.to_owned(), settings("ops@team.example")).await;
            assert_eq!(report.verdict, Inconclusive, "{status} {body}");
        }
    }

    #[tokio::test]
    async fn the_senders_domain_must_be_verified() {
        for (from, verdict) in [
            ("ops@team.example", Valid),
            ("Ops <ops@Team.Example>", Valid),
            ("ops@sub.team.example", Limited),
            ("ops@new.example", Limited),
            ("onboarding@resend.dev", Limited),
        ] {
            assert_eq!(checked(200, DOMAINS.to_owned(), settings(from)).await.verdict, verdict, "{from}");
        }
        let unsigned = config(FIELDS, json!({ "apiKey": "re_secret" }));
        assert_eq!(checked(200, DOMAINS.to_owned(), unsigned).await.verdict, Valid);
    }

    #[tokio::test]
    async fn one_recipient_is_one_e_mail_and_several_are_a_batch() {
        let stand_in = StandIn::answering(|asked| match asked.path.as_str() {
            "/emails" => answer(200, &[], r#"{"id":"one"}"#),
            "/emails/batch" => answer(200, &[], r#"{"data":[{"id":"first"},{"id":"second"}]}"#),
            _ => answer(404, &[], "{}"),
        })
        .await;
        let egress = egress(&[(Upstream::Resend, &stand_in)], &[]);
        let settings = settings("Ops <ops@team.example>");
        let one = Resend.send(&settings, &message("hello", &["a@x.example"]), &egress).await.unwrap();
        let two = Resend.send(&settings, &message("hello", &["a@x.example", "b@x.example"]), &egress).await.unwrap();
        assert_eq!(
            (one.provider_message_id.unwrap(), two.provider_message_id.unwrap()),
            ("one".into(), "first".into())
        );
        let asked = stand_in.asked();
        let mail =
            |to: &str| json!({ "from": "Ops <ops@team.example>", "to": [to], "subject": "hello", "text": "hello" });
        assert_eq!(asked[0].body, mail("a@x.example"));
        assert_eq!(asked[1].body, json!([mail("a@x.example"), mail("b@x.example")]));
        assert!(asked.iter().all(|asked| asked.header("idempotency-key") == "the-key"));
    }

    #[test]
    fn long_keys_stay_different() {
        let key = |last: &str| {
            repetition_key(&Message { idempotency_key: format!("{}{last}", "k".repeat(256)), ..message("", &[]) })
        };
        assert_eq!(key("").chars().count(), 256);
        assert_ne!(key("1"), key("2"));
        assert!(key("1").chars().count() <= LONGEST_KEY);
    }

    #[tokio::test]
    async fn refusals_say_what_to_do() {
        for (status, name, words, said) in [
            (403, "invalid_api_key", "API key is invalid", "does not accept the API key"),
            (
                403,
                "validation_error",
                "You can only send testing emails to your own email address (me@x.example).",
                "send from",
            ),
            (422, "invalid_from_address", "Invalid `from` field.", "Invalid `from` field."),
            (409, "invalid_idempotent_request", "", "another message"),
            (429, "daily_quota_exceeded", "", "of the day"),
            (500, "application_error", "", "HTTP 500"),
        ] {
            let refusal = sent(status, &[], problem(status, name, words)).await.unwrap_err();
            let Refusal::Refused { message, hint: Some(_), .. } = refusal else {
                panic!("{status} {name}: {refusal:?}")
            };
            assert!(message.contains(said) && !message.contains("me@x.example"), "{message}");
        }
    }

    #[tokio::test]
    async fn a_page_is_no_delivery() {
        for status in [200, 500, 502, 503] {
            assert!(matches!(sent(status, &[], "<html>".to_owned()).await, Err(Refusal::Unknown { .. })), "{status}");
        }
    }

    #[tokio::test]
    async fn a_message_still_in_the_making_is_unknown_and_throttling_says_how_long() {
        let busy = sent(409, &[], problem(409, "concurrent_idempotent_requests", "")).await.unwrap_err();
        assert!(matches!(busy, Refusal::Unknown { .. }), "{busy:?}");
        let throttled =
            sent(429, &[("ratelimit-reset", "3")], problem(429, "rate_limit_exceeded", "")).await.unwrap_err();
        assert!(
            matches!(throttled, Refusal::Refused { retry_after: Some(wait), .. } if wait.as_secs() == 3),
            "{throttled:?}"
        );
    }
}
