//! `GET /v1/integrations/connections/{id}/projects`: the account's projects, by name.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::http::ApiError;
use utoipa::ToSchema;

use super::input::NamedConnection;
use super::wire::{Envelope, Reply};
use crate::Vaults;
use crate::providers::Project;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Projects)]
struct List {
    projects: Vec<Row>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Project)]
struct Row {
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    linked_repo: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    framework: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, required = false)]
    environments: Option<Vec<String>>,
}

impl From<Project> for Row {
    fn from(project: Project) -> Self {
        let Project { id, name, linked_repo, framework, environments } = project;
        Self { id, name, linked_repo, framework, environments }
    }
}

/// Lists the projects of a connected account.
#[utoipa::path(
    get,
    path = "/v1/integrations/connections/{id}/projects",
    tag = "connections",
    security(("bearer" = ["vaults:read"])),
    params(
        ("id" = Uuid, Path, description = "The connection's id."),
    ),
    responses(
        (status = 200, description = "Every project, by name.", body = Envelope<List>),
        (status = 400, description = "Something in the request cannot be used. All problems are named at once."),
        (status = 409, description = "The account has to be connected again."),
        (status = 429, description = "The platform asks to wait."),
        (status = 502, description = "The platform refused or could not be understood."),
        (status = 504, description = "The platform did not answer in time."),
    ),
)]
pub(super) async fn list_projects(
    State(vaults): State<Vaults>,
    caller: Caller<needs::VaultsRead>,
    NamedConnection(id): NamedConnection,
    reply: Reply,
) -> Result<Response, ApiError> {
    let projects = vaults.projects(caller.tenant(), id).await?;
    Ok(reply.ok(List { projects: projects.into_iter().map(Row::from).collect() }))
}
