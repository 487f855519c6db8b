//! `POST /v1/integrations`: connects an exchange, a wallet or a chain. A credential is tested first.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use secrecy::SecretString;
use serde_json::{Map, Value};
use shared::auth::{Caller, needs};
use shared::http::{ApiError, Body, Fields, Reserved, line};
use utoipa::ToSchema;

use super::wire::Detail;
use crate::Wallets;
use crate::model::{Tempo, UNTESTED};
use crate::providers::{self, Account, Checked, Entry, Given, Outside, Source, Trouble};
use crate::store::NewIntegration;

/// The longest name, in characters.
pub(super) const NAME: usize = 200;
pub(super) const NAME_ACCEPTED: &str = "text of 1 to 200 characters";
const MOST_CHAINS: usize = 50;

/// What to connect: with credentials, or by address.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
struct CreateIntegrationRequest {
    /// A provider's id, as `GET /v1/providers` has it.
    provider: String,
    /// What its owner calls it; null for nothing.
    #[schema(min_length = 1, max_length = 200)]
    alias: Option<String>,
    /// Whose account it is; null for nothing.
    #[schema(min_length = 1, max_length = 200)]
    account_name: Option<String>,
    /// The fields that the provider asks for, as `GET /v1/providers` names them.
    #[schema(nullable = false)]
    credentials: Option<BTreeMap<String, String>>,
    /// An address, where the provider is asked by address.
    #[schema(nullable = false, min_length = 1, max_length = 200)]
    address: Option<String>,
    /// An extended public key, where the provider takes one.
    #[schema(nullable = false, min_length = 1, max_length = 200)]
    xpub: Option<String>,
    /// The chains to look at, such as `eip155:1`; all of the provider's unless given.
    #[schema(nullable = false, min_items = 1, max_items = 50)]
    chains: Option<Vec<String>>,
}

/// Connects an exchange, a wallet or a chain.
///
/// A credential is tested first: a wrong one is refused, one that may do too much or could not be judged is taken with a warning.
#[utoipa::path(
    post,
    path = "/v1/integrations",
    tag = "integrations",
    security(("bearer" = ["integrations:write"])),
    request_body = CreateIntegrationRequest,
    responses(
        (status = 201, description = "The integration, queued for its first sync.", body = Detail, headers(("location" = String, description = "The address of what was created."))),
        (status = 409, description = "The same account or address is connected already; `walletId` names it."),
    ),
)]
pub(super) async fn create_integration(
    State(wallets): State<Wallets>,
    caller: Caller<needs::IntegrationsWrite>,
    Reserved(reservation): Reserved,
    OriginalUri(uri): OriginalUri,
    Body(mut fields): Body,
) -> Result<Response, ApiError> {
    let alias = name(&mut fields, "alias").flatten();
    let account_name = name(&mut fields, "accountName").flatten();
    let (entry, source, account) = whose(fields)?;
    let (checked, tempo) = tested(&wallets, entry, source, &account).await?;
    let new = NewIntegration { entry, source: source.name(), account, alias, account_name, checked, tempo };
    let integration = wallets.integrations.create(caller.tenant(), &reservation, new).await?;
    let location = format!("{}/{}", uri.path().trim_end_matches('/'), integration.wallet_id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(Detail::of(integration))).into_response())
}

/// A name that may be taken away again by a null.
pub(super) fn name(fields: &mut Fields, field: &'static str) -> Option<Option<String>> {
    fields.optional(field, NAME_ACCEPTED, |value| match value {
        Value::Null => Some(None),
        value => line(value, NAME).map(Some),
    })
}

/// An object, for `credentials`.
pub(super) fn object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

/// Reads `provider` and what says whose history is meant, and ends the reading of the body.
fn whose(mut fields: Fields) -> Result<(&'static Entry, &'static dyn Source, Account), ApiError> {
    let known: Vec<&str> = providers::catalogue().iter().map(|entry| entry.id).collect();
    let accepted = format!("one of {}", known.join(", "));
    let entry = fields.required("provider", &accepted, |value| providers::entry(value.as_str()?));
    let mut given = Given {
        credentials: fields.optional("credentials", "an object", object).unwrap_or_default(),
        address: fields.optional("address", "text of 1 to 200 characters", |value| line(value, 200)),
        xpub: fields.optional("xpub", "text of 1 to 200 characters", |value| line(value, 200)).map(SecretString::from),
        chains: fields.optional("chains", "a list of chains, such as eip155:1", chains).unwrap_or_default(),
    };
    let mut account = None;
    if let Some(entry) = entry {
        // An extended public key is often called an address.
        if entry.takes_xpub() && given.xpub.is_none() {
            let key =
                given.address.take_if(|text| ["xpub", "ypub", "zpub"].iter().any(|prefix| text.starts_with(prefix)));
            given.xpub = key.map(SecretString::from);
        }
        match entry.read(given) {
            Ok((source, read)) => account = Some((entry, source, read)),
            Err(problems) => fields.problems(problems),
        }
    }
    fields.finish()?;
    account.ok_or_else(|| ApiError::field("provider", "required", accepted))
}

fn chains(value: Value) -> Option<Vec<String>> {
    let Value::Array(values) = value else { return None };
    let mut chains = values.into_iter().map(|value| line(value, 100)).collect::<Option<Vec<String>>>()?;
    chains.sort_unstable();
    chains.dedup();
    (1..=MOST_CHAINS).contains(&chains.len()).then_some(chains)
}

/// Tests a credential: what is wrong for certain is refused, what could not be judged is taken with a warning. What was
/// learned about the provider's clock and the nonces that were used go along, for the sync to go on from.
pub(super) async fn tested(
    wallets: &Wallets,
    entry: &Entry,
    source: &dyn Source,
    account: &Account,
) -> Result<(Checked, Tempo), ApiError> {
    let outside = Outside::new(&wallets.platform, Tempo::default());
    let checked = match providers::check(source, account, &outside).await {
        Ok(checked) => checked,
        Err(trouble) if trouble.is_final() => return Err(refused(entry, account, &trouble)),
        Err(trouble) => {
            tracing::info!(provider = entry.id, %trouble, "a credential could not be judged");
            let warning = match trouble {
                Trouble::Interrupted => format!("{UNTESTED} in time."),
                trouble => format!("{UNTESTED}: {trouble}"),
            };
            Checked { warnings: vec![warning], ..Checked::default() }
        }
    };
    Ok((checked, outside.tempo()))
}

fn refused(entry: &Entry, account: &Account, trouble: &Trouble) -> ApiError {
    let named = match trouble {
        Trouble::InvalidField { field, .. } => Some(*field),
        _ => entry.fields().first().map(|field| field.name),
    };
    let place = match named {
        Some(field) => format!("credentials.{field}"),
        None if account.secret("xpub").is_some() => "xpub".to_owned(),
        None => "address".to_owned(),
    };
    ApiError::field(place, "refused", trouble.to_string())
}
