//! `GET /v1/integrations/{provider}/callback`: what the provider's page comes back to. Carries nobody's token: the state tells
//! who began. Ends at the address that was asked for, or with a plain page; whatever went wrong, with a page that says so and
//! what to do.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use shared::http::{ApiError, Query, RequestId};

use super::input::NamedProvider;
use super::wire::page;
use crate::Vaults;
use crate::grant::{self, Returned, Unfinished};

/// Ends a connection by OAuth: the address that the platform sends the browser back to.
///
/// Carries no token: the state tells who began.
#[utoipa::path(
    get,
    path = "/v1/integrations/{provider}/callback",
    tag = "connections",
    security(()),
    params(
        ("provider" = String, Path, description = "The platform's name, such as `vercel`."),
        ("state" = Option<String>, Query, description = "As it was sent."),
        ("code" = Option<String>, Query, description = "The platform's code."),
        ("error" = Option<String>, Query, description = "Why there is none."),
        ("iss" = Option<String>, Query, description = "Who sends it."),
        ("teamId" = Option<String>, Query, description = "Vercel's team."),
    ),
    responses(
        (status = 200, description = "A page: the account is connected.", body = String, content_type = "text/html"),
        (status = 302, description = "To the address that was asked for."),
        (status = 400, description = "A page: the account is not connected, and what to do.", body = String, content_type = "text/html"),
        (status = 409, description = "A page: the account is not connected, and what to do.", body = String, content_type = "text/html"),
        (status = 502, description = "A page: the platform failed, and what to do.", body = String, content_type = "text/html"),
    ),
)]
pub(super) async fn complete_authorization(
    State(vaults): State<Vaults>,
    NamedProvider(provider): NamedProvider,
    Extension(request_id): Extension<RequestId>,
    query: Query,
) -> Result<Response, ApiError> {
    let name = provider.entry().display_name;
    match grant::complete(&vaults, provider, returned(&query, &request_id)).await {
        Ok((_, Some(redirect))) => {
            let headers = [(header::LOCATION, redirect.as_str()), (header::REFERRER_POLICY, "no-referrer")];
            Ok((StatusCode::FOUND, headers).into_response())
        }
        Ok((connection, None)) => {
            let text = format!("The {name} account {} is connected. You can close this page.", connection.account_name);
            Ok(page(StatusCode::OK, &format!("{name} is connected"), &text))
        }
        Err(Unfinished { status, detail }) => Ok(page(status, &format!("{name} is not connected"), &detail)),
    }
}

fn returned(query: &Query, request_id: &RequestId) -> Returned {
    let text = |name: &str| query.text(name).map(str::to_owned);
    Returned {
        state: text("state"),
        code: text("code"),
        error: text("error"),
        issuer: text("iss"),
        team: text("teamId"),
        request_id: request_id.as_str().to_owned(),
    }
}
