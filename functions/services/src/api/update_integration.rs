//! `PUT /api/integrations/{integrationId}`: renames an integration or merges over its config.

use axum::Json;
use axum::extract::State;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, Body, line};

use super::Named;
use super::create_integration::{NAME, NAME_ACCEPTED, object};
use super::wire::Detail;
use crate::Services;
use crate::providers::{self, ConfigChange};

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
    let change = ConfigChange::parse(kind.provider().fields(), "config", given).unwrap_or_else(|problems| {
        fields.problems(problems);
        ConfigChange::default()
    });
    fields.problems(providers::unreachable(kind, &change, "config", &services.platform.egress).await);
    fields.finish()?;
    let changed = services.integrations.change(caller.tenant(), &id, |integration, config| {
        integration.name = name.clone().unwrap_or(std::mem::take(&mut integration.name));
        let config = config.changed_by(change.clone());
        let problems = providers::problems(kind, &config, "config");
        if problems.is_empty() || change.is_empty() { Ok(config) } else { Err(ApiError::InvalidInput(problems)) }
    });
    Ok(Json(Detail::without_secrets(changed.await?)))
}
