//! The deploy platforms, one file each behind one trait.
//!
//! # Theory of operation
//! A [`Provider`] holds no state and speaks only through a [`Session`]. It says what it can do ([`Abilities`]), so that the
//! planner and the executor need no special cases; whose token it is given ([`Provider::account`]); which projects there
//! are; what is in one environment of a project ([`Provider::read`]); and it writes a batch of changes to that environment
//! and to no other ([`Provider::write`]), telling for every name what became of it. One that customers connect by OAuth
//! says how ([`Provider::oauth`]).
//!
//! A write is given what was read of each name a moment ago, with the provider's own handle, so that it can change one
//! environment of a record that covers several. A provider never writes to a name that it was not told to, and whatever
//! it cannot do without touching another environment it refuses.
//!
//! To add a provider: write its file, name it in [`ALL`], write its fake.

mod document;
mod oauth;
mod refusal;
mod session;
mod trouble;

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::Value as Json;

pub use document::Held;
pub use oauth::{Authorization, Client, OAuth, OAuthError, Tokens};
pub use session::Session;
pub use trouble::Trouble;

/// Every provider, in the order of the documentation.
static ALL: &[&dyn Provider] = &[];

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

/// One deploy platform. Implementations hold no state and speak only through a [`Session`].
#[async_trait::async_trait]
pub trait Provider: Send + Sync {
    /// What is known of it before it is asked anything.
    fn entry(&self) -> &'static Entry;

    /// How customers connect it by OAuth, if they can.
    fn oauth(&self) -> Option<&'static dyn OAuth> {
        None
    }

    /// True if the provider keeps this name for itself: it is never written, deleted or taken over.
    fn reserves(&self, name: &str) -> bool;

    /// What is wrong with this name or value at this provider, before anything is asked. A sentence.
    fn objection(&self, _name: &str, _value: &SecretString) -> Option<String> {
        None
    }

    /// Reads a pasted token: surrounding blanks and a scheme in front are taken off.
    fn tidy(&self, token: &str) -> String {
        token.trim().to_owned()
    }

    /// The accounts that a token gives access to; a token that does not work is a [`Trouble`]. Of the session only the
    /// token is set. More than one where the provider does not say which was meant: the caller must choose.
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
    /// done again the next time.
    async fn write(&self, session: &Session<'_>, place: &Place, batch: &[Change]) -> Result<Vec<Outcome>, Trouble>;
}
