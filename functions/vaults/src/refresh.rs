//! `vaults-refresh`: renews OAuth tokens before they end.
//!
//! # Theory of operation
//! A connection whose token ends stands in a queue of the table's index with the time at which it is to be renewed. A
//! worker claims it by a conditional write, which gives it a lease and a fencing number; asks the platform; stores the new
//! token; and only then is it used. Storing it is tried again and again, for the old one may be used up. One at a time,
//! because a platform may take the second use of a refresh token for theft and end the grant. A refused grant marks the
//! connection, so that its owner connects it again; anything else puts the renewal off.
//!
//! A request that finds a token ended does the same at once, or waits for the worker that does. So does one whose token the
//! platform refuses before its time, or without ever having said when it ends: only if the grant is refused too, or the new
//! token, must the account be connected again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use serde::Serialize;
use shared::Platform;
use shared::auth::Tenant;
use shared::credentials::SecretVersion;
use shared::deadline;
use shared::http::ApiError;
use shared::job::{Job, JobError, ScheduledEvent};
use shared::table::{Key, keys};
use tokio::time::Instant;
use uuid::Uuid;

use crate::model::{Connection, Status};
use crate::providers::{self, Held, OAuthError, Tokens, Trouble};
use crate::store::{QUEUES, queue_named};
use crate::{GROUP, Obstacle, Vaults};

/// The function's name.
pub const FUNCTION: &str = "vaults-refresh";
const BATCH: usize = 50;
/// A renewal is begun only with this much time left: the platform's 8 s, and some to store what it gives.
const ENOUGH: Duration = Duration::from_secs(15);
/// A worker that renews a token is waited for so long.
const WAITS_FOR: Duration = Duration::from_secs(10);
const LOOKS_AGAIN: Duration = Duration::from_millis(100);
/// A new token is tried to be stored for so long, with pauses that are doubled each time.
const KEEPS_TRYING: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// What a renewal came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// There is a new token.
    Renewed,
    /// The platform refuses the grant.
    Refused,
    /// It did not work this time.
    PutOff,
    /// It is not due, or another worker's.
    Alone,
}

/// Renews a connection's token, if that is due or `early` and nobody else does.
///
/// # Errors
/// [`ApiError`] if the table or Secrets Manager does not answer.
pub async fn renew(vaults: &Vaults, tenant: &Tenant, id: Uuid, early: bool) -> Result<Renewal, ApiError> {
    let Some((connection, fence)) = vaults.connections.claim_refresh(tenant, id, early).await? else {
        return Ok(Renewal::Alone);
    };
    let now = || vaults.platform.ids.now();
    match ask(vaults, tenant, &connection).await {
        Ok((tokens, before)) => {
            let held = Held { access: tokens.access, refresh: tokens.refresh.or(before.refresh) };
            let stored = keep(vaults, tenant, (&connection, fence), &held, tokens.lives).await?;
            Ok(if stored { Renewal::Renewed } else { Renewal::Alone })
        }
        Err(OAuthError::InvalidGrant) => {
            tracing::info!(group = GROUP, tenant = tenant.as_str(), connection = %id, "a grant was refused");
            vaults.connections.need_reauth(tenant, &connection).await?;
            Ok(Renewal::Refused)
        }
        Err(error) => {
            tracing::warn!(group = GROUP, tenant = tenant.as_str(), connection = %id, %error, "a token was not renewed");
            let put_off = |one: &mut Connection| {
                one.put_refresh_off(fence, now());
            };
            vaults.connections.change(tenant, id, put_off).await?;
            Ok(Renewal::PutOff)
        }
    }
}

/// Stores what the platform gave. The token that it was given for may be used up, so what fails is tried again while there
/// is time: the lease is longer.
async fn keep(
    vaults: &Vaults,
    tenant: &Tenant,
    renewal: (&Connection, u64),
    held: &Held,
    lives: Option<SignedDuration>,
) -> Result<bool, ApiError> {
    let version = SecretVersion(vaults.platform.ids.uuid());
    let (trying_since, mut pause) = (Instant::now(), FIRST_PAUSE);
    loop {
        let stored = vaults.connections.refreshed(tenant, renewal, (version, held), lives).await;
        let time = trying_since.elapsed() + pause < KEEPS_TRYING && deadline::left().is_none_or(|left| left > pause);
        match stored {
            Err(error) if time => {
                tracing::error!(connection = %renewal.0.id, ?error, "a renewed token is not stored yet");
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            stored => return stored,
        }
    }
}

/// Asks the platform for a new token.
async fn ask(vaults: &Vaults, tenant: &Tenant, connection: &Connection) -> Result<(Tokens, Held), OAuthError> {
    let missing = |what: &str| Trouble::Unexpected(format!("There is no {what}."));
    let provider = providers::named(&connection.provider).ok_or_else(|| missing("such provider"))?;
    let oauth = provider.oauth().ok_or_else(|| missing("OAuth with this provider"))?;
    let unreadable = |error| {
        tracing::error!(connection = %connection.id, %error, "a token could not be renewed");
        Trouble::Down("The stored token could not be read just now.".into())
    };
    let client = vaults.client(&connection.provider).await.map_err(unreadable)?;
    let client = client.ok_or_else(|| missing("OAuth client of the operator"))?;
    let held = vaults.connections.held(tenant, connection).await.map_err(unreadable)?;
    let refresh = held.refresh.clone().ok_or(OAuthError::InvalidGrant)?;
    let egress = vaults.platform.egress.hiding(vec![client.secret.clone(), refresh.clone()]);
    Ok((oauth.refresh(&client, &refresh, &egress).await?, held))
}

/// A connection, its token renewed first if it has ended.
///
/// # Errors
/// [`ApiError::NotFound`] if the tenant has no such connection, [`Trouble`] if its token could not be renewed.
pub async fn usable(vaults: &Vaults, tenant: &Tenant, id: Uuid) -> Result<Connection, Obstacle> {
    let waiting_since = Instant::now();
    loop {
        let connection = vaults.connections.read(tenant, id).await?;
        let renewable = connection.refresh.due_at.is_some() && connection.status == Status::Active;
        if !connection.has_ended(vaults.platform.ids.now()) || !renewable {
            return Ok(connection);
        }
        match renew(vaults, tenant, id, true).await? {
            Renewal::Renewed | Renewal::Refused => {}
            Renewal::Alone if waiting_since.elapsed() < WAITS_FOR => tokio::time::sleep(LOOKS_AGAIN).await,
            Renewal::PutOff | Renewal::Alone => {
                let message = "The connection's token has ended and could not be renewed just now. Try again later.";
                return Err(Trouble::Down(message.into()).into());
            }
        }
    }
}

/// The connection with another token than the one that the platform has just refused: a renewed one. Nothing if its grant is
/// refused too.
///
/// # Errors
/// [`ApiError::NotFound`] if the tenant has no such connection, [`Trouble`] if its token could not be renewed just now.
pub async fn replaced(vaults: &Vaults, tenant: &Tenant, refused: &Connection) -> Result<Option<Connection>, Obstacle> {
    let waiting_since = Instant::now();
    loop {
        let connection = vaults.connections.read(tenant, refused.id).await?;
        if connection.status == Status::NeedsReauth {
            return Ok(None);
        }
        if connection.secret.version != refused.secret.version {
            return Ok(Some(connection));
        }
        match renew(vaults, tenant, refused.id, true).await? {
            Renewal::Renewed | Renewal::Refused => {}
            Renewal::Alone if waiting_since.elapsed() < WAITS_FOR => tokio::time::sleep(LOOKS_AGAIN).await,
            Renewal::PutOff | Renewal::Alone => {
                let message =
                    "The connection's token is not accepted and could not be renewed just now. Try again later.";
                return Err(Trouble::Down(message.into()).into());
            }
        }
    }
}

/// Takes a deleted connection's grant back at the platform, where it can be. What fails is only noted.
pub async fn revoke(vaults: &Vaults, connection: &Connection, held: Held) {
    let oauth = providers::named(&connection.provider).and_then(|provider| provider.oauth());
    let (Some(oauth), crate::model::Way::Oauth) = (oauth, connection.way) else { return };
    let Ok(Some(client)) = vaults.client(&connection.provider).await else { return };
    let mut hidden = vec![client.secret.clone(), held.access.clone()];
    hidden.extend(held.refresh.clone());
    let tokens = Tokens {
        access: held.access,
        refresh: held.refresh,
        lives: None,
        team_id: connection.team_id.clone(),
        user_id: connection.user_id.clone(),
        installation_id: connection.installation_id.clone(),
    };
    match oauth.revoke(&client, &tokens, &vaults.platform.egress.hiding(hidden)).await {
        Ok(revoked) => tracing::info!(group = GROUP, connection = %connection.id, revoked, "disconnected"),
        Err(error) => tracing::warn!(group = GROUP, connection = %connection.id, %error, "a grant was not taken back"),
    }
}

/// What a run did.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Tally {
    renewed: usize,
    refused: usize,
    put_off: usize,
}

/// The job.
#[derive(Debug)]
pub struct RefreshJob {
    vaults: Vaults,
}

/// The tenant and the connection of a key.
fn connection_of(key: &Key) -> Option<(Tenant, Uuid)> {
    let (tenant, id) = keys::integration_of(key)?;
    Some((tenant, Uuid::try_parse(id).ok()?))
}

#[async_trait::async_trait]
impl Job for RefreshJob {
    async fn run(&self, _event: ScheduledEvent) -> Result<serde_json::Value, JobError> {
        let mut tally = Tally::default();
        let mut outcome = Ok(());
        for number in 0..QUEUES {
            let mut seen = HashSet::new();
            loop {
                let now = self.vaults.platform.ids.now();
                let due = self.vaults.platform.table.due(&queue_named(FUNCTION, number), now, BATCH).await?;
                // The index lags: what comes back a second time is left to a later run.
                let fresh: Vec<_> =
                    due.iter().filter_map(connection_of).filter(|one| seen.insert(one.clone())).collect();
                if fresh.is_empty() || is_near_the_end() {
                    break;
                }
                outcome = self.work(fresh, &mut tally).await.and(outcome);
            }
        }
        outcome?;
        serde_json::to_value(tally).map_err(JobError::Result)
    }
}

impl RefreshJob {
    async fn work(&self, due: Vec<(Tenant, Uuid)>, tally: &mut Tally) -> Result<(), JobError> {
        let mut outcome = Ok(());
        for (tenant, id) in due {
            if is_near_the_end() {
                break;
            }
            match renew(&self.vaults, &tenant, id, false).await {
                Ok(Renewal::Renewed) => tally.renewed += 1,
                Ok(Renewal::Refused) => tally.refused += 1,
                Ok(Renewal::PutOff) => tally.put_off += 1,
                Ok(Renewal::Alone) => {}
                // The others go on.
                Err(error) => {
                    tracing::error!(tenant = tenant.as_str(), connection = %id, ?error, "not renewed");
                    outcome = Err(JobError::Failed("a token could not be renewed".into()));
                }
            }
        }
        outcome
    }
}

fn is_near_the_end() -> bool {
    deadline::left().is_some_and(|left| left < ENOUGH)
}

/// The job as a function.
#[must_use]
pub fn job(platform: &Platform) -> Arc<dyn Job> {
    Arc::new(RefreshJob { vaults: Vaults::new(platform) })
}
