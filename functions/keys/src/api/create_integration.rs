//! `POST /api/v1/integrations`: adds a key to the pool, once its provider has not refused it.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use jiff::Timestamp;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, Body, FieldProblem, Fields, Reserved};
use shared::telemetry::metrics;
use url::Url;

use super::input::{self, Settings, body_with_settings};
use super::wire::One;
use crate::model::{Health, Key, KeyId, Probe, SecretPart, SpendLimit, Usage, Verdict, Work};
use crate::providers::Secrets;
use crate::providers::{self, Credential};
use crate::{GROUP, Group, event_of};

/// A body that was read.
struct Wanted {
    provider: String,
    base_url: Option<Url>,
    secrets: Secrets,
    settings: Settings,
    spend_limit: Option<SpendLimit>,
}

body_with_settings! {
    /// A key to add.
    struct CreateIntegrationRequest {
        /// A provider's name.
        #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9_-]+$")]
        provider_name: String,
        /// The credential's parts by name; most providers have one, `api_key`.
        credentials: BTreeMap<String, String>,
        /// Where to ask instead of the provider's own address; needed for a provider that is not known here.
        #[schema(nullable = false, format = "uri", max_length = 2048)]
        base_url: Option<String>,
    }
}

/// Adds a key to the pool.
///
/// Its provider is asked first: a key that is refused is not saved, one that could not be judged is.
#[utoipa::path(
    post,
    path = "/api/v1/integrations",
    tag = "pool",
    security(("bearer" = ["keys:write"])),
    request_body = CreateIntegrationRequest,
    responses(
        (status = 201, description = "The key as it was saved.", body = One, headers(("location" = String, description = "The address of what was created."))),
        (status = 400, description = "The provider refuses the credential."),
    ),
)]
pub(super) async fn create_integration(
    State(group): State<Group>,
    caller: Caller<needs::KeysWrite>,
    Reserved(reservation): Reserved,
    OriginalUri(uri): OriginalUri,
    Body(fields): Body,
) -> Result<Response, ApiError> {
    let wanted = read(fields, &group).await?;
    let probe = prove(&group, &wanted.provider, wanted.base_url.as_ref(), &wanted.secrets).await?;
    let complete = |id, secret, at| wanted.key(id, secret, &probe, at);
    let key = group.keys.create(caller.tenant(), &reservation, &wanted.secrets, complete).await?;
    let location = format!("{}/{}", uri.path().trim_end_matches('/'), key.id);
    let body = One::of(key, &Usage::default(), group.platform.ids.now());
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(body)).into_response())
}

/// Asks the provider about a credential that is to be stored.
///
/// # Errors
/// [`ApiError::CredentialRefused`] if it does not work.
pub(super) async fn prove(
    group: &Group,
    provider: &str,
    base_url: Option<&Url>,
    secrets: &Secrets,
) -> Result<Probe, ApiError> {
    let credential = Credential::new(&secrets.0, base_url);
    let probe = providers::of(provider).probe(&credential, &group.platform.egress.hiding(secrets.confidential())).await;
    metrics::judged(GROUP, probe.verdict.name());
    if probe.verdict == Verdict::Invalid {
        return Err(ApiError::CredentialRefused { detail: probe.message });
    }
    Ok(probe)
}

async fn read(mut fields: Fields, group: &Group) -> Result<Wanted, ApiError> {
    let provider = input::provider_name(&mut fields);
    let base_url = fields.optional("base_url", "an http URL without user or query", |value| address(value.as_str()?));
    if let Some(Err(error)) = match &base_url {
        Some(url) => Some(group.platform.egress.admit(url).await),
        None => None,
    } {
        fields.problem("base_url", "value", format!("cannot be used: {error}"));
    }
    let known = provider.as_deref().map(providers::of);
    let secrets = match known {
        Some(known) => input::credentials(&mut fields, known.entry()),
        None => fields.take("credentials").map(|_| Secrets::default()),
    };
    if known.is_some_and(|known| known.entry().base.is_none()) && base_url.is_none() {
        let names: Vec<&str> = providers::all().iter().map(|known| known.entry().name).collect();
        let message = format!("is not known, so it needs a base_url; known are {}", names.join(", "));
        fields.problem("provider_name", "value", message);
    }
    let settings = Settings::read(&mut fields);
    let spend_limit = settings.spend_limit(None).unwrap_or_else(|problem: FieldProblem| {
        fields.problems([problem]);
        None
    });
    fields.finish()?;
    let (Some(provider), Some(secrets)) = (provider, secrets) else {
        return Err(ApiError::field("provider_name", "required", "is missing"));
    };
    Ok(Wanted { provider, base_url, secrets, settings, spend_limit })
}

fn address(text: &str) -> Option<Url> {
    let url = Url::parse(text.trim()).ok()?;
    let usable = matches!(url.scheme(), "http" | "https") && url.has_host() && text.len() <= 2_048;
    // It is stored and shown, so it has no place for a credential.
    let is_bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    (usable && is_bare).then_some(url)
}

impl Wanted {
    fn key(&self, id: KeyId, secret: SecretPart, probe: &Probe, at: Timestamp) -> Key {
        Key {
            id,
            provider: self.provider.clone(),
            label: self.settings.label.clone().flatten(),
            base_url: self.base_url.clone(),
            is_active: self.settings.is_active.unwrap_or(true),
            is_primary: self.settings.is_primary.unwrap_or(false),
            own_priority: self.settings.priority,
            daily_limit: self.settings.daily_limit.flatten(),
            minute_limit: self.settings.minute_limit.flatten(),
            spend_limit: self.spend_limit,
            spend_exceeded_in: None,
            health: Health::found(event_of(probe), at),
            billing: None,
            previews: self.secrets.previews(),
            secret,
            previous: None,
            revision: 1,
            created_at: at,
            updated_at: at,
            monitor: Work::due_since(at),
        }
    }
}
