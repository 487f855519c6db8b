//! The providers whose keys are pooled, behind one trait.
//!
//! A provider holds no state and speaks only through [`Egress`]. It says what its credentials are ([`Entry`]), judges a
//! key by the cheapest call that proves one and costs nothing ([`KeyProvider::probe`]), and tells a key's money where the
//! provider does ([`KeyProvider::billing`]). Most providers are rows of a table over one implementation
//! ([`openai_compatible`]), each with its own rule of validity; those that are different have a file of their own. What
//! several need stands here, once.
//!
//! No message passes on a provider's own words: some repeat a part of the key.

mod openai_compatible;

use std::collections::BTreeMap;

use http::Method;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;
use shared::egress::{Answer, Egress, EgressError, Outgoing, Upstream};
use url::Url;

use crate::model::{Billing, Probe};

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

    /// A request to `path` (with a leading slash), after the key's own address if it has one, else after the provider's.
    ///
    /// # Errors
    /// An inconclusive [`Probe`] if the key has no address and the provider has none either.
    pub fn request(&self, entry: &Entry, method: Method, path: &str, egress: &Egress) -> Result<Outgoing, Probe> {
        match (self.base_url(entry), entry.base) {
            (Some(url), _) => Ok(egress.user_url(method, &under(url, path))),
            (None, Some(base)) => Ok(egress.upstream(method, base.upstream, &format!("{}{path}", base.prefix))),
            (None, None) => Err(Probe::inconclusive("The key has no base_url, so there is nothing to ask")),
        }
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
static PROVIDERS: &[&dyn KeyProvider] = &[&openai_compatible::OPENAI, &openai_compatible::GROQ];

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
