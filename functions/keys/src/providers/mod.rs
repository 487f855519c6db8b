//! The providers whose keys are pooled, behind one trait.
//!
//! A provider holds no state and speaks only through [`Egress`]. It says what its credentials are ([`Entry`]), judges a
//! key by the cheapest call that proves one and costs nothing ([`KeyProvider::probe`]), and tells a key's money where the
//! provider does ([`KeyProvider::billing`]). Most providers are a `row::Row` of a table: one call, and a rule of their
//! own for its answer; those that speak OpenAI's protocol and tell nothing of money stand together in
//! `openai_compatible`, the others have a file each. What several need stands here, once.
//!
//! What the verdicts rest on: 401 with an API's own body is the key's refusal unless the provider uses it for more; 402 is
//! used-up credit; 403, 429 and 5xx say nothing of a key unless the provider has words for it that are read here. A public
//! list of models proves nothing, so where a list may be public a made-up key is shown first. Nothing that is asked here
//! can be billed for.
//!
//! No message passes on a provider's own words: some repeat a part of the key.

mod anthropic;
mod cohere;
mod deepinfra;
mod deepseek;
mod elevenlabs;
mod fireworks;
mod google_ai;
mod huggingface;
mod moonshot;
mod novita;
mod nvidia_nim;
mod openai;
mod openai_compatible;
mod openrouter;
mod row;
mod secrets;
mod serpapi;
mod serper;
mod siliconflow;
mod tavily;
#[cfg(test)]
mod tests;
mod xai;

pub use secrets::Secrets;

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use secrecy::SecretString;
use serde_json::Value;
use shared::egress::{Answer, Egress, EgressError, Upstream};
use url::Url;

use crate::model::{Amounts, Billing, Probe};

/// The one credential of nearly every provider.
pub const API_KEY: CredentialField = CredentialField {
    name: "api_key",
    label: "API key",
    help: "The key as the provider's dashboard shows it once, when it is created.",
    required: true,
};

/// One part of a provider's credential. All of them are secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CredentialField {
    /// Its name in `credentials`.
    pub name: &'static str,
    /// What a form calls it.
    pub label: &'static str,
    /// How a person finds the value.
    pub help: &'static str,
    /// True if there is no credential without it.
    pub required: bool,
}

/// Where a provider is: an upstream, and what its documented paths follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// The origin.
    pub upstream: Upstream,
    /// The path before every documented path, without a slash at its end: `/v1`, or nothing.
    pub prefix: &'static str,
}

/// What is known of a provider before it is asked anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its `provider_name`.
    pub name: &'static str,
    /// What people call it.
    pub label: &'static str,
    /// The parts of its credential.
    pub fields: &'static [CredentialField],
    /// Where it is. `None` for one that is known by a key's own `base_url` only.
    pub base: Option<Base>,
}

/// A key as its provider is shown it.
#[derive(Debug, Clone, Copy)]
pub struct Credential<'a> {
    fields: &'a BTreeMap<String, SecretString>,
    base_url: Option<&'a Url>,
}

impl<'a> Credential<'a> {
    /// A credential of these parts, for the address `base_url` if the key has one of its own.
    #[must_use]
    pub fn new(fields: &'a BTreeMap<String, SecretString>, base_url: Option<&'a Url>) -> Self {
        Self { fields, base_url }
    }

    /// One part of it.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'a SecretString> {
        self.fields.get(name)
    }

    /// The key's own address, before every documented path. One that is the provider's own anyway is as good as none.
    #[must_use]
    pub fn base_url(&self, entry: &Entry) -> Option<&'a Url> {
        self.base_url
            .filter(|url| Upstream::of(url).is_none_or(|own| entry.base.map(|base| base.upstream) != Some(own)))
    }
}

/// The address of `path` under `base`; a query of the base stays.
fn under(base: &Url, path: &str) -> Url {
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    if query.is_some() {
        url.set_query(query);
    }
    url.set_fragment(None);
    url
}

/// A provider of keys. Implementations hold no state and speak only through [`Egress`].
#[async_trait::async_trait]
pub trait KeyProvider: Send + Sync {
    /// What is known of it before it is asked anything.
    fn entry(&self) -> &Entry;

    /// Asks whether a key works, by the cheapest call that proves it; never one that costs money. Never an error: a
    /// verdict.
    async fn probe(&self, key: &Credential<'_>, egress: &Egress) -> Probe;

    /// Asks for a key's money. Most providers do not tell.
    async fn billing(&self, _key: &Credential<'_>, _egress: &Egress, _now: Timestamp) -> Billing {
        Billing::NotTold(format!("{} has no call that tells a key's balance or usage.", self.entry().label))
    }
}

/// Every provider that is known by name, in the order of the documentation.
static PROVIDERS: &[&dyn KeyProvider] = &[
    &openrouter::Openrouter,
    &openai_compatible::GROQ,
    &openai::Openai,
    &anthropic::Anthropic,
    &google_ai::ROW,
    &openai_compatible::MISTRAL,
    &deepseek::ROW,
    &xai::Xai,
    &openai_compatible::TOGETHER,
    &fireworks::Fireworks,
    &openai_compatible::PERPLEXITY,
    &cohere::ROW,
    &openai_compatible::CEREBRAS,
    &openai_compatible::SAMBANOVA,
    &nvidia_nim::NvidiaNim,
    &huggingface::ROW,
    &elevenlabs::Elevenlabs,
    &serper::ROW,
    &serpapi::ROW,
    &tavily::ROW,
    &moonshot::ROW,
    &siliconflow::ROW,
    &novita::ROW,
    &deepinfra::Deepinfra,
];

/// Every provider that is known by name, in the order of the documentation.
#[must_use]
pub fn all() -> &'static [&'static dyn KeyProvider] {
    PROVIDERS
}

/// The provider of this name, if it is known.
#[must_use]
pub fn named(name: &str) -> Option<&'static dyn KeyProvider> {
    PROVIDERS.iter().copied().find(|provider| provider.entry().name == name)
}

/// The provider of this name; for a name that is not known, whatever speaks OpenAI's protocol at the key's `base_url`.
#[must_use]
pub fn of(name: &str) -> &'static dyn KeyProvider {
    named(name).unwrap_or(&openai_compatible::CUSTOM)
}

/// The verdict when no answer came: the key was not judged.
fn unanswered(label: &str, error: &EgressError) -> Probe {
    Probe::inconclusive(format!("{label} could not be asked: {error}"))
}

/// The verdict for an answer that says nothing about the key: throttling, the provider's own trouble, a page that
/// something in between put there.
fn unexpected(label: &str, answer: &Answer) -> Probe {
    match answer.status {
        429 => Probe::throttled(format!("{label} is being asked too often just now"), answer.retry_after()),
        403 => Probe::inconclusive(format!(
            "{label} refused the call (HTTP 403): the key may lack a right, or be for other networks than this server's"
        )),
        500.. => Probe::inconclusive(format!("{label} has trouble of its own (HTTP {})", answer.status)),
        status => Probe::inconclusive(format!("{label} answered in an unexpected way (HTTP {status})")),
    }
}

/// The verdict for a credential that lacks a part: there is nothing to judge.
fn incomplete(field: &str) -> Probe {
    Probe::inconclusive(format!("The credential has no {field}"))
}

/// The verdict for a key that its provider does not accept.
fn refused(label: &str) -> Probe {
    Probe::invalid(format!("{label} does not accept the key: it is wrong, expired or was deleted. Rotate it."))
}

/// The verdict for a key that nothing can be done with until somebody pays or a period turns.
fn exhausted(label: &str) -> Probe {
    Probe::exhausted(format!("{label} accepts the key, but its credit or quota is used up. Top it up."))
}

/// Judges an answer where statuses mean what they mean with most. A good status counts only where the body `proves` it.
fn judge(label: &str, answer: &Answer, proves: bool) -> Probe {
    match answer.status {
        _ if is_page(answer) => unexpected(label, answer),
        200..300 if proves => Probe::valid(),
        401 => refused(label),
        402 => exhausted(label),
        _ => unexpected(label, answer),
    }
}

/// Judges a good answer that tells what is left.
fn funded(label: &str, answer: &Answer, amounts: Option<Amounts>) -> Probe {
    match amounts {
        None => unexpected(label, answer),
        Some(Amounts { balance: Some(..=0.0), .. }) => exhausted(label),
        Some(_) => Probe::valid(),
    }
}

/// True for a web page: what a login wall, a proxy in between or a wrong address answers, never an API's own word.
fn is_page(answer: &Answer) -> bool {
    answer.header("content-type").is_some_and(|value| value.to_ascii_lowercase().contains("html"))
}

/// The provider's own code of an error: `error.code`, else `error.type`, else a text `error` or `code`, in lower case.
fn error_code(answer: &Answer) -> Option<String> {
    let body: Value = answer.json()?;
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_ascii_lowercase);
    text("/error/code").or_else(|| text("/error/type")).or_else(|| text("/error")).or_else(|| text("/code"))
}

/// True if the answer has these words, given in lower case.
fn says(answer: &Answer, words: &str) -> bool {
    answer.text().to_ascii_lowercase().contains(words)
}

/// A number, or a text that is one. Infinity is none.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_f64(),
    };
    number.filter(|number: &f64| number.is_finite())
}

/// The number at `pointer`, if there is one.
fn required(body: &Value, pointer: &str) -> Option<f64> {
    number(body.pointer(pointer)?)
}

/// The number at `pointer`; `Some(None)` where there is nothing or null, `None` where there is something else.
fn optional(body: &Value, pointer: &str) -> Option<Option<f64>> {
    match body.pointer(pointer) {
        None | Some(Value::Null) => Some(None),
        Some(value) => number(value).map(Some),
    }
}

/// Text as one segment of a URL's path.
fn segment(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'-' | b'_' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// The current month in UTC, by which providers count.
struct Month {
    /// Its first moment.
    start: Timestamp,
    /// The first moment of today.
    today: Timestamp,
}

impl Month {
    fn of(now: Timestamp) -> Self {
        let today = now.to_zoned(TimeZone::UTC).date();
        let midnight = |date: jiff::civil::Date| date.to_zoned(TimeZone::UTC).map_or(now, |start| start.timestamp());
        Self { start: midnight(today.first_of_month()), today: midnight(today) }
    }
}
