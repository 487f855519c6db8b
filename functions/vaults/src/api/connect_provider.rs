//! `POST /v1/integrations/{provider}/connect`: connects an account with a pasted token, which is tried before it is saved.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use secrecy::SecretString;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, Body, Fields, line};
use uuid::Uuid;

use super::input::{NamedProvider, uuid};
use super::wire::{ConnectionBody, Reply};
use crate::connect::{self, Grant};
use crate::model::Way;
use crate::providers::{Held, Provider};
use crate::{Vaults, token};

/// The longest token.
const LONGEST: usize = 4_096;

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
