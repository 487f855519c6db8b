//! `PUT /api/integrations/{integrationId}`: renames an integration or merges over its config. Whoever may
//! not see a stored secret cannot have it sent to another address.

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value};
use shared::auth::{Caller, Permission, needs};
use shared::http::{ApiError, Body, line};
use utoipa::ToSchema;

use super::create_integration::{NAME, NAME_ACCEPTED, object};
use super::wire::Detail;
use super::{Named, noted};
use crate::Services;
use crate::model::Kind;
use crate::providers::{self, ConfigChange};

/// What to change; what is left out stays.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
struct UpdateIntegrationRequest {
    /// What people call it.
    #[schema(nullable = false, min_length = 1, max_length = 200)]
    name: Option<String>,
    /// What is merged over the stored config.
    #[schema(nullable = false, value_type = Option<Object>)]
    config: Option<Map<String, Value>>,
    /// Its present type: it cannot change.
    #[schema(nullable = false, rename = "type")]
    kind: Option<Kind>,
}

/// Renames an integration or merges over its config.
///
/// A null takes a key away, and an empty secret keeps the stored value. The type cannot change.
#[utoipa::path(
    put,
    path = "/api/integrations/{integrationId}",
    tag = "integrations",
    security(("bearer" = ["services:write"])),
    params(
        ("integrationId" = String, Path, description = "The integration's id."),
    ),
    request_body = UpdateIntegrationRequest,
    responses(
        (status = 200, description = "The integration as it is now, without its secrets.", body = Detail),
    ),
)]
pub(super) async fn update_integration(
    State(services): State<Services>,
    caller: Caller<needs::ServicesWrite>,
    Named(id): Named,
    Body(mut fields): Body,
) -> Result<Json<Detail>, ApiError> {
    let kind = services.integrations.read(caller.tenant(), &id).await?.kind;
    let name = fields.optional("name", NAME_ACCEPTED, |value| line(value, NAME));
    let given = fields.optional("config", "an object", object).unwrap_or_default();
    let unchanged = format!("{}: the type of an integration cannot change", kind.name());
    fields.optional("type", &unchanged, |value| (value.as_str() == Some(kind.name())).then_some(()));
    let change = noted(&mut fields, ConfigChange::parse(kind.provider().fields(), "config", given));
    fields.problems(providers::unreachable(kind, &change, "config", &services.platform.egress).await);
    fields.finish()?;
    let may_see = caller.may(Permission::ServicesSecrets);
    let changed = services.integrations.change(caller.tenant(), &id, |integration, config| {
        integration.name = name.clone().unwrap_or(std::mem::take(&mut integration.name));
        providers::changed(kind, config, change.clone(), "config", may_see).map_err(ApiError::InvalidInput)
    });
    Ok(Json(Detail::without_secrets(changed.await?)))
}
