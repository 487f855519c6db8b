//! Syncs: what a status reads, what a preview shows, and what an execution carries out.
//!
//! # Theory of operation
//! A [`Survey`] reads both sides once, with the ledger of what syncs wrote before. Its plan is the preview; an execution
//! holds the target, so that one sync at a time works on it, makes a survey of its own, and carries out that plan: batch by
//! batch to a platform, or as one edit of the vault. What was written is remembered after every batch,
//! so a run that was interrupted is ended by the next one. A name that fails does not keep the others. Every run leaves a
//! row of history: it is written before the first call, so that a run which dies leaves one too, and completed at the end.

mod job;
mod pull;
mod push;

use std::collections::BTreeMap;

use secrecy::SecretString;
use shared::auth::Tenant;
use shared::http::ApiError;
use shared::telemetry::metrics;

pub use job::{FUNCTION, SyncJob, job};

use crate::model::fingerprint::Fingerprints;
use crate::model::plan::{self, Deletions, Entry, Plan, Side, Standing, Value};
use crate::model::{DeleteScope, Direction, Drift, Environment, LastRun, Link, Outcome, Run, Tally, Target};
use crate::providers::{self, Contents, Place, Session, Trouble};
use crate::store::{Book, Values};
use crate::{GROUP, Obstacle, Open, Vaults};

/// What the history says of a run that an error of ours ended.
const NOT_CARRIED_THROUGH: &str = "It was not carried through, because something went wrong here. Run the sync again.";
/// So many names of a drift are kept.
const DRIFTED_KEPT: usize = 50;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// What is synced with what.
    pub target: Target,
    /// Which way.
    pub direction: Direction,
    /// What may be deleted; nothing, unless it says so.
    pub delete: Option<DeleteScope>,
    /// Who asks.
    pub by: String,
    /// True for a link's own push.
    pub automatic: bool,
}

/// Whether a link pushes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Automatic {
    /// True if every change of the vault is pushed.
    pub auto: bool,
    /// True if such a push may delete what a sync of this vault wrote.
    pub allow_delete: bool,
}

/// Both sides as they are, with what is remembered of earlier syncs.
#[derive(Debug)]
pub struct Survey {
    /// The vault's environment, if it is there yet.
    pub environment: Option<Environment>,
    /// Its values.
    pub values: Values,
    /// What is in the platform's environment.
    pub contents: Contents,
    open: Open,
    place: Place,
    book: Book,
    fingerprints: Fingerprints,
}

/// How far a run has got.
#[derive(Debug, Clone, Default)]
struct Progress {
    plan: Plan,
    tally: Tally,
    /// The vault's version that was carried over or made.
    number: u64,
}

impl Survey {
    /// What both sides hold, the vault's first.
    fn sides(&self) -> (Side, Side) {
        let known = |name: &String, value: &SecretString| Value::Known(self.fingerprints.of(name, value));
        let vault = self.values.iter().map(|(name, value)| (name.clone(), known(name, value))).collect();
        let there = self.contents.variables.iter().map(|(name, variable)| {
            let value = match &variable.value {
                Some(value) => known(name, value),
                None => Value::Hidden(variable.marker.clone()),
            };
            (name.clone(), value)
        });
        let platform = Side { values: there.collect(), hides_names: self.contents.hides_names };
        (Side { values: vault, hides_names: false }, platform)
    }

    fn source_and_target(&self, direction: Direction) -> (Side, Side) {
        let (vault, platform) = self.sides();
        match direction {
            Direction::Push => (vault, platform),
            Direction::Pull => (platform, vault),
        }
    }

    /// True if the name is not to be written or deleted. What the project alone keeps may be taken over from it.
    fn is_reserved(&self, direction: Direction, name: &str) -> bool {
        let locked = direction == Direction::Push && self.contents.locked.contains(name);
        locked || self.open.provider.reserves(name)
    }

    /// What a sync has to do.
    #[must_use]
    pub fn plan(&self, direction: Direction, delete: Option<DeleteScope>) -> Plan {
        let (source, target) = self.source_and_target(direction);
        let deletions = match delete {
            // A vault's environment that was never written is not one that was emptied: more likely it is mistyped.
            _ if direction == Direction::Push && self.environment.is_none() => Deletions::None,
            None => Deletions::None,
            Some(DeleteScope::All) => Deletions::All,
            Some(DeleteScope::Managed) => Deletions::Managed,
        };
        plan::plan(&source, &target, &self.book.ledger(), deletions, &|name| self.is_reserved(direction, name))
    }

    /// How every name stands.
    #[must_use]
    pub fn standings(&self, direction: Direction) -> BTreeMap<String, Standing> {
        let (source, target) = self.source_and_target(direction);
        let ledger = self.book.ledger();
        let standings = plan::compare(&source, &target, &ledger, &|name| self.is_reserved(direction, name));
        standings.into_iter().map(|(name, standing)| (name.to_owned(), standing)).collect()
    }

    /// What is remembered of names that are on neither side any more, to be forgotten.
    fn forgotten(&self, direction: Direction) -> BTreeMap<String, Option<Entry>> {
        let (source, target) = self.source_and_target(direction);
        let names = plan::forgotten(&source, &target, &self.book.ledger());
        names.into_iter().map(|name| (name, None)).collect()
    }

    fn number(&self) -> u64 {
        self.environment.as_ref().map_or(0, Environment::number)
    }
}

impl Vaults {
    /// Reads both sides.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the tenant has no such vault or connection, [`Trouble`] if the platform does not tell.
    pub async fn survey(&self, tenant: &Tenant, target: &Target, direction: Direction) -> Result<Survey, Obstacle> {
        let environment = self.environments.find(tenant, &target.vault, &target.environment).await?;
        let mut open = self.open(tenant, target.connection_id).await?;
        let place = Place { project_id: target.project_id.clone(), environment: target.provider_environment.clone() };
        let contents = loop {
            let answer = read(&open, &self.session(&open), &place).await;
            if let Some(contents) = self.heard(tenant, &mut open, answer).await? {
                break contents;
            }
        };
        let (environment, values) = match environment {
            Some(environment) => {
                let (environment, values) = self.environments.values(tenant, environment).await?;
                (Some(environment), values)
            }
            None => (None, Values::default()),
        };
        let book = self.links.book(tenant, target, direction).await?;
        let key = self.platform.signing_key().await?;
        let Open { connection, .. } = &open;
        let (account, project) = (connection.account_id.as_str(), place.project_id.as_str());
        let scope = [tenant.as_str(), &connection.provider, account, project, &place.environment];
        let fingerprints = Fingerprints::new(key, &scope);
        Ok(Survey { environment, values, contents, open, place, book, fingerprints })
    }

    /// Runs a sync, and keeps that it ran. What the platform refuses is in the run.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the tenant has no such vault or connection, [`ApiError::Conflict`] if another sync works on
    /// the target, [`ApiError::Internal`].
    pub async fn sync(&self, tenant: &Tenant, ask: &Ask) -> Result<Run, ApiError> {
        let target = &ask.target;
        self.environments.find(tenant, &target.vault, &target.environment).await?;
        let connection = self.connections.read(tenant, target.connection_id).await?;
        let wait = connection.waits(self.platform.ids.now());
        if let Some(retry_after) = wait.filter(|_| ask.automatic) {
            return Err(ApiError::RateLimited { retry_after });
        }
        // A project may be reached by connections of several accounts: a user's, and an organisation's.
        let place = [connection.provider.as_str(), &target.project_id, &target.provider_environment];
        let mut held = self.links.hold(tenant, &place).await?;
        let mut run = Run {
            id: self.platform.ids.uuid(),
            at: self.platform.ids.now(),
            by: ask.by.clone(),
            automatic: ask.automatic,
            direction: ask.direction,
            environment: target.environment.clone(),
            connection_id: target.connection_id,
            provider: connection.provider.clone(),
            project_id: target.project_id.clone(),
            provider_environment: target.provider_environment.clone(),
            status: Outcome::Failed,
            created: 0,
            updated: 0,
            deleted: 0,
            skipped: 0,
            failed: Vec::new(),
            reason: None,
            running: true,
        };
        let mut progress = Progress::default();
        let outcome = match self.links.begin(tenant, &target.vault, run.clone()).await {
            Ok(begun) => {
                let outcome = match wait {
                    None => self.carry_out(tenant, ask, &mut held, &mut progress).await,
                    Some(for_) => {
                        let trouble = Trouble::Wait { platform: display_name(&connection.provider), for_ };
                        progress.tally.reason = Some(sentence(&trouble));
                        Ok(())
                    }
                };
                if let Some(wait) = progress.tally.wait {
                    let now = self.platform.ids.now();
                    if let Err(error) = self.connections.change(tenant, connection.id, |one| one.wait(now, wait)).await
                    {
                        tracing::warn!(%error, connection = %connection.id, "it is not noted how long a platform asks to wait");
                    }
                }
                if outcome.is_err() {
                    progress.tally.reason = Some(NOT_CARRIED_THROUGH.into());
                }
                let Progress { plan, tally, .. } = progress.clone();
                run.status = tally.outcome();
                (run.created, run.updated, run.deleted) = (tally.created, tally.updated, tally.deleted);
                run.skipped = plan.to_skip.len();
                (run.failed, run.reason) = (tally.failed, tally.reason);
                run.running = false;
                let noted = self.links.end(begun, run.clone()).await;
                outcome.and(noted.map_err(ApiError::from))
            }
            Err(error) => Err(error.into()),
        };
        self.links.let_go(held).await;
        if let Err(error) = outcome {
            if matches!(error, ApiError::Internal(_)) {
                metrics::sync_ended(GROUP, false);
            }
            return Err(error);
        }
        metrics::sync_ended(GROUP, run.status == Outcome::Success);
        metrics::stored(GROUP, run.created + run.updated);
        let (number, now) = (progress.number, self.platform.ids.now());
        let last = LastRun { id: run.id, at: now, direction: run.direction, status: run.status, number };
        self.links.change(tenant, target, |link| link.last_run = Some(last.clone())).await?;
        Ok(run)
    }

    /// Makes a link if it is not there, and says whether it pushes by itself; then the vault's environment waits for the job.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the tenant has no such vault, or no such environment to push.
    pub async fn set_link(
        &self,
        tenant: &Tenant,
        target: &Target,
        by: &str,
        automatic: Automatic,
    ) -> Result<Link, ApiError> {
        let Automatic { auto, allow_delete } = automatic;
        let environment = self.environments.find(tenant, &target.vault, &target.environment).await?;
        if auto && environment.is_none() {
            return Err(ApiError::NotFound { what: "Environment" });
        }
        let set = |link: &mut Link| (link.auto, link.allow_delete) = (auto, auto && allow_delete);
        let link = self.links.upsert(tenant, target, by, set).await?;
        if auto {
            let now = self.platform.ids.now();
            let follow = |one: &mut Environment| one.follow(now);
            self.environments.change(tenant, &target.environment_id(), follow).await?;
        }
        Ok(link)
    }

    /// Makes the plan and carries it out; how far it got is in `progress`, also if it fails.
    async fn carry_out(
        &self,
        tenant: &Tenant,
        ask: &Ask,
        held: &mut crate::store::Held,
        progress: &mut Progress,
    ) -> Result<(), ApiError> {
        let mut survey = match self.survey(tenant, &ask.target, ask.direction).await {
            Ok(survey) => survey,
            Err(Obstacle::Api(error)) => return Err(error),
            Err(Obstacle::Trouble(trouble)) => {
                progress.tally.left(&trouble);
                progress.tally.reason = Some(sentence(&trouble));
                return Ok(());
            }
        };
        progress.plan = survey.plan(ask.direction, ask.delete);
        progress.number = survey.number();
        let Progress { plan, tally, number } = progress;
        let link = self.links.upsert(tenant, &ask.target, &ask.by, |_| {}).await?;
        self.note_drift(tenant, ask, &link, &survey, plan).await?;
        match ask.direction {
            Direction::Push => push::carry_out(self, tenant, &mut survey, plan, (held, tally)).await?,
            Direction::Pull => {
                let made = pull::carry_out(self, tenant, ask, &mut survey, plan, tally).await?;
                *number = made.unwrap_or(*number);
            }
        }
        Ok(())
    }

    /// Keeps what a link's own push finds changed although the vault was not.
    async fn note_drift(
        &self,
        tenant: &Tenant,
        ask: &Ask,
        link: &Link,
        survey: &Survey,
        plan: &Plan,
    ) -> Result<(), ApiError> {
        if !ask.automatic {
            return Ok(());
        }
        let followed = link.last_run.as_ref().is_some_and(|run| {
            run.direction == Direction::Push
                && run.status == crate::model::Outcome::Success
                && run.number == survey.number()
        });
        let drift = (followed && !plan.is_empty()).then(|| {
            let names = plan.to_create.iter().chain(&plan.to_update).chain(&plan.to_delete);
            Drift {
                at: self.platform.ids.now(),
                count: names.clone().count(),
                names: names.take(DRIFTED_KEPT).cloned().collect(),
            }
        });
        if link.drift != drift {
            self.links.change(tenant, &ask.target, |link| link.drift.clone_from(&drift)).await?;
        }
        Ok(())
    }
}

/// Reads a platform's environment; if it asks to wait a little, it is waited for.
async fn read(open: &Open, session: &Session<'_>, place: &Place) -> Result<Contents, Trouble> {
    let mut waits = 0;
    loop {
        match open.provider.read(session, place).await {
            Err(Trouble::Wait { for_, .. }) if for_ <= push::WAITED_FOR && waits < 2 => {
                waits += 1;
                tokio::time::sleep(for_).await;
            }
            answer => return answer,
        }
    }
}

fn display_name(provider: &str) -> &'static str {
    providers::named(provider).map_or("The platform", |provider| provider.entry().display_name)
}

impl Tally {
    /// Notes that the platform was left for this trouble: if it asks to wait, nobody asks it before.
    fn left(&mut self, trouble: &Trouble) {
        if let Trouble::Wait { for_, .. } = trouble {
            self.wait = self.wait.max(Some(*for_));
        }
    }
}

/// What a trouble is to the reader of a run.
fn sentence(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Wait { .. } => format!("{trouble}. Run the sync again then."),
        trouble => trouble.to_string(),
    }
}
