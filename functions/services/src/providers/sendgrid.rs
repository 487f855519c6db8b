//! SendGrid: e-mail by Twilio.
//!
//! A key belongs to one region, and the other region's host does not know it; so a refused key is shown to the other
//! region once, and only if that refuses it, too, is it called invalid. The check reads the key's scopes, which sends
//! nothing. A message is one request with a personalisation a recipient, so that recipients do not see one another.
//! SendGrid recognises no repetitions, so a send is never tried twice.
//!
//! Where what SendGrid does comes from: its OpenAPI document (`/v3/scopes`, `/v3/mail/send`), its documentation of
//! errors and rate limits, and people's transcripts (401 "Maximum credits exceeded" for a good key without credit, 403
//! for a sender that is not verified).

use std::time::Duration;

use axum::http::Method;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use shared::egress::{Answer, Egress, EgressError, Upstream};

use crate::model::{Delivery, Message, Refusal, Report, Verdict};

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
        "In SendGrid under Settings > API Keys, create a key with at least Mail Send access. It is shown once and \
         starts with SG.",
    )
    .required(),
    Field::plain(
        "fromEmail",
        "Sender",
        Shape::Email,
        "The address that messages come from, or `Name <address>`. It must be a verified sender or of an authenticated \
         domain. Needed for sending.",
    ),
    Field::plain(
        "region",
        "Region",
        Shape::Choice(&["global", "eu"]),
        "eu for a key of a subuser in the European Union, else global, which is the default.",
    ),
];

const LABEL: &str = "SendGrid";
const SENDING: &str = "mail.send";
/// The most personalisations and recipients of a request.
const MOST_RECIPIENTS: usize = 1000;

pub(super) struct Sendgrid;

#[async_trait::async_trait]
impl Provider for Sendgrid {
    fn label(&self) -> &'static str {
        LABEL
    }

    fn description(&self) -> &'static str {
        "Sends e-mail through SendGrid."
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    async fn check(&self, config: &Config, egress: &Egress) -> Report {
        let Some(key) = config.secret("apiKey") else { return incomplete("apiKey") };
        let region = Region::of(config);
        match scopes(egress, region, key).await {
            Ok(answer) if refuses_key(&answer) => check_other_region(egress, region, key).await,
            Ok(answer) => judge(&answer),
            Err(error) => unanswered(LABEL, &error),
        }
    }

    async fn send(&self, config: &Config, message: &Message, egress: &Egress) -> Result<Delivery, Refusal> {
        let key = config.secret("apiKey").ok_or_else(|| Refusal::unusable("config.apiKey", "is missing"))?;
        let from = email::sender_of_message(config)?;
        let to = email::recipients(message, MOST_RECIPIENTS)?;
        let mail = json!({
            "personalizations": to.iter().map(|to| json!({ "to": [person(to)] })).collect::<Vec<Json>>(),
            "from": person(&from),
            "subject": email::subject(message)?,
            "content": [{ "type": "text/plain", "value": message.text }],
        });
        let request =
            egress.upstream(Method::POST, Region::of(config).upstream(), "/v3/mail/send").bearer(key).json(&mail);
        let answer = request.send().await.map_err(|error| undelivered(LABEL, &error))?;
        match answer.status {
            202 => Ok(Delivery { provider_message_id: answer.header("x-message-id").map(str::to_owned) }),
            200..300 => Err(unconfirmed(LABEL, &answer)),
            _ => Err(refusal(&answer, &from)),
        }
    }
}

/// Where a key belongs.
#[derive(Debug, Clone, Copy)]
enum Region {
    Global,
    Eu,
}

impl Region {
    fn of(config: &Config) -> Self {
        if config.text("region") == Some(Self::Eu.name()) { Self::Eu } else { Self::Global }
    }

    fn other(self) -> Self {
        match self {
            Self::Global => Self::Eu,
            Self::Eu => Self::Global,
        }
    }

    fn upstream(self) -> Upstream {
        match self {
            Self::Global => Upstream::Sendgrid,
            Self::Eu => Upstream::SendgridEu,
        }
    }

    fn is_put_elsewhere(self, egress: &Egress) -> bool {
        egress.base(self.upstream()) != self.upstream().default_url()
    }

    fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Eu => "eu",
        }
    }
}

async fn scopes(egress: &Egress, region: Region, key: &SecretString) -> Result<Answer, EgressError> {
    egress.upstream(Method::GET, region.upstream(), "/v3/scopes").bearer(key).send().await
}

/// Judges a key that its region has refused: it may be one of the other. Only what both have refused is invalid.
async fn check_other_region(egress: &Egress, region: Region, key: &SecretString) -> Report {
    let other = region.other();
    // Where the operator has put one region alone elsewhere, its keys are no concern of SendGrid's own hosts.
    if region.is_put_elsewhere(egress) != other.is_put_elsewhere(egress) {
        return refused();
    }
    let reason = match scopes(egress, other, key).await {
        Ok(answer) if refuses_key(&answer) => return refused(),
        Ok(answer) if judge(&answer).verdict == Verdict::Inconclusive => format!("HTTP {}", answer.status),
        Ok(_) => {
            let name = other.name();
            return Report::limited(format!(
                "The API key belongs to SendGrid's other region, so nothing can be sent as it is. Set region to {name}."
            ));
        }
        Err(error) => error.to_string(),
    };
    Report::inconclusive(format!(
        "SendGrid's region {} does not know the API key, and whether {} does could not be seen ({reason})",
        region.name(),
        other.name()
    ))
}

fn refused() -> Report {
    Report::invalid(
        "SendGrid does not accept the API key: it is wrong or was deleted. Create a new key and save it here.",
    )
}

fn judge(answer: &Answer) -> Report {
    #[derive(Deserialize)]
    struct Scopes {
        scopes: Vec<String>,
    }
    match (answer.status, answer.json::<Scopes>(), Problem::of(answer)) {
        (200, Some(held), _) if held.scopes.iter().any(|scope| scope == SENDING) => Report::valid(),
        (200, Some(_), _) => Report::limited(format!(
            "The API key works but lacks the scope {SENDING}. In SendGrid under Settings > API Keys, give it Mail Send \
             access."
        )),
        (401, _, Some(problem)) if problem.is_out_of_credit() => Report::limited(
            "The API key works but the account has used up its e-mails. Wait for the next period or upgrade the plan \
             at SendGrid.",
        ),
        (403, _, Some(_)) => Report::limited(format!(
            "SendGrid knows the API key but does not let it read its own scopes, so {SENDING} was not seen. In \
             SendGrid under Settings > API Keys, give it Mail Send access."
        )),
        _ => unexpected(LABEL, answer),
    }
}

fn refuses_key(answer: &Answer) -> bool {
    answer.status == 401 && Problem::of(answer).is_some_and(|problem| !problem.is_out_of_credit())
}

fn refusal(answer: &Answer, from: &Mailbox<'_>) -> Refusal {
    let Some(problem) = Problem::of(answer) else { return not_its_words(LABEL, answer) };
    match answer.status {
        // The key is in a header and never in what a validation objects to.
        400 => Refusal::refused(
            format!("SendGrid found the e-mail faulty: {}.", shortened(&problem.message, 200).trim_end_matches('.')),
            "Change what it names, then send again.",
        ),
        401 if problem.is_out_of_credit() => Refusal::refused(
            "The SendGrid account has used up its e-mails.",
            "Wait for the next period or upgrade the plan at SendGrid.",
        ),
        401 => Refusal::refused(
            "SendGrid does not accept the API key.",
            "Test the integration: the key may be wrong or deleted, lack Mail Send access, or belong to the other \
             region.",
        ),
        403 if problem.is_about_sender() => Refusal::refused(
            format!("SendGrid does not let {} send: it is not a verified sender.", from.address),
            "In SendGrid under Settings > Sender Authentication, verify the address or its domain, or save another \
             fromEmail.",
        ),
        403 => Refusal::refused(
            "SendGrid does not let the API key send this e-mail.",
            "In SendGrid under Settings > API Keys, give the key Mail Send access, and see that the sender is \
             verified.",
        ),
        413 => Refusal::refused("The e-mail is too large for SendGrid.", "Shorten the text."),
        _ => refused_for_now(LABEL, answer, until_reset(answer)),
    }
}

/// How long the limit lasts. SendGrid tells the moment instead of the time to wait, so it is counted from the moment of
/// the answer, by SendGrid's own clock.
fn until_reset(answer: &Answer) -> Option<Duration> {
    let reset: i64 = answer.header("x-ratelimit-reset")?.trim().parse().ok()?;
    let now = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(answer.header("date")?).ok()?;
    u64::try_from(reset.checked_sub(now.as_second())?).ok().map(Duration::from_secs)
}

fn person(mailbox: &Mailbox<'_>) -> Json {
    match mailbox.name {
        Some(name) => json!({ "email": mailbox.address, "name": name }),
        None => json!({ "email": mailbox.address }),
    }
}

/// What SendGrid objects to: the first of its list.
#[derive(Debug, Deserialize)]
struct Problem {
    message: String,
    #[serde(default)]
    field: Option<String>,
}

impl Problem {
    fn of(answer: &Answer) -> Option<Self> {
        #[derive(Deserialize)]
        struct Problems {
            errors: Vec<Problem>,
        }
        answer.json::<Problems>()?.errors.into_iter().next()
    }

    fn is_out_of_credit(&self) -> bool {
        self.message.to_ascii_lowercase().contains("credits exceeded")
    }

    fn is_about_sender(&self) -> bool {
        self.field.as_deref().is_some_and(|field| field.starts_with("from"))
            || self.message.to_ascii_lowercase().contains("from address")
    }
}

#[cfg(test)]
mod tests {
    use super::super::stand_in::{StandIn, answer, config, egress, message};
    use super::*;
    use Verdict::{Inconclusive, Invalid, Limited, Valid};

    const BAD_KEY: &str = r#"{"errors":[{"field":null,"message":"authorization required"}]}"#;
    const NO_CREDIT: &str = r#"{"errors":[{"field":null,"message":"Maximum credits exceeded","help":null}]}"#;
    const FORBIDDEN: &str = r#"{"errors":[{"field":null,"message":"access forbidden"}]}"#;
    const SENDER: &str =
        r#"{"errors":[{"field":"from","message":"The from address does not match a verified Sender Identity."}]}"#;
    const FAULTY: &str =
        r#"{"errors":[{"field":"personalizations.0.to.0.email","message":"Does not contain a valid address."}]}"#;
    const THROTTLED: &str = r#"{"errors":[{"field":null,"message":"too many requests"}]}"#;
    const SENDS: &str = r#"{"scopes":["mail.send","user.profile.read"]}"#;
    const READS: &str = r#"{"scopes":["user.profile.read"]}"#;

    fn settings() -> Json {
        json!({ "apiKey": "SG.secret", "fromEmail": "Ops <ops@team.example>" })
    }

    async fn checked(here: (u16, &'static str), elsewhere: (u16, &'static str)) -> Report {
        let global = StandIn::answering(move |_| answer(here.0, &[], here.1)).await;
        let eu = StandIn::answering(move |_| answer(elsewhere.0, &[], elsewhere.1)).await;
        let egress = egress(&[(Upstream::Sendgrid, &global), (Upstream::SendgridEu, &eu)], &[]);
        let report = Sendgrid.check(&config(FIELDS, settings()), &egress).await;
        assert_eq!(global.asked()[0].header("authorization"), "Bearer SG.secret");
        assert!(!report.message.contains("SG.secret"));
        report
    }

    async fn sent(
        status: u16,
        headers: &'static [(&'static str, &'static str)],
        body: &'static str,
    ) -> Result<Delivery, Refusal> {
        let global = StandIn::answering(move |_| answer(status, headers, body)).await;
        let egress = egress(&[(Upstream::Sendgrid, &global)], &[]);
        Sendgrid.send(&config(FIELDS, settings()), &message("hello", &["you@there.example"]), &egress).await
    }

    #[tokio::test]
    async fn answers_are_judged() {
        for (status, body, verdict) in [
            (200, SENDS, Valid),
            (200, READS, Limited),
            (200, "<html>", Inconclusive),
            (401, BAD_KEY, Invalid),
            (401, NO_CREDIT, Limited),
            (401, "<html>", Inconclusive),
            (403, FORBIDDEN, Limited),
            (403, "<html>", Inconclusive),
            (429, THROTTLED, Inconclusive),
            (503, "", Inconclusive),
        ] {
            assert_eq!(checked((status, body), (401, BAD_KEY)).await.verdict, verdict, "{status} {body}");
        }
    }

    #[tokio::test]
    async fn a_refused_key_is_shown_to_the_other_region_once() {
        for (elsewhere, verdict) in [
            ((200, SENDS), Limited),
            ((403, FORBIDDEN), Limited),
            ((401, NO_CREDIT), Limited),
            ((401, BAD_KEY), Invalid),
            ((200, "<html>"), Inconclusive),
            ((401, "<html>"), Inconclusive),
            ((429, THROTTLED), Inconclusive),
            ((503, ""), Inconclusive),
        ] {
            let report = checked((401, BAD_KEY), elsewhere).await;
            assert_eq!(report.verdict, verdict, "{elsewhere:?}");
            assert_eq!(report.message.contains("region to eu"), verdict == Limited, "{}", report.message);
        }
    }

    #[tokio::test]
    async fn a_region_that_alone_is_put_elsewhere_judges_by_itself() {
        let global = StandIn::answering(|_| answer(401, &[], BAD_KEY)).await;
        let report = Sendgrid.check(&config(FIELDS, settings()), &egress(&[(Upstream::Sendgrid, &global)], &[])).await;
        assert_eq!((report.verdict, global.asked().len()), (Invalid, 1));
    }

    #[tokio::test]
    async fn each_recipient_gets_an_e_mail_alone() {
        let stand_in = StandIn::answering(|_| answer(202, &[("x-message-id", "id-1")], "")).await;
        let egress = egress(&[(Upstream::SendgridEu, &stand_in)], &[]);
        let mut settings = settings();
        settings["region"] = json!("eu");
        let message = message("first\nsecond", &["A <a@x.example>", "b@x.example"]);
        let delivery = Sendgrid.send(&config(FIELDS, settings), &message, &egress).await.unwrap();
        assert_eq!(delivery.provider_message_id.as_deref(), Some("id-1"));
        let asked = stand_in.asked();
        assert_eq!((asked.len(), asked[0].path.as_str()), (1, "/v3/mail/send"));
        assert_eq!(
            asked[0].body,
            json!({
                "personalizations": [
                    { "to": [{ "email": "a@x.example", "name": "A" }] },
                    { "to": [{ "email": "b@x.example" }] },
                ],
                "from": { "email": "ops@team.example", "name": "Ops" },
                "subject": "first",
                "content": [{ "type": "text/plain", "value": "first\nsecond" }],
            })
        );
    }

    #[tokio::test]
    async fn refusals_say_what_to_do() {
        for (status, body, words) in [
            (400, FAULTY, "valid address"),
            (401, BAD_KEY, "does not accept"),
            (401, NO_CREDIT, "used up"),
            (403, FORBIDDEN, "does not let the API key"),
            (403, SENDER, "not a verified sender"),
            (500, r#"{"errors":[{"message":"internal error"}]}"#, "HTTP 500"),
            (403, "<html>", "HTTP 403"),
        ] {
            let Err(Refusal::Refused { message, hint: Some(_), retry_after: None }) = sent(status, &[], body).await
            else {
                panic!("{status} {body}")
            };
            assert!(message.contains(words), "{message}");
        }
    }

    #[tokio::test]
    async fn a_page_is_no_delivery() {
        for status in [200, 500, 502, 503] {
            assert!(matches!(sent(status, &[], "<html>").await, Err(Refusal::Unknown { .. })), "{status}");
        }
    }

    #[tokio::test]
    async fn throttling_says_how_long() {
        let headers: &[(&str, &str)] =
            &[("x-ratelimit-reset", "1392815322"), ("date", "Wed, 19 Feb 2014 13:08:00 GMT")];
        let refusal = sent(429, headers, THROTTLED).await.unwrap_err();
        assert!(
            matches!(refusal, Refusal::Refused { retry_after: Some(wait), .. } if wait.as_secs() == 42),
            "{refusal:?}"
        );
    }

    #[tokio::test]
    async fn an_e_mail_needs_a_sender_and_recipients() {
        let egress = egress(&[], &[]);
        let unsigned = config(FIELDS, json!({ "apiKey": "SG.secret" }));
        let refusal = Sendgrid.send(&unsigned, &message("hello", &["a@x.example"]), &egress).await.unwrap_err();
        assert!(matches!(refusal, Refusal::Unusable { field, .. } if field == "config.fromEmail"));
        let refusal = Sendgrid.send(&config(FIELDS, settings()), &message("hello", &[]), &egress).await.unwrap_err();
        assert!(matches!(refusal, Refusal::Unusable { field, .. } if field == "to"));
    }
}
