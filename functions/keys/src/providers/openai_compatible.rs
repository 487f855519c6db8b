//! Providers that speak OpenAI's protocol: rows of a table, each with its own rule of validity.
//!
//! The list of models proves a key where the provider checks it there ([`Row::rule`] reads the answer). At an address
//! that only the key's owner knows, nothing is known of the rules, and many such servers give their list to everybody: so
//! a junk key is shown first, and only where that is refused does a good answer prove the real one. The junk key is made
//! of the address, so that it is not the same everywhere, and of nothing secret.
//!
//! OpenAI's 401 repeats a part of the key and can also mean that the server's address is not on the key's list, so only
//! its code is read. Groq answers 400 to a key of a restricted organisation; that says nothing of the key itself.

use http::Method;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::IgnoredAny;
use shared::digest::sha256_hex;
use shared::egress::{Answer, Egress, EgressError, Upstream};

use super::{
    API_KEY, Base, Credential, Entry, KeyProvider, error_code, incomplete, is_page, refused, unanswered, unexpected,
};
use crate::model::Probe;

/// Some providers list thousands of models.
const LIST: usize = 4 * 1024 * 1024;

/// A provider that speaks OpenAI's protocol.
#[derive(Debug)]
pub(super) struct Row {
    entry: Entry,
    /// The call that proves a key.
    path: &'static str,
    /// What its answer says of the key.
    rule: fn(&'static str, &Answer) -> Probe,
}

const fn row(name: &'static str, label: &'static str, upstream: Upstream, prefix: &'static str) -> Row {
    let base = Some(Base { upstream, prefix });
    Row { entry: Entry { name, label, fields: &[API_KEY], base }, path: "/models", rule: judge }
}

pub(super) static OPENAI: Row = Row { rule: judge_openai, ..row("openai", "OpenAI", Upstream::Openai, "/v1") };
pub(super) static GROQ: Row = row("groq", "Groq", Upstream::Groq, "/openai/v1");

/// Whatever speaks OpenAI's protocol at a key's own address.
pub(super) static CUSTOM: Row = Row {
    entry: Entry { name: "custom", label: "The provider", fields: &[API_KEY], base: None },
    path: "/models",
    rule: judge,
};

#[async_trait::async_trait]
impl KeyProvider for Row {
    fn entry(&self) -> &Entry {
        &self.entry
    }

    async fn probe(&self, key: &Credential<'_>, egress: &Egress) -> Probe {
        let Some(api_key) = key.field(API_KEY.name) else { return incomplete(API_KEY.name) };
        let label = self.entry.label;
        let Some(base_url) = key.base_url(&self.entry) else {
            return match self.ask(key, api_key, egress).await {
                Ok(answer) => (self.rule)(label, &answer),
                Err(probe) => probe,
            };
        };
        match self.ask(key, &junk_key(base_url.as_str()), egress).await {
            Ok(answer) if matches!(answer.status, 400 | 401 | 403) && !is_page(&answer) => {}
            Ok(answer) => return judge_junk(label, &answer),
            Err(probe) => return probe,
        }
        match self.ask(key, api_key, egress).await {
            Ok(answer) => judge(label, &answer),
            Err(probe) => probe,
        }
    }
}

impl Row {
    async fn ask(&self, key: &Credential<'_>, shown: &SecretString, egress: &Egress) -> Result<Answer, Probe> {
        let request = key.request(&self.entry, Method::GET, self.path, egress)?;
        request.bearer(shown).read_at_most(LIST).send().await.map_err(|error| match error {
            EgressError::Forbidden | EgressError::Unusable(_) => Probe::invalid(format!(
                "The base_url cannot be called: {error}. Save the public address of a provider."
            )),
            error => unanswered(self.entry.label, &error),
        })
    }
}

fn junk_key(address: &str) -> SecretString {
    let digest = sha256_hex(format!("junk key for {address}").as_bytes());
    SecretString::from(format!("not-a-key-{}", digest.chars().take(32).collect::<String>()))
}

/// What it means that a junk key was not refused.
fn judge_junk(label: &str, answer: &Answer) -> Probe {
    match answer.status {
        200..300 if is_list(answer) => Probe::inconclusive(format!(
            "{label} gives its list of models to any key, even to one made up, so nothing shows whether this one works"
        )),
        200..300 | 404 | 405 => Probe::inconclusive(
            "There is no list of models under base_url; see that it is the address before /models, which often ends in \
             /v1",
        ),
        _ => unexpected(label, answer),
    }
}

/// Judges a key where a bad one is refused.
fn judge(label: &'static str, answer: &Answer) -> Probe {
    match answer.status {
        _ if is_page(answer) => unexpected(label, answer),
        200..300 if is_list(answer) => Probe::valid(),
        401 => refused(label),
        402 => Probe::exhausted(format!("{label} accepts the key, but its credit is used up. Top it up.")),
        403 => Probe::limited(format!(
            "{label} knows the key but does not let it list the models: it may lack the right, be blocked, or be for other \
             networks than this server's."
        )),
        _ => unexpected(label, answer),
    }
}

/// OpenAI answers 401 also where the key is good but this server's address is not on its list, and tells used-up credit
/// as 429.
fn judge_openai(label: &'static str, answer: &Answer) -> Probe {
    let code = error_code(answer).unwrap_or_default();
    match (answer.status, code.as_str()) {
        (401, "invalid_api_key" | "account_deactivated") => refused(label),
        (401, "ip_not_authorized") => {
            Probe::limited(format!("{label} accepts the key, but not from this server's address."))
        }
        (401, _) => Probe::inconclusive(format!("{label} refused the key without saying that it is wrong")),
        (
            429,
            "insufficient_quota"
            | "credit_balance_exhausted"
            | "organization_spend_limit_exceeded"
            | "project_spend_limit_exceeded"
            | "billing_not_active"
            | "billing_hard_limit_reached",
        ) => Probe::exhausted(format!("{label} accepts the key, but its credit or spend limit is used up.")),
        _ => judge(label, answer),
    }
}

/// True for OpenAI's `{"data": [...]}`, and for the bare list that some give instead.
fn is_list(answer: &Answer) -> bool {
    #[derive(Deserialize)]
    struct Models {
        #[serde(rename = "data")]
        _data: Vec<IgnoredAny>,
    }
    answer.json::<Models>().is_some() || answer.json::<Vec<IgnoredAny>>().is_some()
}
