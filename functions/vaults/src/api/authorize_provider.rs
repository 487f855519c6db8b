//! `GET /v1/integrations/{provider}/authorize[?redirect_uri=]`: sends the browser to the provider's page of consent. With
//! `Accept: application/json` the page's address comes in the answer, for a page whose script asks: a browser cannot be sent
//! on with an Authorization header.

use axum::extract::{OriginalUri, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::clock::iso_milliseconds;
use shared::http::{ApiError, Query};
use utoipa::ToSchema;

use super::input::{NamedProvider, text_parameter, uuid_parameter};
use super::wire::{Envelope, Reply};
use crate::Vaults;
use crate::grant::{self, Wanted};

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Authorization)]
struct Begun {
    authorization_url: String,
    #[schema(format = DateTime)]
    expires_at: String,
}

/// Begins a connection by OAuth.
///
/// Sends the browser to the platform's page of consent. With `Accept: application/json` the page's address comes in the answer instead.
#[utoipa::path(
    get,
    path = "/v1/integrations/{provider}/authorize",
    tag = "connections",
    security(("bearer" = ["vaults:write"])),
    params(
        ("provider" = String, Path, description = "The platform's name, such as `vercel`."),
        ("redirect_uri" = Option<String>, Query, format = "uri", description = "Where the browser is to end."),
        ("account" = Option<String>, Query, description = "Which account, where a grant covers several.", min_length = 1, max_length = 300),
        ("connectionId" = Option<Uuid>, Query, description = "The connection to renew."),
    ),
    responses(
        (status = 200, description = "The address of the page of consent, for `Accept: application/json`.", body = Envelope<Begun>),
        (status = 302, description = "To the page of consent."),
        (status = 403, description = "The token lacks the permission, or the operator does not allow browsers to be sent to that address."),
        (status = 503, description = "The operator has not registered with the platform."),
    ),
)]
pub(super) async fn authorize_provider(
    State(vaults): State<Vaults>,
    caller: Caller<needs::VaultsWrite>,
    NamedProvider(provider): NamedProvider,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    reply: Reply,
    query: Query,
) -> Result<Response, ApiError> {
    let wanted = read(query)?;
    let name = provider.entry().name;
    let callback = match vaults.platform.egress.public_url_vaults() {
        Some(base) => format!("{base}/v1/integrations/{name}/callback"),
        None => callback_beside(&headers, &uri)?,
    };
    let (url, until) = grant::begin(&vaults, caller.tenant(), caller.user(), provider, callback, wanted).await?;
    let asks_for_json =
        headers.get_all(header::ACCEPT).iter().any(|value| value.as_bytes().starts_with(b"application/json"));
    if asks_for_json {
        return Ok(reply.ok(Begun { authorization_url: url.into(), expires_at: iso_milliseconds(until) }));
    }
    let headers = [(header::LOCATION, url.as_str()), (header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::FOUND, headers).into_response())
}

fn read(mut query: Query) -> Result<Wanted, ApiError> {
    let redirect_uri = query.parsed("redirect_uri", "an http or https URL", grant::redirect);
    let account = text_parameter(&mut query, "account");
    let reconnects = uuid_parameter(&mut query, "connectionId");
    query.finish()?;
    Ok(Wanted { redirect_uri, account, reconnects })
}

/// Where the provider is to send the browser back to, if the operator does not say: beside this very address.
fn callback_beside(headers: &HeaderMap, uri: &http::Uri) -> Result<String, ApiError> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = uri.authority().map(|authority| authority.as_str()).or_else(|| header("host"));
    let host = host.ok_or_else(|| ApiError::internal("a request without a host"))?;
    let forwarded = header("x-forwarded-proto").filter(|scheme| matches!(*scheme, "http" | "https"));
    let scheme = forwarded.or(uri.scheme_str()).unwrap_or("http");
    let path = uri.path().strip_suffix("/authorize").unwrap_or(uri.path());
    Ok(format!("{scheme}://{host}{path}/callback"))
}
