//! The deploy platforms, one file each behind one trait.
//!
//! # Theory of operation
//! A [`Provider`] holds no state and speaks only through a [`Session`]. It says what it can do ([`Abilities`]), so that the
//! planner and the executor need no special cases; whose token it is given ([`Provider::accounts`]); which projects there
//! are; what is in one environment of a project ([`Provider::read`]); and it writes a batch of changes to that environment
//! and to no other ([`Provider::write`]), telling for every name what became of it. One that customers connect by OAuth
//! says how ([`Provider::oauth`]).
//!
//! A write is given what was read of each name a moment ago, with the provider's own handle, so that it can change one
//! environment of a record that covers several. A provider never writes to a name that it was not told to, and whatever
//! it cannot do without touching another environment it refuses.
//!
//! To add a provider: write its file, name it in `ALL`, write its fake, and give its tests a row of `conformance`.

mod cloudflare;
#[cfg(test)]
mod conformance;
mod document;
mod fly;
mod github;
mod halves;
mod heroku;
mod netlify;
mod oauth;
mod railway;
mod refusal;
mod render;
mod session;
mod supabase;
#[cfg(test)]
pub(crate) mod testing;
mod trouble;
mod vercel;

use std::collections::{BTreeMap, BTreeSet};

use secrecy::SecretString;
use serde_json::Value as Json;

pub use document::Held;
pub use oauth::{Authorization, Client, OAuth, OAuthError, Tokens};
pub use session::Session;
pub use trouble::Trouble;

/// Every provider, in the order of the documentation.
static ALL: &[&dyn Provider] = &[
    &vercel::Vercel,
    &railway::Railway,
    &netlify::Netlify,
    &fly::FLY,
    &cloudflare::Cloudflare,
    &github::Github,
    &render::Render,
    &heroku::Heroku,
    &supabase::Supabase,
];

/// Every provider.
#[must_use]
pub fn all() -> &'static [&'static dyn Provider] {
    ALL
}

/// The provider of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static dyn Provider> {
    ALL.iter().copied().find(|provider| provider.entry().name == name)
}

/// What is known of a provider before it is asked anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// What the API calls it; never changes.
    pub name: &'static str,
    /// What people call it.
    pub display_name: &'static str,
    /// How a person makes a token to paste: where, which kind, which rights. `None` if none is taken.
    pub token_help: Option<&'static str>,
    /// What it can do.
    pub abilities: Abilities,
}

/// What a provider can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// True if at least some values can be read back.
    pub readable: bool,
    /// The environments that every project has, in the provider's own words. Empty if projects have environments of
    /// their own, which [`Provider::projects`] tells.
    pub environments: &'static [&'static str],
    /// At most so many sets in one call of [`Provider::write`].
    pub sets_at_once: usize,
    /// At most so many deletions in one call of [`Provider::write`].
    pub deletes_at_once: usize,
    /// True if sets and deletions may share a call.
    pub mixed: bool,
    /// At most so many names in one environment. Deletions go before creations where there is such a cap.
    pub most_names: Option<usize>,
    /// The largest value, in bytes.
    pub largest_value: usize,
}

/// One environment of one project.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The provider's id of the project.
    pub project_id: String,
    /// The environment in the provider's own words.
    pub environment: String,
}

/// A token's account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The provider's id of what the token gives access to: a team, a workspace, a user, an organisation.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The provider's id of the user, where it tells.
    pub user_id: Option<String>,
    /// The provider's id of the team, where calls must name it.
    pub team_id: Option<String>,
}

/// A project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The provider's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The repository that it is built from, `owner/repo`.
    pub linked_repo: Option<String>,
    /// The framework, in the provider's words.
    pub framework: Option<String>,
    /// Its environments, where the provider tells.
    pub environments: Option<Vec<String>>,
}

/// What is in one environment.
#[derive(Debug, Default)]
pub struct Contents {
    /// By name, without those that the provider reserves.
    pub variables: BTreeMap<String, Variable>,
    /// True if there may be names that the token is not shown.
    pub hides_names: bool,
    /// The names that this project lets nobody change, those of add-ons for instance.
    pub locked: BTreeSet<String>,
}

/// One variable of one environment.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Its value; `None` if the provider does not give it back.
    pub value: Option<SecretString>,
    /// The provider's own marker of its last change, for values that are not given back.
    pub marker: Option<String>,
    /// What the provider needs to change it: ids, and what else the same record covers. Never stored.
    pub handle: Json,
}

/// What is to become of one name.
#[derive(Debug, Clone)]
pub struct Change {
    /// The name.
    pub name: String,
    /// The value that it shall have; `None` if it shall go.
    pub value: Option<SecretString>,
    /// What was read of it. `None` if it was not there.
    pub before: Option<Variable>,
}

/// What became of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The name.
    pub name: String,
    /// The provider's marker of the value that was written, where it has one; or why the name was left as it is.
    pub result: Result<Option<String>, Trouble>,
}

impl Outcome {
    /// The name has the value that it should have.
    #[must_use]
    pub fn done(change: &Change, marker: Option<String>) -> Self {
        Self { name: change.name.clone(), result: Ok(marker) }
    }

    /// The name was left as it is.
    #[must_use]
    pub fn failed(change: &Change, trouble: Trouble) -> Self {
        Self { name: change.name.clone(), result: Err(trouble) }
    }
}

/// One deploy platform. Implementations hold no state and speak only through a [`Session`].
#[async_trait::async_trait]
pub trait Provider: Send + Sync {
    /// What is known of it before it is asked anything.
    fn entry(&self) -> &'static Entry;

    /// How customers connect it by OAuth, if they can.
    fn oauth(&self) -> Option<&'static dyn OAuth> {
        None
    }

    /// True if the provider sets this name itself, or takes it from nobody: it is never written, deleted or taken over. A name
    /// that the provider merely uses elsewhere is not reserved: a key of its API is a secret like any other.
    fn reserves(&self, name: &str) -> bool;

    /// What is wrong with this name or value at this provider, before anything is asked. A sentence.
    fn objection(&self, _name: &str, _value: &SecretString) -> Option<String> {
        None
    }

    /// Reads a pasted token: surrounding blanks and a scheme in front are taken off.
    fn tidy(&self, token: &str) -> String {
        token.trim().to_owned()
    }

    /// The provider's own word for an environment that a person calls `given`: `preview` is `deploy-preview` at Netlify.
    /// What it does not know stays as it is. Links, leases and calls use the provider's word.
    fn environment(&self, given: &str) -> String {
        given.to_owned()
    }

    /// The provider's own word for a project that is called `given`, where it takes several for one. Links, leases and calls
    /// use the provider's word.
    fn project(&self, given: &str) -> String {
        given.to_owned()
    }

    /// The accounts that a token gives access to; a token that does not work is a [`Trouble`]. Of the session only the
    /// token is set, and the team where the token endpoint told it or the customer named it: then it is that account.
    /// More than one where the provider does not say which was meant: the caller must choose.
    ///
    /// # Errors
    /// [`Trouble`]
    async fn accounts(&self, session: &Session<'_>) -> Result<Vec<Account>, Trouble>;

    /// Every project of the account, all pages, by name.
    ///
    /// # Errors
    /// [`Trouble`]
    async fn projects(&self, session: &Session<'_>) -> Result<Vec<Project>, Trouble>;

    /// What is in one environment, all pages.
    ///
    /// # Errors
    /// [`Trouble`]; [`Trouble::NotFound`] names the environments that there are, where it is the environment that is
    /// missing.
    async fn read(&self, session: &Session<'_>, place: &Place) -> Result<Contents, Trouble>;

    /// Writes a batch of changes to one environment and to no other. The batch keeps to the provider's [`Abilities`], and
    /// what is in it was read a moment ago. The answer names every change once.
    ///
    /// # Errors
    /// [`Trouble`] if the whole batch was refused: [`Trouble::Wait`] if nothing of it was done; else whatever was done is
    /// done again the next time. A single name's [`Trouble::Wait`] says that this one was not done and may be tried again.
    async fn write(&self, session: &Session<'_>, place: &Place, batch: &[Change]) -> Result<Vec<Outcome>, Trouble>;

    /// Makes what was written take effect, where the provider does not do so by itself and a run should do it once: called
    /// after the last batch of a run that set something. Nothing to do for most.
    ///
    /// # Errors
    /// [`Trouble`]: the values are written, but not yet in force.
    async fn apply(&self, _session: &Session<'_>, _place: &Place) -> Result<(), Trouble> {
        Ok(())
    }
}

/// True for `prefix` itself and for a name that begins with it and `_`, however it is written.
fn has_prefix(name: &str, prefix: &str) -> bool {
    let head = name.get(..prefix.len());
    let rest = name.get(prefix.len()..).unwrap_or_default();
    head.is_some_and(|head| head.eq_ignore_ascii_case(prefix)) && (rest.is_empty() || rest.starts_with('_'))
}

/// `text` as one segment of a path. It came in with a request, so it may be anything.
fn segment(text: &str) -> String {
    let encoded: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    // A URL's dots are steps, encoded or not.
    if encoded.is_empty() || encoded.trim_matches('.').is_empty() { "-".into() } else { encoded.replace('+', "%20") }
}

/// For a provider whose projects are one environment each: refuses any other.
fn only_environment(entry: &Entry, place: &Place) -> Result<(), Trouble> {
    let known = entry.abilities.environments;
    if known.contains(&place.environment.as_str()) {
        return Ok(());
    }
    Err(Trouble::NotFound(format!(
        "At {} a project is one environment, {}. Use another project for another environment.",
        entry.display_name,
        known.join(", ")
    )))
}

/// What was written of a batch; or that the platform asks to wait, if that is all it said.
fn settle(outcomes: Vec<Outcome>) -> Result<Vec<Outcome>, Trouble> {
    let waits = |outcome: &Outcome| matches!(outcome.result, Err(Trouble::Wait { .. }));
    match outcomes.first().map(|first| &first.result) {
        Some(Err(trouble)) if outcomes.iter().all(waits) => Err(trouble.clone()),
        _ => Ok(outcomes),
    }
}

/// Calls of one kind, one after the other: once the platform asks to wait, will hear nothing more, or is down twice in a row,
/// no more are made.
#[derive(Default)]
struct Brake {
    stopped: Option<Trouble>,
    down: u32,
}

impl Brake {
    async fn run<T>(&mut self, call: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        if let Some(trouble) = &self.stopped {
            return Err(trouble.clone());
        }
        let result = call.await;
        self.down = if matches!(result, Err(Trouble::Down(_))) { self.down + 1 } else { 0 };
        let stops = |trouble: &&Trouble| trouble.ends_batch() || self.down >= 2;
        self.stopped = result.as_ref().err().filter(stops).cloned();
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_told_apart_and_can_be_connected() {
        for provider in all() {
            let entry = provider.entry();
            let found = named(entry.name).map(Provider::entry);
            assert!(found.is_some_and(|found| std::ptr::eq(found, entry)), "{}: a name is given twice", entry.name);
            assert!(entry.token_help.is_some() || provider.oauth().is_some(), "{}", entry.name);
            assert!(entry.abilities.sets_at_once > 0 && entry.abilities.deletes_at_once > 0, "{}", entry.name);
            for environment in entry.abilities.environments {
                assert_eq!(provider.environment(environment), *environment, "{}", entry.name);
            }
            assert!(!provider.reserves("DATABASE_URL") && provider.objection("DATABASE_URL", &"x".into()).is_none());
        }
        assert!(named("nowhere").is_none());
    }

    #[tokio::test]
    async fn a_platform_that_is_down_is_not_asked_for_every_name() {
        let mut brake = Brake::default();
        let (down, refused) = (Trouble::Down("Down.".into()), Trouble::Refused("No.".into()));
        let mut asked = 0;
        let answers =
            [Err(down.clone()), Err(refused), Err(down.clone()), Ok(()), Err(down.clone()), Err(down.clone())];
        for answer in answers.into_iter().chain(vec![Ok(()); 10]) {
            let call = async {
                asked += 1;
                answer
            };
            let _ = brake.run(call).await;
        }
        assert_eq!((asked, brake.run(async { Ok(()) }).await), (6, Err(down)));
    }

    #[test]
    fn a_segment_stays_one_segment() {
        for text in ["..", ".", "", "a/b", "a?b", "a#b", "a b", "%2e%2e", "ä"] {
            let url = url::Url::parse(&format!("https://example.com/one/{}/two", segment(text))).unwrap();
            let segments: Vec<&str> = url.path_segments().unwrap().collect();
            assert_eq!((segments.len(), segments[0], segments[2], url.query()), (3, "one", "two", None), "{text}");
        }
        assert_eq!(segment("prj_1-x.y"), "prj_1-x.y");
    }

    #[test]
    fn a_prefix_is_a_whole_word() {
        for (name, expected) in
            [("VERCEL", true), ("vercel_url", true), ("VERCELLI", false), ("MY_VERCEL", false), ("", false)]
        {
            assert_eq!(has_prefix(name, "VERCEL"), expected, "{name}");
        }
    }
}
