//! Links between a vault's environment and a platform's, and the runs of their syncs.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use shared::digest::sha256_hex;
use uuid::Uuid;

use super::plan::Plan;
use super::{EnvironmentName, VaultName};

/// A table of the values of an enum, by name.
macro_rules! named {
    ($kind:ident { $($variant:ident = $name:literal),* $(,)? }) => {
        impl $kind {
            /// Its name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The one of this name.
            #[must_use]
            pub fn named(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }

            /// What is accepted, in words.
            pub const ACCEPTED: &str = concat!("one of ", named!(@list $($name),*));
        }
    };
    (@list $first:literal $(, $rest:literal)*) => { concat!($first $(, ", ", $rest)*) };
}

/// Which way a sync goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the vault to the platform.
    Push,
    /// From the platform to the vault.
    Pull,
}

named!(Direction { Push = "push", Pull = "pull" });

/// What a sync that may delete deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeleteScope {
    /// Whatever the source lacks.
    All,
    /// Of that, what a sync of this vault wrote.
    Managed,
}

named!(DeleteScope { All = "all", Managed = "managed" });

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = SyncOutcome)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Everything was done, or nothing was to be done.
    Success,
    /// Some was done.
    Partial,
    /// Nothing was done of what was to be.
    Failed,
}

/// What a sync is between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The vault.
    pub vault: VaultName,
    /// Its environment.
    pub environment: EnvironmentName,
    /// The connection.
    pub connection_id: Uuid,
    /// The platform's id of the project.
    pub project_id: String,
    /// The environment, in the platform's words.
    pub provider_environment: String,
}

impl Target {
    /// The id of the link between the two.
    #[must_use]
    pub fn link_id(&self) -> String {
        let connection = self.connection_id.to_string();
        let (vault, environment) = (self.vault.as_str(), self.environment.as_str());
        hashed(&[vault, environment, &connection, &self.project_id, &self.provider_environment])
    }

    /// The id of the vault's environment.
    #[must_use]
    pub fn environment_id(&self) -> String {
        self.environment.id_in(&self.vault)
    }
}

/// A hash of texts that cannot run into one another, short enough for a key.
#[must_use]
pub fn hashed(parts: &[&str]) -> String {
    let framed: String = parts.iter().map(|part| format!("{}:{part}", part.len())).collect();
    sha256_hex(framed.as_bytes()).get(..32).unwrap_or_default().to_owned()
}

/// What the last run of a link came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    /// The run.
    pub id: Uuid,
    /// When it ended.
    pub at: Timestamp,
    /// Which way it went.
    pub direction: Direction,
    /// How it ended.
    pub status: Outcome,
    /// The vault's version that it carried over, or made.
    pub number: u64,
}

/// What somebody else changed at the platform since the last run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// When it was found.
    pub at: Timestamp,
    /// How many names.
    pub count: usize,
    /// The first of them.
    pub names: Vec<String>,
}

/// A vault's environment and a platform's that are synced with each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its id.
    pub id: String,
    /// The vault.
    pub vault: VaultName,
    /// Its environment.
    pub environment: EnvironmentName,
    /// The connection.
    pub connection_id: Uuid,
    /// The platform's id of the project.
    pub project_id: String,
    /// The environment, in the platform's words.
    pub provider_environment: String,
    /// True if every change of the vault is pushed by itself.
    #[serde(default)]
    pub auto: bool,
    /// True if such a push may delete what a sync of this vault wrote.
    #[serde(default)]
    pub allow_delete: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// Its last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<LastRun>,
    /// What was found changed at the platform when it was last looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,
}

impl Link {
    /// A new one.
    #[must_use]
    pub fn new(target: &Target, by: &str, now: Timestamp) -> Self {
        Self {
            id: target.link_id(),
            vault: target.vault.clone(),
            environment: target.environment.clone(),
            connection_id: target.connection_id,
            project_id: target.project_id.clone(),
            provider_environment: target.provider_environment.clone(),
            auto: false,
            allow_delete: false,
            created_at: now,
            created_by: by.to_owned(),
            last_run: None,
            drift: None,
        }
    }

    /// What it is between.
    #[must_use]
    pub fn target(&self) -> Target {
        Target {
            vault: self.vault.clone(),
            environment: self.environment.clone(),
            connection_id: self.connection_id,
            project_id: self.project_id.clone(),
            provider_environment: self.provider_environment.clone(),
        }
    }
}

/// A name that was left as it was, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = SyncFailure)]
pub struct Failure {
    /// The name.
    pub key: String,
    /// Why.
    pub reason: String,
}

/// One run of a sync: names and numbers, never values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Its id.
    pub id: Uuid,
    /// When it began.
    pub at: Timestamp,
    /// Who asked for it.
    pub by: String,
    /// True if it was a link's own push.
    pub automatic: bool,
    /// Which way it went.
    pub direction: Direction,
    /// The vault's environment.
    pub environment: EnvironmentName,
    /// The connection.
    pub connection_id: Uuid,
    /// The platform.
    pub provider: String,
    /// The platform's id of the project.
    pub project_id: String,
    /// The environment, in the platform's words.
    pub provider_environment: String,
    /// How it ended.
    pub status: Outcome,
    /// How many names the target lacked.
    pub created: usize,
    /// How many names differed.
    pub updated: usize,
    /// How many names were deleted.
    pub deleted: usize,
    /// How many names were left alone.
    pub skipped: usize,
    /// The names that were left as they were although they should not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<Failure>,
    /// Why nothing could be done at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// True until it has ended. What it came to is not known before, nor ever if it died.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub running: bool,
}

/// No run lasts longer: the longest function, and some for clocks that differ.
const LASTS_AT_MOST: SignedDuration = SignedDuration::from_mins(20);

impl Run {
    /// True if it has not ended and cannot go on either.
    #[must_use]
    pub fn is_dead(&self, now: Timestamp) -> bool {
        self.running && now.duration_since(self.at) > LASTS_AT_MOST
    }
}

/// What was done of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many names were created.
    pub created: usize,
    /// How many names were changed.
    pub updated: usize,
    /// How many names were deleted.
    pub deleted: usize,
    /// The names that were left as they were, and why.
    pub failed: Vec<Failure>,
    /// Why nothing could be done at all.
    pub reason: Option<String>,
    /// How long the platform asks to wait, if that is why it was left.
    pub wait: Option<Duration>,
}

impl Tally {
    /// Notes that `name` was done.
    pub fn done(&mut self, plan: &Plan, name: &str) {
        let is_in = |list: &[String]| list.binary_search_by(|one| one.as_str().cmp(name)).is_ok();
        if is_in(&plan.to_create) {
            self.created += 1;
        } else if is_in(&plan.to_update) {
            self.updated += 1;
        } else {
            self.deleted += 1;
        }
    }

    /// Notes that `name` was not.
    pub fn fail(&mut self, name: &str, reason: impl Into<String>) {
        self.failed.push(Failure { key: name.to_owned(), reason: reason.into() });
    }

    /// How the run ended.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let done = self.created + self.updated + self.deleted;
        match (self.reason.is_some() || !self.failed.is_empty(), done) {
            (false, _) => Outcome::Success,
            (true, 0) => Outcome::Failed,
            (true, _) => Outcome::Partial,
        }
    }
}
