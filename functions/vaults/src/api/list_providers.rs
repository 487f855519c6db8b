//! `GET /v1/integrations`: the platforms that can be connected. For everybody.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use shared::http::ApiError;
use utoipa::ToSchema;

use super::wire::{Envelope, Reply};
use crate::Vaults;
use crate::providers::{self, Provider};

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Providers)]
struct List {
    providers: Vec<Row>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Provider)]
struct Row {
    name: &'static str,
    display_name: &'static str,
    configured: bool,
    #[schema(required = false)]
    features: Vec<&'static str>,
    #[schema(required = false)]
    environments: &'static [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    token_help: Option<&'static str>,
    #[schema(required = false)]
    status: &'static str,
}

/// Lists the platforms that can be connected.
#[utoipa::path(
    get,
    path = "/v1/integrations",
    tag = "connections",
    security(()),
    responses(
        (status = 200, description = "Every platform.", body = Envelope<List>),
    ),
)]
pub(super) async fn list_providers(State(vaults): State<Vaults>, reply: Reply) -> Result<Response, ApiError> {
    let mut rows = Vec::new();
    for provider in providers::all() {
        rows.push(row(&vaults, *provider).await?);
    }
    Ok(reply.ok(List { providers: rows }))
}

async fn row(vaults: &Vaults, provider: &dyn Provider) -> Result<Row, ApiError> {
    let entry = provider.entry();
    let oauth = provider.oauth().is_some() && vaults.client(entry.name).await?.is_some();
    let token = entry.token_help.is_some();
    let pull = entry.abilities.readable;
    let features = [("oauth", oauth), ("token", token), ("push", true), ("pull", pull), ("environments", true)];
    Ok(Row {
        name: entry.name,
        display_name: entry.display_name,
        configured: oauth || token,
        features: features.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect(),
        environments: entry.abilities.environments,
        token_help: entry.token_help,
        status: "available",
    })
}
