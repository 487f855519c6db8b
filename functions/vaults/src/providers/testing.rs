//! What the platforms' unit tests share: a world that leads to fakes, and one connection's view of one environment.

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use jiff::Timestamp;
use secrecy::SecretString;
use shared::config::EgressConfig;
use shared::credentials::disclose;
use shared::egress::{Egress, Upstream};
use url::Url;

use super::{Change, Contents, Place, Provider, Session, Trouble};
use crate::model::fingerprint::Fingerprints;
use crate::model::plan::{Deletions, Entry, Ledger, Plan, Side, Value, plan};

/// The moment at which every test stands: 2026-05-28T20:26:40Z.
pub(crate) const NOW: i64 = 1_780_000_000;

/// What a write said of each name: the marker, or why not.
pub(crate) type Said = BTreeMap<String, Result<Option<String>, Trouble>>;

/// The way out to the fakes. `endpoints` are pairs of an upstream's name and a fake's origin.
pub(crate) fn egress(endpoints: &[(&str, String)]) -> Egress {
    let pairs = endpoints.iter().map(|(name, url)| (Upstream::named(name).unwrap(), Url::parse(url).unwrap()));
    Egress::new(EgressConfig { endpoints: pairs.collect(), ..EgressConfig::default() })
}

/// One connection's view of one environment.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) provider: &'static dyn Provider,
    pub(crate) egress: Egress,
    pub(crate) token: SecretString,
    pub(crate) account: String,
    pub(crate) team: Option<String>,
    pub(crate) place: Place,
}

impl View {
    /// Of `environment` in `project`, with `token`, for `account` (and team, where calls must name it).
    pub(crate) fn new(
        provider: &'static dyn Provider,
        endpoints: &[(&str, String)],
        token: &str,
        account: (&str, Option<&str>),
        project: &str,
        environment: &str,
    ) -> Self {
        let place = Place { project_id: project.into(), environment: environment.into() };
        let (account, team) = (account.0.to_owned(), account.1.map(str::to_owned));
        Self { provider, egress: egress(endpoints), token: token.into(), account, team, place }
    }

    /// Another environment of the same project.
    pub(crate) fn of(&self, environment: &str) -> Self {
        let place = Place { environment: environment.into(), ..self.place.clone() };
        Self { place, ..self.clone() }
    }

    /// The same environment of another project.
    pub(crate) fn in_project(&self, project: &str) -> Self {
        let place = Place { project_id: project.into(), ..self.place.clone() };
        Self { place, ..self.clone() }
    }

    /// The same with another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: token.into(), ..self.clone() }
    }

    /// The connection as the provider sees it.
    pub(crate) fn session(&self) -> Session<'_> {
        let now = Timestamp::from_second(NOW).unwrap();
        Session::new(&self.account, self.team.as_deref(), &self.token, &self.egress, now)
    }

    /// What is there.
    pub(crate) async fn read(&self) -> Result<Contents, Trouble> {
        self.provider.read(&self.session(), &self.place).await
    }

    /// The values that are there, `None` where they do not show themselves.
    pub(crate) async fn values(&self) -> BTreeMap<String, Option<String>> {
        let contents = self.read().await.unwrap();
        let told = |value: Option<SecretString>| value.map(|value| disclose(&value).to_owned());
        contents.variables.into_iter().map(|(name, variable)| (name, told(variable.value))).collect()
    }

    /// The marker of a name that is there.
    pub(crate) async fn marker(&self, name: &str) -> Option<String> {
        self.read().await.unwrap().variables.get(name).unwrap().marker.clone()
    }

    /// Reads, then changes: a value of `None` deletes. Every name is answered once.
    pub(crate) async fn write(&self, changes: &[(&str, Option<&str>)]) -> Result<Said, Trouble> {
        let contents = self.read().await?;
        self.write_after(&contents, changes).await
    }

    /// Changes what was read earlier.
    pub(crate) async fn write_after(
        &self,
        contents: &Contents,
        changes: &[(&str, Option<&str>)],
    ) -> Result<Said, Trouble> {
        let change = |(name, value): &(&str, Option<&str>)| Change {
            name: (*name).to_owned(),
            value: value.map(SecretString::from),
            before: contents.variables.get(*name).cloned(),
        };
        let batch: Vec<Change> = changes.iter().map(change).collect();
        let outcomes = self.provider.write(&self.session(), &self.place, &batch).await?;
        let count = outcomes.len();
        let said: Said = outcomes.into_iter().map(|outcome| (outcome.name, outcome.result)).collect();
        assert_eq!((count, said.len()), (changes.len(), changes.len()), "every name is answered once");
        Ok(said)
    }

    /// The same where every change must succeed.
    pub(crate) async fn wrote(&self, changes: &[(&str, Option<&str>)]) {
        for (name, result) in self.write(changes).await.unwrap() {
            assert!(result.is_ok(), "{name}: {result:?}");
        }
    }
}

impl View {
    /// Pushes `source` as a run does: reads, plans, writes in batches, keeps the ledger. Every write must succeed. Gives
    /// the plan.
    pub(crate) async fn push(&self, source: &[(&str, &str)], ledger: &mut Ledger, deletions: Deletions) -> Plan {
        let fingerprints = Fingerprints::new(&hmac::Key::new(hmac::HMAC_SHA256, b"key"), &["place"]);
        let of = |name: &str, value: &SecretString| fingerprints.of(name, value);
        let contents = self.read().await.unwrap();
        let wanted: BTreeMap<String, SecretString> =
            source.iter().map(|(name, value)| ((*name).to_owned(), SecretString::from(*value))).collect();
        let from = wanted.iter().map(|(name, value)| (name.clone(), Value::Known(of(name, value)))).collect();
        let there = contents.variables.iter().map(|(name, variable)| {
            let value = variable.value.as_ref();
            let value = value.map_or(Value::Hidden(variable.marker.clone()), |value| Value::Known(of(name, value)));
            (name.clone(), value)
        });
        let target = Side { values: there.collect(), hides_names: contents.hides_names };
        let reserved = |name: &str| self.provider.reserves(name) || contents.locked.contains(name);
        let plan = plan(&Side { values: from, hides_names: false }, &target, ledger, deletions, &reserved);
        let change = |name: &String| Change {
            name: name.clone(),
            value: wanted.get(name).cloned(),
            before: contents.variables.get(name).cloned(),
        };
        let abilities = self.provider.entry().abilities;
        let deletes: Vec<Change> = plan.to_delete.iter().map(change).collect();
        let sets: Vec<Change> = plan.to_create.iter().chain(&plan.to_update).map(change).collect();
        let batches = deletes.chunks(abilities.deletes_at_once).chain(sets.chunks(abilities.sets_at_once));
        for batch in batches {
            for outcome in self.provider.write(&self.session(), &self.place, batch).await.unwrap() {
                let marker = outcome.result.unwrap_or_else(|trouble| panic!("{}: {trouble}", outcome.name));
                match wanted.get(&outcome.name) {
                    None => ledger.remove(&outcome.name),
                    Some(value) => {
                        let entry = Entry { fingerprint: of(&outcome.name, value), marker };
                        ledger.insert(outcome.name, entry)
                    }
                };
            }
        }
        if !sets.is_empty() {
            self.provider.apply(&self.session(), &self.place).await.unwrap();
        }
        plan
    }
}

/// How many of a fake's requests were of a method that changes something.
pub(crate) fn writes(host: &fakes::Host) -> usize {
    host.requests().iter().filter(|request| request.method != "GET").count()
}

/// The address that a link of a fake's consent page leads to, and what it sends back.
pub(crate) async fn follow(page: &Url, origin: &str, link: &str) -> Url {
    let client = egress(&[("VERCEL", origin.to_owned())]);
    let get = |path: String| client.upstream(http::Method::GET, Upstream::Vercel, &path).send();
    let query = page.query().map(|query| format!("?{query}")).unwrap_or_default();
    let html = get(format!("{}{query}", page.path())).await.unwrap().text().into_owned();
    let path =
        html.split("href=\"").find_map(|rest| rest.split('"').next().filter(|href| href.ends_with(link))).unwrap();
    let answer = get(path.to_owned()).await.unwrap();
    Url::parse(answer.header("location").unwrap()).unwrap()
}

/// A parameter of an address.
pub(crate) fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(one, _)| one == name).map(|(_, value)| value.into_owned())
}

/// A map of names and readable values.
pub(crate) fn shown(pairs: &[(&str, &str)]) -> BTreeMap<String, Option<String>> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect()
}

/// A map of names whose values do not show themselves.
pub(crate) fn hidden(names: &[&str]) -> BTreeMap<String, Option<String>> {
    names.iter().map(|name| ((*name).to_owned(), None)).collect()
}

/// Pairs as a fake tells them.
pub(crate) fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
