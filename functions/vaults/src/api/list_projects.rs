//! `GET /v1/integrations/connections/{id}/projects`: the account's projects, by name.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::http::ApiError;

use super::input::NamedConnection;
use super::wire::Reply;
use crate::Vaults;
use crate::providers::Project;

#[derive(Debug, Serialize)]
struct List {
    projects: Vec<Row>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    linked_repo: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    framework: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environments: Option<Vec<String>>,
}

impl From<Project> for Row {
    fn from(project: Project) -> Self {
        let Project { id, name, linked_repo, framework, environments } = project;
        Self { id, name, linked_repo, framework, environments }
    }
}

pub(super) async fn list_projects(
    State(vaults): State<Vaults>,
    caller: Caller<needs::VaultsRead>,
    NamedConnection(id): NamedConnection,
    reply: Reply,
) -> Result<Response, ApiError> {
    let open = vaults.open(caller.tenant(), id).await?;
    let found = open.provider.projects(&vaults.session(&open)).await;
    let projects = vaults.heard(caller.tenant(), &open, found).await?;
    Ok(reply.ok(List { projects: projects.into_iter().map(Row::from).collect() }))
}
