//! `POST /v1/integrations/{provider}/connect`: connects an account with a pasted token, which is tried before it is saved.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use secrecy::SecretString;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, Body, Fields, line};
use utoipa::ToSchema;
use uuid::Uuid;

use super::input::{NamedProvider, uuid};
use super::wire::{ConnectionBody, Envelope, Reply};
use crate::connect::{self, Grant};
use crate::model::Way;
use crate::providers::{Held, Provider};
use crate::{Vaults, token};

/// The longest token.
const LONGEST: usize = 4_096;

/// A pasted token.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
struct ConnectProviderRequest {
    /// The token.
    #[schema(min_length = 1, max_length = 4096)]
    token: String,
    /// Which account, where the token gives access to several.
    #[schema(nullable = false, min_length = 1, max_length = 300)]
    account: Option<String>,
    /// The connection to renew.
    #[schema(nullable = false)]
    connection_id: Option<Uuid>,
}

/// Connects an account with a pasted token.
///
/// It is tried before it is saved.
#[utoipa::path(
    post,
    path = "/v1/integrations/{provider}/connect",
    tag = "connections",
    security(("bearer" = ["vaults:write"])),
    params(
        ("provider" = String, Path, description = "The platform's name, such as `vercel`."),
    ),
    request_body = ConnectProviderRequest,
    responses(
        (status = 201, description = "The connection.", body = Envelope<ConnectionBody>),
        (status = 429, description = "The platform asks to wait."),
        (status = 502, description = "The platform refused or could not be understood."),
        (status = 504, description = "The platform did not answer in time."),
    ),
)]
pub(super) async fn connect_provider(
    State(vaults): State<Vaults>,
    caller: Caller<needs::VaultsWrite>,
    NamedProvider(provider): NamedProvider,
    reply: Reply,
    Body(fields): Body,
) -> Result<Response, ApiError> {
    let (token, account, reconnects) = read(fields, provider)?;
    let grant = Grant { account, reconnects, ..Grant::of(Held { access: token, refresh: None }, Way::Token) };
    let connection = connect::connect(&vaults, caller.tenant(), provider, grant).await?;
    Ok(reply.with(StatusCode::CREATED, ConnectionBody::from(connection)))
}

type Read = (SecretString, Option<String>, Option<Uuid>);

fn read(mut fields: Fields, provider: &dyn Provider) -> Result<Read, ApiError> {
    let display_name = provider.entry().display_name;
    if provider.entry().token_help.is_none() {
        let detail = format!("{display_name} is connected by OAuth: use GET /v1/integrations/{{provider}}/authorize.");
        return Err(ApiError::field("provider", "value", detail));
    }
    let token = fields.required("token", "text of 1 to 4096 characters", |value| {
        let text = token(provider, &line(value, LONGEST)?);
        Some(text)
    });
    let account = fields.optional("account", "text of 1 to 300 characters", |value| line(value, 300));
    let reconnects = uuid(&mut fields, "connectionId");
    fields.finish()?;
    let token = token.ok_or_else(|| ApiError::field("token", "required", "is missing"))?;
    Ok((token, account, reconnects))
}
