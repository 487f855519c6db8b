//! `POST /v1/integrations/vaults/{owner}/{repo}/sync`: carries a plan out. What the provider refuses is in the answer; with
//! `auto` the link pushes every later change of the vault by itself.

use axum::extract::State;
use axum::response::Response;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, Body, Fields};

use super::input::{NamedVault, body_with_target, boolean, target};
use super::wire::{Envelope, Reply, RunBody};
use crate::Vaults;
use crate::model::{DeleteScope, Direction, VaultName};
use crate::sync::{Ask, Automatic};

body_with_target! {
    /// What to sync.
    struct ExecuteSyncRequest {
        /// Which way; `push` unless given.
        #[schema(nullable = false)]
        direction: Option<Direction>,
        /// Delete what the source lacks; false unless given.
        #[schema(nullable = false)]
        allow_delete: Option<bool>,
        /// What may be deleted; `all` unless given.
        #[schema(nullable = false)]
        delete_scope: Option<DeleteScope>,
        /// True has the link push every later change by itself.
        #[schema(nullable = false)]
        auto: Option<bool>,
    }
}

/// Syncs a vault with a project.
///
/// What the platform refuses of a sync that began is in the answer. With `auto` the link pushes every later change by itself.
#[utoipa::path(
    post,
    path = "/v1/integrations/vaults/{owner}/{repo}/sync",
    tag = "syncs",
    security(("bearer" = ["vaults:sync"])),
    params(
        ("owner" = String, Path, description = "The repository's owner.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
        ("repo" = String, Path, description = "The repository.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
    ),
    request_body = ExecuteSyncRequest,
    responses(
        (status = 200, description = "What the sync came to.", body = Envelope<RunBody>),
    ),
)]
pub(super) async fn execute_sync(
    State(vaults): State<Vaults>,
    caller: Caller<needs::VaultsSync>,
    NamedVault(vault): NamedVault,
    reply: Reply,
    Body(fields): Body,
) -> Result<Response, ApiError> {
    let (mut ask, auto) = read(fields, vault, caller.user())?;
    ask.target = vaults.settled(caller.tenant(), ask.target).await?;
    let run = vaults.sync(caller.tenant(), &ask).await?;
    if let Some(auto) = auto {
        let automatic = Automatic { auto, allow_delete: ask.delete.is_some() };
        vaults.set_link(caller.tenant(), &ask.target, caller.user(), automatic).await?;
    }
    Ok(reply.ok(RunBody::from(run)))
}

fn read(mut fields: Fields, vault: VaultName, by: &str) -> Result<(Ask, Option<bool>), ApiError> {
    let target = target(&mut fields, vault);
    let direction = fields.optional("direction", Direction::ACCEPTED, |value| Direction::named(value.as_str()?));
    let direction = direction.unwrap_or(Direction::Push);
    let allowed = boolean(&mut fields, "allowDelete").unwrap_or(false);
    let scope = fields.optional("deleteScope", DeleteScope::ACCEPTED, |value| DeleteScope::named(value.as_str()?));
    let auto = boolean(&mut fields, "auto");
    if auto == Some(true) && direction == Direction::Pull {
        fields.problem("auto", "value", "is for direction push only");
    }
    fields.finish()?;
    let target = target.ok_or_else(|| ApiError::field("connectionId", "required", "is missing"))?;
    let delete = allowed.then_some(scope.unwrap_or(DeleteScope::All));
    Ok((Ask { target, direction, delete, by: by.to_owned(), automatic: false }, auto))
}
