//! `GET /v1/integrations/vaults/{owner}/{repo}/sync/history[?limit=&cursor=]`: the vault's runs, the newest first.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use shared::auth::{Caller, Tenant, needs};
use shared::http::{ApiError, FieldProblem, Query};
use shared::table::Cursor;
use utoipa::ToSchema;

use super::input::NamedVault;
use super::wire::{Envelope, PastRun, Reply};
use crate::model::VaultName;
use crate::store::links::sort_of;
use crate::{GROUP, Vaults};

const LIMIT: usize = 25;
const MOST: usize = 100;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SyncRuns)]
struct List {
    runs: Vec<PastRun>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

/// Lists the vault's syncs, the newest first.
#[utoipa::path(
    get,
    path = "/v1/integrations/vaults/{owner}/{repo}/sync/history",
    tag = "syncs",
    security(("bearer" = ["vaults:read"])),
    params(
        ("owner" = String, Path, description = "The repository's owner.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
        ("repo" = String, Path, description = "The repository.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
        ("limit" = Option<u32>, Query, description = "How many at most; 25 unless given.", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of the page before, as it came."),
    ),
    responses(
        (status = 200, description = "A page of the list; `nextCursor` only where there is more.", body = Envelope<List>),
    ),
)]
pub(super) async fn list_sync_runs(
    State(vaults): State<Vaults>,
    caller: Caller<needs::VaultsRead>,
    NamedVault(vault): NamedVault,
    reply: Reply,
    mut query: Query,
) -> Result<Response, ApiError> {
    let limit = query.whole("limit", 1, MOST).unwrap_or(LIMIT);
    let cursor = query.text("cursor").map(str::to_owned);
    query.finish()?;
    vaults.environments.require(caller.tenant(), &vault).await?;
    let list = page(&vaults, caller.tenant(), &vault, cursor.as_deref(), limit).await?;
    Ok(reply.ok(list))
}

async fn page(
    vaults: &Vaults,
    tenant: &Tenant,
    vault: &VaultName,
    cursor: Option<&str>,
    limit: usize,
) -> Result<List, ApiError> {
    let key = vaults.platform.signing_key().await?;
    let scope = [tenant.as_str(), GROUP, "list_sync_runs", vault.as_str()];
    let open = |text: &str| {
        let wrong = || FieldProblem::new("cursor", "value", "is not one of this list").in_query("");
        Cursor::open(key, &scope, text).ok_or_else(|| ApiError::InvalidInput(vec![wrong()]))
    };
    let after = cursor.map(open).transpose()?;
    let page = vaults.links.runs(tenant, vault, after.as_deref(), limit).await?;
    let last = page.records.last().filter(|_| page.more);
    let next_cursor = last.map(|run| Cursor::seal(key, &scope, &sort_of(run)).as_str().to_owned());
    let now = vaults.platform.ids.now();
    let runs = page.records.into_iter().map(|run| PastRun::at(now, run)).collect();
    Ok(List { runs, next_cursor })
}
