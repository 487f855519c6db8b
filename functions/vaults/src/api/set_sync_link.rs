//! `PUT /v1/integrations/vaults/{owner}/{repo}/sync/links`: makes a link, and says whether it pushes by itself.

use axum::extract::State;
use axum::response::Response;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, Body, Fields};

use super::input::{NamedVault, body_with_target, boolean, target};
use super::list_sync_links::LinkBody;
use super::wire::{Envelope, Reply};
use crate::Vaults;
use crate::model::{Target, VaultName};
use crate::sync::Automatic;

body_with_target! {
    /// A link.
    struct SetSyncLinkRequest {
        /// True has it push every change by itself.
        auto: bool,
        /// Delete what the vault lacks of what its syncs wrote; false unless given.
        #[schema(nullable = false)]
        allow_delete: Option<bool>,
    }
}

/// Makes a link, and says whether it pushes by itself.
#[utoipa::path(
    put,
    path = "/v1/integrations/vaults/{owner}/{repo}/sync/links",
    tag = "syncs",
    security(("bearer" = ["vaults:sync"])),
    params(
        ("owner" = String, Path, description = "The repository's owner.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
        ("repo" = String, Path, description = "The repository.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
    ),
    request_body = SetSyncLinkRequest,
    responses(
        (status = 200, description = "The link.", body = Envelope<LinkBody>),
    ),
)]
pub(super) async fn set_sync_link(
    State(vaults): State<Vaults>,
    caller: Caller<needs::VaultsSync>,
    NamedVault(vault): NamedVault,
    reply: Reply,
    Body(fields): Body,
) -> Result<Response, ApiError> {
    let (target, automatic) = read(fields, vault)?;
    let target = vaults.settled(caller.tenant(), target).await?;
    let link = vaults.set_link(caller.tenant(), &target, caller.user(), automatic).await?;
    Ok(reply.ok(LinkBody::from(link)))
}

fn read(mut fields: Fields, vault: VaultName) -> Result<(Target, Automatic), ApiError> {
    let target = target(&mut fields, vault);
    let auto = fields.required("auto", "true or false", |value| value.as_bool());
    let allow_delete = boolean(&mut fields, "allowDelete").unwrap_or(false);
    fields.finish()?;
    let target = target.ok_or_else(|| ApiError::field("connectionId", "required", "is missing"))?;
    Ok((target, Automatic { auto: auto.unwrap_or(false), allow_delete }))
}
