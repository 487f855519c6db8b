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
