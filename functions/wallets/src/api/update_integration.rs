//! `PATCH /v1/integrations/{walletId}`: renames an integration, or gives it new credentials of the same account.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use shared::auth::{Caller, Tenant, needs};
use shared::http::{ApiError, Body};
use utoipa::ToSchema;

use super::Named;
use super::create_integration::{name, object, tested};
use super::wire::Detail;
use crate::Wallets;
use crate::model::{Integration, WalletId};
use crate::providers::{self, Given};
use crate::store::NewCredentials;

/// What to change; what is left out stays.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
struct UpdateIntegrationRequest {
    /// What its owner calls it; null for nothing.
    #[schema(min_length = 1, max_length = 200)]
    alias: Option<String>,
    /// Whose account it is; null for nothing.
    #[schema(min_length = 1, max_length = 200)]
    account_name: Option<String>,
    /// The fields that the provider asks for, as `GET /v1/providers` names them.
    #[schema(nullable = false)]
    credentials: Option<BTreeMap<String, String>>,
}

/// Renames an integration, or gives it new credentials of the same account.
#[utoipa::path(
    patch,
    path = "/v1/integrations/{walletId}",
    tag = "integrations",
    security(("bearer" = ["integrations:write"])),
    params(
        ("walletId" = String, Path, description = "The integration's id."),
    ),
    request_body = UpdateIntegrationRequest,
    responses(
        (status = 200, description = "The integration as it is now.", body = Detail),
    ),
)]
pub(super) async fn update_integration(
    State(wallets): State<Wallets>,
    caller: Caller<needs::IntegrationsWrite>,
    Named(id): Named,
    Body(mut fields): Body,
) -> Result<Json<Detail>, ApiError> {
    let alias = name(&mut fields, "alias");
    let account_name = name(&mut fields, "accountName");
    let credentials = fields.optional("credentials", "an object", object);
    fields.finish()?;
    let rename = |integration: &mut Integration| {
        integration.alias = alias.clone().unwrap_or(integration.alias.take());
        integration.account_name = account_name.clone().unwrap_or(integration.account_name.take());
    };
    let changed = match credentials {
        Some(credentials) => {
            let given = Given { credentials, ..Given::default() };
            let new = new_credentials(&wallets, caller.tenant(), &id, given).await?;
            wallets.integrations.change_credentials(caller.tenant(), &id, new, rename).await?
        }
        None => {
            let rename = |integration: &mut Integration| {
                rename(integration);
                Ok(())
            };
            wallets.integrations.change(caller.tenant(), &id, rename).await?
        }
    };
    Ok(Json(Detail::of(changed)))
}

/// Reads and tests credentials for the integration's provider.
async fn new_credentials(
    wallets: &Wallets,
    tenant: &Tenant,
    id: &WalletId,
    given: Given,
) -> Result<NewCredentials, ApiError> {
    let integration = wallets.integrations.read(tenant, id).await?;
    let entry = providers::entry(&integration.provider).filter(|entry| !entry.fields().is_empty());
    let entry = entry.filter(|_| integration.source.is_some()).ok_or_else(|| {
        let message = "is not taken: this integration is not asked with credentials";
        ApiError::field("credentials", "unknown", message)
    })?;
    let (source, account) = entry.read(given).map_err(ApiError::InvalidInput)?;
    let (checked, tempo) = tested(wallets, entry, source, &account).await?;
    Ok(NewCredentials { account, checked, tempo })
}
