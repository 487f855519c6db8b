//! `GET /v1/providers`: what can be connected, and what a form needs to know of it.

use axum::Json;
use serde::Serialize;
use shared::auth::{Caller, needs};
use utoipa::ToSchema;

use crate::model::{Category, Origin};
use crate::providers::{Entry, Field, catalogue};

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Providers {
    data: Vec<Provider>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Provider {
    id: &'static str,
    public_name: &'static str,
    category: Category,
    types: Vec<Origin>,
    logo_url: &'static str,
    /// What `credentials` holds; empty where an address is asked for.
    credentials: Vec<Credential>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    address: Option<Address>,
    instructions: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CredentialField)]
struct Credential {
    name: &'static str,
    label: &'static str,
    help: &'static str,
    required: bool,
    secret: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    choices: &'static [&'static str],
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ProviderAddress)]
struct Address {
    /// What `address` may be.
    accepted: Vec<&'static str>,
    /// True if `xpub` is taken in its place.
    takes_xpub: bool,
    /// What `chains` may name; all of them unless some are named.
    chains: &'static [&'static str],
}

/// Lists what can be connected, and what a form needs to know of it.
#[utoipa::path(
    get,
    path = "/v1/providers",
    tag = "providers",
    security(("bearer" = ["integrations:read"])),
    responses(
        (status = 200, description = "Every provider.", body = Providers),
    ),
)]
pub(super) async fn list_providers(_caller: Caller<needs::IntegrationsRead>) -> Json<Providers> {
    Json(Providers { data: catalogue().iter().copied().map(describe).collect() })
}

fn describe(entry: &'static Entry) -> Provider {
    let by_address = entry.fields().is_empty() && !entry.sources.is_empty();
    Provider {
        id: entry.id,
        public_name: entry.public_name,
        category: entry.category,
        types: entry.origins(),
        logo_url: entry.logo_url,
        credentials: entry.fields().iter().map(credential).collect(),
        address: by_address.then(|| Address {
            accepted: entry.sources.iter().map(|source| source.accepted()).collect(),
            takes_xpub: entry.takes_xpub(),
            chains: entry.chains,
        }),
        instructions: entry.instructions,
    }
}

fn credential(field: &Field) -> Credential {
    Credential {
        name: field.name,
        label: field.label,
        help: field.help,
        required: field.required,
        secret: field.secret,
        choices: field.choices,
    }
}
