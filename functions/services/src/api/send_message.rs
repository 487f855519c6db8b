//! `POST /api/integrations/{integrationId}/send`: delivers one message through a channel.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, Body, Reserved, line};
use utoipa::ToSchema;

use super::Named;
use crate::Services;
use crate::model::{Message, Recipients, Refusal};

const LONGEST_TEXT: usize = 100_000;
const LONGEST_TITLE: usize = 250;
const MOST_RECIPIENTS: usize = 1_000;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SentMessage)]
pub(super) struct Sent {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    provider_message_id: Option<String>,
}

/// A message.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
struct SendMessageRequest {
    /// What it says.
    #[schema(min_length = 1, max_length = 100_000)]
    text: String,
    /// Its title, or subject.
    #[schema(nullable = false, min_length = 1, max_length = 250)]
    title: Option<String>,
    /// Whom it is to: over the config's own.
    #[schema(nullable = false)]
    to: Option<To>,
}

/// An e-mail address or a list of them, a chat's id, or a channel.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Recipients)]
#[expect(dead_code, reason = "describes a part of the body, which is read field by field")]
enum To {
    /// One.
    One(Recipient),
    /// Several.
    Several(Vec<Recipient>),
}

/// An e-mail address, a chat's id, or a channel.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes a part of the body, which is read field by field")]
enum Recipient {
    /// As text.
    Text(String),
    /// A chat's id.
    Number(i64),
}

/// Delivers one message through a channel.
#[utoipa::path(
    post,
    path = "/api/integrations/{integrationId}/send",
    tag = "messages",
    security(("bearer" = ["services:write"])),
    params(
        ("integrationId" = String, Path, description = "The integration's id."),
    ),
    request_body = SendMessageRequest,
    responses(
        (status = 200, description = "The provider took it.", body = Sent),
        (status = 502, description = "The provider refused or could not be reached. Nothing was delivered."),
        (status = 504, description = "No clear answer came. The message may or may not have been delivered."),
    ),
)]
pub(super) async fn send_message(
    State(services): State<Services>,
    caller: Caller<needs::ServicesWrite>,
    Named(id): Named,
    Reserved(reservation): Reserved,
    Body(mut fields): Body,
) -> Result<Json<Sent>, ApiError> {
    let text = fields.required("text", "text of 1 to 100,000 characters", text);
    let title = fields.optional("title", "text of 1 to 250 characters", |value| line(value, LONGEST_TITLE));
    let to = fields.optional("to", "an e-mail address or a list of them, a chat id, or a channel", recipients);
    let (integration, config) = services.integrations.open(caller.tenant(), &id).await?;
    let provider = integration.kind.provider();
    if !provider.is_channel() {
        let message = format!("{} takes no messages; it can only be tested", provider.label());
        fields.problem("type", "value", message);
    }
    fields.finish()?;
    let message = Message {
        text: text.unwrap_or_default(),
        title,
        to,
        idempotency_key: reservation.uuid().to_string(),
        at: services.platform.ids.now(),
    };
    let egress = services.platform.egress.hiding(config.confidential());
    let sent = provider.send(&config, &message, &egress).await;
    let delivery = sent.map_err(|refusal| refused(refusal, provider.recognises_repetitions()))?;
    Ok(Json(Sent { status: "success", provider_message_id: delivery.provider_message_id }))
}

fn text(value: Value) -> Option<String> {
    let Value::String(text) = value else { return None };
    let fits = !text.trim().is_empty() && text.chars().count() <= LONGEST_TEXT && !text.contains('\0');
    fits.then_some(text)
}

fn recipients(value: Value) -> Option<Recipients> {
    let one = |value: Value| match value {
        Value::Number(number) => number.as_i64().map(|number| number.to_string()),
        other => line(other, 320),
    };
    let all = match value {
        Value::Array(values) => values.into_iter().map(one).collect::<Option<Vec<_>>>()?,
        other => vec![one(other)?],
    };
    (1..=MOST_RECIPIENTS).contains(&all.len()).then_some(Recipients(all))
}

fn refused(refusal: Refusal, repeatable: bool) -> ApiError {
    match refusal {
        Refusal::Unusable { field, message } => ApiError::field(field, "value", message),
        Refusal::Refused { message, hint, retry_after } => {
            ApiError::ProviderRefused { detail: message, hint, retry_after }
        }
        Refusal::Unknown { message } => ApiError::ProviderTimeout { detail: message, repeatable },
    }
}
