//! `GET /v1/integrations`: the platforms that can be connected. For everybody.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use shared::http::ApiError;

use super::wire::Reply;
use crate::Vaults;
use crate::providers::{self, Provider};

#[derive(Debug, Serialize)]
struct List {
    providers: Vec<Row>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: &'static str,
    display_name: &'static str,
    configured: bool,
    features: Vec<&'static str>,
    environments: &'static [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    token_help: Option<&'static str>,
    status: &'static str,
}

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
