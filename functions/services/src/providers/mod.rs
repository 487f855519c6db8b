//! The outside services, one file each behind one trait.
//!
//! A provider holds no state and speaks only through [`Egress`]. It says what its config holds ([`Provider::fields`]),
//! judges a credential without anyone noticing ([`Provider::check`]), and delivers a message if it is a channel
//! ([`Provider::send`]). What several providers need stands here, once.

mod ai_gateway;
mod config;
mod discord;
mod email;
mod resend;
mod sendgrid;
mod slack;
#[cfg(test)]
mod stand_in;
mod telegram;
mod web3;
mod webhook;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value as Json};
use shared::egress::{Answer, Egress, EgressError};
use shared::http::FieldProblem;

use crate::model::{Delivery, Kind, Message, Refusal, Report, Verdict};

pub use config::{Config, ConfigChange, Field, Shape, Value, is_email};

/// One outside service. Implementations hold no state and speak only through [`Egress`].
#[async_trait::async_trait]
pub trait Provider: Send + Sync {
    /// What people call it.
    fn label(&self) -> &'static str;

    /// What it is for, in one sentence.
    fn description(&self) -> &'static str;

    /// Its config's keys: which are secret, which are required, and how a person finds the values.
    fn fields(&self) -> &'static [Field];

    /// Config keys that hold an address which a user chooses freely, so that it must pass the egress guard.
    fn user_addresses(&self) -> &'static [&'static str] {
        &[]
    }

    /// What must hold between keys of a complete config. Problems are named `<path>.<key>`.
    fn rules(&self, _config: &Config, _path: &str) -> Vec<FieldProblem> {
        Vec::new()
    }

    /// Asks the provider whether the credential works, without anyone noticing. Never an error: a verdict.
    async fn check(&self, config: &Config, egress: &Egress) -> Report;

    /// The same with a visible sign at the other end, made at `at`, for a provider that can prove more so. Others just
    /// check.
    async fn ping(&self, config: &Config, _idempotency_key: &str, _at: Timestamp, egress: &Egress) -> Report {
        self.check(config, egress).await
    }

    /// True if messages can be sent through it.
    fn is_channel(&self) -> bool {
        true
    }

    /// True if the other end takes a message with the same [`Message::idempotency_key`] for a repetition and does not
    /// deliver it again.
    fn recognises_repetitions(&self) -> bool {
        false
    }

    /// Delivers one message.
    ///
    /// # Errors
    /// [`Refusal`], which says whether the message may have been delivered all the same.
    async fn send(&self, config: &Config, message: &Message, egress: &Egress) -> Result<Delivery, Refusal>;
}

impl Kind {
    /// The provider of this type.
    #[must_use]
    pub fn provider(self) -> &'static dyn Provider {
        match self {
            Self::Discord => &discord::Discord,
            Self::Slack => &slack::Slack,
            Self::Telegram => &telegram::Telegram,
            Self::Sendgrid => &sendgrid::Sendgrid,
            Self::Resend => &resend::Resend,
            Self::Webhook => &webhook::Webhook,
            Self::Web3 => &web3::Web3,
            Self::AiGateway => &ai_gateway::AiGateway,
        }
    }
}

/// What is wrong with a complete config: what is missing, and what does not go together.
#[must_use]
pub fn problems(kind: Kind, config: &Config, path: &str) -> Vec<FieldProblem> {
    let provider = kind.provider();
    let mut problems = config.missing(provider.fields(), path);
    problems.extend(provider.rules(config, path));
    problems
}

/// A stored config with a change laid over it. A secret goes to no other address than the one it was stored for, unless
/// whoever changes the address gives it again, or may see it anyway (`may_see`): who chooses where a secret is sent to can
/// read it there.
///
/// # Errors
/// What is wrong with the outcome, and every secret that must be given again.
pub fn changed(
    kind: Kind,
    stored: Config,
    change: ConfigChange,
    path: &str,
    may_see: bool,
) -> Result<Config, Vec<FieldProblem>> {
    if change.is_empty() {
        return Ok(stored);
    }
    let mut wrong = if may_see { Vec::new() } else { carried_off(kind.provider(), &stored, &change, path) };
    let config = stored.changed_by(change);
    wrong.extend(problems(kind, &config, path));
    if wrong.is_empty() { Ok(config) } else { Err(wrong) }
}

/// The stored secrets that a change neither replaces nor takes away, while it has them used at another address. A secret
/// address is none of them: the change brings another one.
fn carried_off(provider: &dyn Provider, stored: &Config, change: &ConfigChange, path: &str) -> Vec<FieldProblem> {
    let addresses = provider.user_addresses();
    let moved = addresses.iter().find(|key| change.names(key) && change.url(key) != stored.url(key));
    let Some(address) = moved else { return Vec::new() };
    let secrets = provider.fields().iter().filter(|field| field.secret && !addresses.contains(&field.name));
    let kept = secrets.filter(|field| stored.secret(field.name).is_some() && !change.names(field.name));
    let again = |field: &Field| {
        let message = format!(
            "must be given again, or set to null, with another {address}: without the permission services:secrets a \
             stored secret goes to no other address"
        );
        FieldProblem::new(format!("{path}.{}", field.name), "required", message)
    };
    kept.map(again).collect()
}

/// What is wrong with the addresses that a change brings in: those that may not be reached.
pub async fn unreachable(kind: Kind, change: &ConfigChange, path: &str, egress: &Egress) -> Vec<FieldProblem> {
    let mut problems = Vec::new();
    for key in kind.provider().user_addresses() {
        let Some(url) = change.url(key) else { continue };
        let reason = match egress.admit(&url).await {
            Ok(()) => continue,
            Err(EgressError::Unusable(reason)) => reason.to_owned(),
            Err(error) => error.to_string(),
        };
        problems.push(FieldProblem::new(format!("{path}.{key}"), "value", format!("cannot be used: {reason}")));
    }
    problems
}

/// Reads a request's `config` as a complete one.
///
/// # Errors
/// Everything that is wrong with it.
pub async fn complete(kind: Kind, given: Map<String, Json>, egress: &Egress) -> Result<Config, Vec<FieldProblem>> {
    let fields = kind.provider().fields();
    let absent = config::absent(fields, "config", &given);
    let change = ConfigChange::parse(fields, "config", given).map_err(|wrong| [wrong, absent].concat())?;
    let mut wrong = unreachable(kind, &change, "config", egress).await;
    let config = Config::default().changed_by(change);
    wrong.extend(problems(kind, &config, "config"));
    if wrong.is_empty() { Ok(config) } else { Err(wrong) }
}

/// The verdict when no answer came: the credential was not judged.
fn unanswered(provider: &str, error: &EgressError) -> Report {
    Report::inconclusive(format!("{provider} could not be asked: {error}"))
}

/// The verdict for an answer that says nothing about the credential: throttling, the provider's own trouble, a page that
/// something in between put there.
fn unexpected(provider: &str, answer: &Answer) -> Report {
    match answer.status {
        429 => Report::inconclusive(format!("{provider} is being asked too often just now")),
        500.. => Report::inconclusive(format!("{provider} has trouble of its own (HTTP {})", answer.status)),
        status => Report::inconclusive(format!("{provider} answered in an unexpected way (HTTP {status})")),
    }
}

/// The verdict for a config that lacks a key which the type requires: there is nothing to judge.
fn incomplete(key: &str) -> Report {
    Report::inconclusive(format!("the config has no {key}"))
}

/// True for a web page: what a login wall, a proxy in between or a wrong address answers, never an API's own word.
fn is_page(answer: &Answer) -> bool {
    answer.header("content-type").is_some_and(|value| value.to_ascii_lowercase().contains("html"))
}

/// What a type that is no channel says to a message.
fn not_a_channel(provider: &str) -> Refusal {
    Refusal::unusable("type", format!("{provider} is not a channel: no message can be sent through it"))
}

/// What it means for a message that no answer came.
fn undelivered(provider: &str, error: &EgressError) -> Refusal {
    if error.was_not_sent() {
        return Refusal::Refused {
            message: format!("{provider} could not be reached: {error}."),
            hint: Some("Nothing was sent. Try again later.".into()),
            retry_after: None,
        };
    }
    Refusal::Unknown {
        message: format!("{provider} did not confirm the message ({error}); it may or may not have been delivered."),
    }
}

/// What it means for a message that the answer looks like a success but is not what the provider says to one it took.
fn unconfirmed(provider: &str, answer: &Answer) -> Refusal {
    let status = answer.status;
    Refusal::Unknown {
        message: format!(
            "{provider} answered in an unexpected way (HTTP {status}); the message may or may not have been delivered."
        ),
    }
}

/// What it means for a message that the provider throttles or has trouble of its own, and says so itself.
fn refused_for_now(provider: &str, answer: &Answer, retry_after: Option<Duration>) -> Refusal {
    if answer.status == 429 {
        return Refusal::throttled(
            format!("{provider} is being sent too much just now."),
            retry_after.or(answer.retry_after()),
        );
    }
    // What stands in front of the provider got no answer from it in time.
    if matches!(answer.status, 504 | 524) {
        return unconfirmed(provider, answer);
    }
    Refusal::Refused {
        message: format!("{provider} did not take the message (HTTP {}).", answer.status),
        hint: Some("Try again later.".into()),
        retry_after: answer.retry_after(),
    }
}

/// What it means for a message that the answer to it, which is no success, is not in the provider's own words. What stands
/// in front of the provider answers from 500 also when it has lost the provider's answer to a message that was taken;
/// below that it has refused the message, and so it has where it says when to come back.
fn not_its_words(provider: &str, answer: &Answer) -> Refusal {
    match answer.status {
        503 if answer.retry_after().is_some() => refused_for_now(provider, answer, None),
        500.. => unconfirmed(provider, answer),
        _ => refused_for_now(provider, answer, None),
    }
}

/// What a provider objects to and what to do about it, told alike by a check and by a delivery.
#[derive(Debug)]
struct Objection {
    verdict: Verdict,
    message: String,
    hint: String,
}

impl Objection {
    /// The credential itself does not work.
    fn invalid(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { verdict: Verdict::Invalid, message: message.into(), hint: hint.into() }
    }

    /// The credential is good, but its scope or its target falls short.
    fn limited(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { verdict: Verdict::Limited, message: message.into(), hint: hint.into() }
    }

    fn report(self) -> Report {
        Report { verdict: self.verdict, message: format!("{} {}", self.message, self.hint) }
    }

    fn refusal(self) -> Refusal {
        Refusal::refused(self.message, self.hint)
    }
}

/// The message as plain text, its title on a line of its own above.
fn plain_text(message: &Message) -> String {
    match &message.title {
        Some(title) => format!("{title}\n\n{}", message.text),
        None => message.text.clone(),
    }
}

/// Refuses a text of more than `most` characters, as the provider counts them.
fn within(text: String, most: usize, provider: &str) -> Result<String, Refusal> {
    if text.chars().count() <= most { Ok(text) } else { Err(too_long(most, provider)) }
}

fn too_long(most: usize, provider: &str) -> Refusal {
    Refusal::unusable("text", format!("is too long: {provider} takes {most} characters, the title's included"))
}

/// The one recipient of a message: the request's, or else the config's. `accepted` says what that is.
fn recipient<'a>(message: &'a Message, default: Option<&'a str>, accepted: &str) -> Result<&'a str, Refusal> {
    match &message.to {
        Some(to) => to.single().ok_or_else(|| Refusal::unusable("to", format!("must be {accepted}"))),
        None => default.ok_or_else(|| Refusal::unusable("to", format!("is missing: {accepted}"))),
    }
}

/// Refuses a recipient where the credential fixes it: elsewhere than asked for is no delivery.
fn no_recipient(message: &Message, credential: &str) -> Result<(), Refusal> {
    match message.to {
        None => Ok(()),
        Some(_) => {
            Err(Refusal::unusable("to", format!("must be left out: {credential} posts to its own channel only")))
        }
    }
}

/// True for a path that says the same to whoever reads it. An escape, or a parameter after a semicolon, may be undone by
/// what stands in an upstream's place, and lead out of where the path seemed to lead.
fn is_plain_path(path: &str) -> bool {
    path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte))
}

/// Text as one segment of a URL's path.
fn segment(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'-' | b'.' | b'_' | b'~' | b':' | b'@' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// Whether a URL that is itself a credential goes over TLS.
fn must_be_https(config: &Config, key: &str, path: &str) -> Option<FieldProblem> {
    let url = config.url(key).filter(|url| url.scheme() != "https")?;
    let message = format!("must start with https:// instead of {}://", url.scheme());
    Some(FieldProblem::new(format!("{path}.{key}"), "value", message))
}

/// `text` cut to at most `most` characters; a provider's words go no further than a line.
fn shortened(text: &str, most: usize) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= most { line } else { line.chars().take(most.saturating_sub(1)).chain(['…']).collect() }
}
