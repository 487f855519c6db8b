//! `POST /api/v1/integrations/{id}/rotate`: replaces a key's credential, once its provider has not refused the new one.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use shared::auth::{Caller, needs};
use shared::credentials::SecretVersion;
use shared::http::{ApiError, Body, Reserved};
use utoipa::ToSchema;

use super::create_integration::prove;
use super::wire::One;
use super::{Named, input};
use crate::model::{Health, Key, KeyId};
use crate::{Group, event_of, providers};

/// The new credential, whole.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
struct RotateIntegrationRequest {
    /// The credential's parts by name; most providers have one, `api_key`.
    credentials: BTreeMap<String, String>,
}

/// Replaces a key's credential.
///
/// The new one is checked first; a refused one changes nothing.
#[utoipa::path(
    post,
    path = "/api/v1/integrations/{id}/rotate",
    tag = "pool",
    security(("bearer" = ["keys:write"])),
    params(
        ("id" = KeyId, Path, description = "The key's id."),
    ),
    request_body = RotateIntegrationRequest,
    responses(
        (status = 200, description = "The key with its new credential.", body = One),
        (status = 400, description = "The provider refuses the credential."),
    ),
)]
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
