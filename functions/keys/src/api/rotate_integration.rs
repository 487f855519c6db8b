//! `POST /api/v1/integrations/{id}/rotate`: replaces a key's credential, once its provider has not refused the new one.

use axum::Json;
use axum::extract::State;
use shared::auth::{Caller, needs};
use shared::credentials::SecretVersion;
use shared::http::{ApiError, Body, Reserved};

use super::create_integration::prove;
use super::wire::One;
use super::{Named, input};
use crate::model::{Health, Key};
use crate::{Group, event_of, providers};

pub(super) async fn rotate_integration(
    State(group): State<Group>,
    caller: Caller<needs::KeysWrite>,
    Named(id): Named,
    Reserved(reservation): Reserved,
    Body(mut fields): Body,
) -> Result<Json<One>, ApiError> {
    let key = group.keys.read(caller.tenant(), id).await?;
    let secrets = input::credentials(&mut fields, providers::of(&key.provider).entry());
    fields.finish()?;
    let secrets = secrets.ok_or_else(|| ApiError::field("credentials", "required", "is missing"))?;
    let probe = prove(&group, &key.provider, key.base_url.as_ref(), &secrets).await?;
    let now = group.platform.ids.now();
    // Whatever was found before was the old credential's.
    let begin_anew = |key: &mut Key| key.health = Health::found(event_of(&probe), now);
    let version = SecretVersion(reservation.uuid());
    let key = group.keys.rotate(caller.tenant(), id, version, &secrets, begin_anew).await?;
    let usage = group.keys.usage(caller.tenant(), &key).await?;
    Ok(Json(One::of(key, &usage, now)))
}
