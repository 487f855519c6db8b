//! A provider as a row of a table: the one call that proves a key, how its answer is read, and what it tells of money.
//!
//! How a row is asked:
//! - At one of the provider's own addresses, the call is made with the key and [`Row::rule`] reads the answer. Where the
//!   call answers everybody, or may, [`Row::junk_first`] shows a key that is made up first: only where that one is
//!   refused as invalid does an answer to the real one prove anything.
//! - At an address of the key's own ([`Credential::base_url`]) nothing is known of the server, so the made-up key always
//!   goes first. What speaks OpenAI's protocol is asked for its list of models, the rest for the provider's own call.
//!
//! Amounts are read from the same answer where the provider tells them there. An answer that cannot be read is a
//! failure, never an amount of 0.

use http::Method;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use shared::digest::sha256_hex;
use shared::egress::{Answer, Egress, Outgoing, Upstream};
use url::Url;

use super::{
    API_KEY, Base, Credential, Entry, KeyProvider, incomplete, openai_compatible, unanswered, under, unexpected,
};
use crate::model::{Amounts, Billing, Probe, Verdict};

/// Some providers list thousands of models.
const LIST: usize = 4 * 1024 * 1024;

/// A provider that one call judges.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) entry: Entry,
    /// Its other addresses, where keys of other regions belong.
    pub(super) others: &'static [Upstream],
    /// The call that proves a key.
    pub(super) proof: Call,
    /// What the answer says of the key.
    pub(super) rule: fn(&'static str, &Answer) -> Probe,
    /// True if the call's answer proves something only where a made-up key is refused.
    pub(super) junk_first: bool,
    /// True if another server under its name would speak OpenAI's protocol.
    pub(super) speaks_openai: bool,
    /// What the answer tells of money, if it does.
    pub(super) amounts: Option<fn(&Answer, Upstream) -> Option<Amounts>>,
}

/// One call: what is asked, and where the key stands in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) verb: Verb,
    /// The path on the provider's origin, with its query.
    pub(super) path: &'static str,
    pub(super) place: Place,
    pub(super) headers: &'static [(&'static str, &'static str)],
    /// A JSON body.
    pub(super) body: Option<&'static str>,
}

/// The method of a call. [`Method`] cannot stand in a table.
#[derive(Debug, Clone, Copy)]
pub(super) enum Verb {
    Get,
    Post,
}

/// Where a key stands in a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// `Authorization: Bearer`.
    Bearer,
    /// A header of its own.
    Header(&'static str),
    /// A parameter of the query.
    Query(&'static str),
}

/// Where a key is asked about.
pub(super) enum Site<'a> {
    /// At one of the provider's own addresses.
    Own(Upstream),
    /// At the key's own.
    Elsewhere(&'a Url),
}

/// A row with the usual settings: a key in `Authorization`, proved by a `GET` that checks it.
pub(super) const fn row(entry: Entry, path: &'static str, rule: fn(&'static str, &Answer) -> Probe) -> Row {
    let proof = Call { verb: Verb::Get, path, place: Place::Bearer, headers: &[], body: None };
    Row { entry, others: &[], proof, rule, junk_first: false, speaks_openai: true, amounts: None }
}

/// The entry of a provider whose credential is one key.
pub(super) const fn entry(name: &'static str, label: &'static str, upstream: Upstream, prefix: &'static str) -> Entry {
    Entry { name, label, fields: &[API_KEY], base: Some(Base { upstream, prefix }) }
}

#[async_trait::async_trait]
impl KeyProvider for Row {
    fn entry(&self) -> &Entry {
        &self.entry
    }

    async fn probe(&self, key: &Credential<'_>, egress: &Egress) -> Probe {
        let Some(api_key) = key.field(API_KEY.name) else { return incomplete(API_KEY.name) };
        let (label, rule) = (self.entry.label, self.rule);
        match self.site(key) {
            Ok(Site::Elsewhere(url)) if self.speaks_openai => {
                openai_compatible::check(label, url, api_key, egress).await
            }
            Ok(site) => {
                let is_elsewhere = matches!(site, Site::Elsewhere(_));
                let rule = |answer: &Answer| match answer.status {
                    // At an address of its own a call that is not there says something of the address only.
                    404 | 405 if is_elsewhere => not_there(label),
                    _ => rule(label, answer),
                };
                if self.junk_first || is_elsewhere {
                    match self.ask(&site, &junk_key(self.entry.name), egress).await {
                        Ok(answer) => match rule(&answer) {
                            Probe { verdict: Verdict::Invalid, .. } => {}
                            probe if probe.verdict == Verdict::Inconclusive => return probe,
                            _ => return proves_nothing(label),
                        },
                        Err(probe) => return probe,
                    }
                }
                self.ask(&site, api_key, egress).await.map_or_else(|probe| probe, |answer| rule(&answer))
            }
            Err(probe) => probe,
        }
    }

    async fn billing(&self, key: &Credential<'_>, egress: &Egress, _now: Timestamp) -> Billing {
        let label = self.entry.label;
        let Some(read) = self.amounts else {
            return Billing::NotTold(format!("{label} has no call that tells a key's balance or usage."));
        };
        let (site, upstream) = match self.own_site(key) {
            Ok(upstream) => (Site::Own(upstream), upstream),
            Err(billing) => return billing,
        };
        let Some(api_key) = key.field(API_KEY.name) else { return failed(incomplete(API_KEY.name)) };
        match self.ask(&site, api_key, egress).await {
            Ok(answer) => told(label, &answer, |answer| read(answer, upstream)),
            Err(probe) => failed(probe),
        }
    }
}

impl Row {
    /// Where this key is asked about.
    pub(super) fn site<'a>(&self, key: &Credential<'a>) -> Result<Site<'a>, Probe> {
        match (key.base_url(&self.entry), self.entry.base) {
            (Some(url), _) => Ok(Upstream::of(url)
                .filter(|upstream| self.others.contains(upstream))
                .map_or(Site::Elsewhere(url), Site::Own)),
            (None, Some(base)) => Ok(Site::Own(base.upstream)),
            (None, None) => Err(Probe::inconclusive("The key has no base_url, so there is nothing to ask")),
        }
    }

    /// The provider's address that this key is for; elsewhere nobody tells of its money.
    pub(super) fn own_site(&self, key: &Credential<'_>) -> Result<Upstream, Billing> {
        match self.site(key) {
            Ok(Site::Own(upstream)) => Ok(upstream),
            _ => Err(Billing::NotTold(format!(
                "{} tells balance and usage at its own address only, and the key has another base_url.",
                self.entry.label
            ))),
        }
    }

    /// Makes the call with `shown` as the key.
    pub(super) async fn ask(&self, site: &Site<'_>, shown: &SecretString, egress: &Egress) -> Result<Answer, Probe> {
        let Call { verb, path, place, headers, body } = self.proof;
        let method = match verb {
            Verb::Get => Method::GET,
            Verb::Post => Method::POST,
        };
        let request = match site {
            Site::Own(upstream) => egress.upstream(method, *upstream, path),
            Site::Elsewhere(url) => {
                let prefix = self.entry.base.map(|base| base.prefix).unwrap_or_default();
                egress.user_url(method, &under(url, path.strip_prefix(prefix).unwrap_or(path)))
            }
        };
        let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        let request = match body {
            Some(body) => request.body("application/json", body.as_bytes().into()),
            None => request,
        };
        let request = match place {
            Place::Bearer => request.bearer(shown),
            Place::Header(name) => request.secret_header(name, shown),
            Place::Query(name) => request.query(&[(name, shown.expose_secret())]),
        };
        answered(self.entry.label, request).await
    }
}

/// Sends a request that spends and changes nothing, so it may be sent twice.
pub(super) async fn answered(label: &str, request: Outgoing) -> Result<Answer, Probe> {
    request.repeatable().read_at_most(LIST).send().await.map_err(|error| unanswered(label, &error))
}

/// A key that is made up: of the address or the name that it is for, and of nothing secret.
pub(super) fn junk_key(of: &str) -> SecretString {
    let digest = sha256_hex(format!("junk key for {of}").as_bytes());
    SecretString::from(format!("not-a-key-{}", digest.chars().take(32).collect::<String>()))
}

/// The verdict where an address of a key's own does not have the provider's call.
fn not_there(label: &str) -> Probe {
    Probe::inconclusive(format!(
        "base_url does not have the call that checks a key of {label}; see that it is the address before that call's path"
    ))
}

/// The verdict where a made-up key is answered as a good one.
pub(super) fn proves_nothing(label: &str) -> Probe {
    Probe::inconclusive(format!(
        "{label} answers any key alike, even one made up, so nothing shows whether this one works"
    ))
}

/// What an answer tells of money.
pub(super) fn told(label: &str, answer: &Answer, read: impl FnOnce(&Answer) -> Option<Amounts>) -> Billing {
    if !answer.is_success() {
        return failed(unexpected(label, answer));
    }
    match read(answer) {
        Some(amounts) => Billing::Told(amounts),
        None => Billing::Failed(format!("{label} told of money in a way that cannot be read.")),
    }
}

/// No amounts, for the reason that nothing could be judged either.
pub(super) fn failed(probe: Probe) -> Billing {
    Billing::Failed(probe.message.replace(" The key was not judged; try again later.", ""))
}
