//! Connecting an account by OAuth: how an authorization begins, and what its callback comes to.
//!
//! # Theory of operation
//! The state is 256 random bits that only the browser holds; its hash finds what was kept when it was given out: who began,
//! with which provider, and where the browser is to end. It is good once and for ten minutes. The PKCE verifier is an HMAC
//! of the state under the stack's key, so that nothing secret has to be kept meanwhile.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use jiff::Timestamp;
use secrecy::SecretString;
use shared::audit::{Act, Outcome};
use shared::auth::Tenant;
use shared::http::ApiError;
use url::Url;
use uuid::Uuid;

use crate::connect::{self, Grant};
use crate::model::{Connection, Way};
use crate::providers::{Authorization as Request, Client, Held, OAuth, OAuthError, Provider, Tokens};
use crate::store::Authorization;
use crate::store::authorizations::{Found, LIVES};
use crate::{GROUP, Vaults};

/// What a person does whose account was not connected.
const AGAIN: &str = "Go back to where you came from and connect again.";

/// What the caller wants of an authorization.
#[derive(Debug)]
pub struct Wanted {
    /// Where the browser is to end.
    pub redirect_uri: Option<Url>,
    /// Which of the token's accounts is meant.
    pub account: Option<String>,
    /// The connection that is to be renewed.
    pub reconnects: Option<Uuid>,
}

/// What a provider's page came back with.
#[derive(Debug)]
pub struct Returned {
    /// The state that it was sent with.
    pub state: Option<String>,
    /// The code, if the user consented.
    pub code: Option<String>,
    /// Why there is none.
    pub error: Option<String>,
    /// Who the provider says it is.
    pub issuer: Option<String>,
    /// The team that was chosen, where the provider's page tells.
    pub team: Option<String>,
    /// The id of the request that it came with.
    pub request_id: String,
}

/// Why no account was connected, for the person in front of the browser.
#[derive(Debug)]
pub struct Unfinished {
    /// The page's status.
    pub status: StatusCode,
    /// What happened and what to do.
    pub detail: String,
}

/// A redirect address that may be compared with the operator's list: http or https, without a user and a fragment.
#[must_use]
pub fn redirect(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    (matches!(url.scheme(), "http" | "https") && plain).then_some(url)
}

/// The verifier of a state, and its challenge (RFC 7636, S256).
fn pkce(key: &hmac::Key, state: &str) -> (SecretString, String) {
    let mut message = b"pkce".to_vec();
    message.extend_from_slice(state.as_bytes());
    let verifier = URL_SAFE_NO_PAD.encode(hmac::sign(key, &message));
    let challenge = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
    (SecretString::from(verifier), challenge)
}

/// How a provider is connected by OAuth, and the operator's client.
async fn oauth(vaults: &Vaults, provider: &'static dyn Provider) -> Result<(&'static dyn OAuth, Client), ApiError> {
    let entry = provider.entry();
    let Some(oauth) = provider.oauth() else {
        let path = format!("POST /v1/integrations/{}/connect", entry.name);
        let message = format!("{} is connected with a token: use {path}", entry.display_name);
        return Err(ApiError::field("provider", "value", message));
    };
    let detail = || {
        let path = format!("POST /v1/integrations/{}/connect", entry.name);
        format!("No OAuth client is set up for {}. A token can be pasted: {path}.", entry.display_name)
    };
    let client = vaults.client(entry.name).await?;
    Ok((oauth, client.ok_or_else(|| ApiError::NotConfigured { detail: detail() })?))
}

/// Begins an authorization: the page of consent, and until when it is waited for.
///
/// # Errors
/// [`ApiError::NotAllowed`] if the browser may not be sent to the address that is asked for, [`ApiError::NotConfigured`] if
/// the operator has no client, [`ApiError::NotFound`] if the connection that is to be renewed is not the tenant's.
pub async fn begin(
    vaults: &Vaults,
    tenant: &Tenant,
    user: &str,
    provider: &'static dyn Provider,
    callback: String,
    wanted: Wanted,
) -> Result<(Url, Timestamp), ApiError> {
    let (oauth, client) = oauth(vaults, provider).await?;
    let platform = &vaults.platform;
    if let Some(url) = &wanted.redirect_uri {
        let origin = url.origin().ascii_serialization();
        if !platform.egress.redirect_origins().contains(&origin) {
            let detail = format!("Browsers may not be sent to {origin}. The operator can allow it.");
            return Err(ApiError::NotAllowed { detail });
        }
    }
    if let Some(id) = wanted.reconnects {
        let connection = vaults.connections.read(tenant, id).await?;
        if connection.provider != provider.entry().name {
            return Err(ApiError::field("connectionId", "value", "is a connection of another provider"));
        }
    }
    let state = URL_SAFE_NO_PAD.encode(platform.ids.bytes::<32>());
    let (_, challenge) = pkce(platform.signing_key().await?, &state);
    let request = Request { state: &state, challenge: &challenge, redirect_uri: &callback };
    let url = oauth
        .authorize_url(&client, &request, &platform.egress)
        .map_err(|detail| ApiError::NotConfigured { detail: detail.to_owned() })?;
    let now = platform.ids.now();
    let until = now.saturating_add(LIVES).unwrap_or(now);
    let authorization = Authorization {
        tenant: tenant.clone(),
        user: user.to_owned(),
        provider: provider.entry().name.to_owned(),
        callback,
        redirect_uri: wanted.redirect_uri.map(String::from),
        account: wanted.account,
        reconnects: wanted.reconnects,
        until,
    };
    vaults.authorizations.begin(&state, authorization).await?;
    Ok((url, until))
}

/// Completes an authorization: the connection, and where the browser is to end. Whatever comes of it is in the audit log,
/// where a first entry is written before the state is used up. A state that nothing is known of is nobody's, and in no log.
///
/// # Errors
/// [`Unfinished`], whatever went wrong.
pub async fn complete(
    vaults: &Vaults,
    provider: &'static dyn Provider,
    returned: Returned,
) -> Result<(Connection, Option<String>), Unfinished> {
    let state = returned.state.as_deref().filter(|state| !state.is_empty());
    let state =
        state.ok_or_else(|| refused(format!("This page was not opened by a connection that was begun. {AGAIN}")))?;
    let found = vaults.authorizations.find(state).await.map_err(|error| ours(&error.into()))?.ok_or_else(used_up)?;
    let begun = found.authorization();
    let act = Act {
        tenant: begun.tenant.clone(),
        user: begun.user.clone(),
        token: "authorization".into(),
        group: GROUP.into(),
        operation: "GET /v1/integrations/{provider}/callback".into(),
        integration: Some(provider.entry().name.to_owned()),
        request_id: returned.request_id.clone(),
        idempotency_key: false,
        fields: Vec::new(),
    };
    let audit = &vaults.platform.audit;
    let audited = audit.begin(act).await.map_err(|error| ours(&error.into()))?;
    let completed = exchange(vaults, provider, found, state, &returned).await;
    let (status, integration) = match &completed {
        Ok((connection, None)) => (StatusCode::OK, Some(connection.id.to_string())),
        Ok((connection, Some(_))) => (StatusCode::FOUND, Some(connection.id.to_string())),
        Err(unfinished) => (unfinished.status, None),
    };
    audit.end(audited, Outcome { status: status.as_u16(), integration, ..Outcome::default() }).await;
    completed
}

/// Uses the state up, and the code with it.
async fn exchange(
    vaults: &Vaults,
    provider: &'static dyn Provider,
    found: Found,
    state: &str,
    returned: &Returned,
) -> Result<(Connection, Option<String>), Unfinished> {
    let name = provider.entry().display_name;
    let begun = vaults.authorizations.take(found).await.map_err(|error| ours(&error.into()))?;
    let begun = begun.filter(|begun| begun.provider == provider.entry().name).ok_or_else(used_up)?;
    if let Some(error) = &returned.error {
        let denied = error == "access_denied";
        let what = if denied { "Access was not granted" } else { "The platform reported an error" };
        tracing::info!(provider = provider.entry().name, denied, "an authorization was not granted");
        return Err(refused(format!("{what}, so nothing was connected. {AGAIN}")));
    }
    let code = returned.code.clone().filter(|code| !code.is_empty());
    let code = code.ok_or_else(|| refused(format!("{name} sent no code, so nothing was connected. {AGAIN}")))?;
    let (oauth, client) = oauth(vaults, provider).await.map_err(|error| ours(&error))?;
    let platform = &vaults.platform;
    // RFC 9207: of a platform that sends who it is, an answer that does not say so is not its own.
    if let Some(expected) = oauth.issuer(&platform.egress)
        && returned.issuer.as_ref() != Some(&expected)
    {
        return Err(refused(format!("The answer did not come from {name}. {AGAIN}")));
    }
    let key = platform.signing_key().await.map_err(|error| ours(&error.into()))?;
    let (code, (verifier, _)) = (SecretString::from(code), pkce(key, state));
    let egress = platform.egress.hiding(vec![client.secret.clone(), code.clone(), verifier.clone()]);
    let tokens = oauth.exchange(&client, &code, &verifier, &begun.callback, &egress).await;
    let tokens = tokens.map_err(|error| not_exchanged(name, &error))?;
    keep(vaults, provider, &begun, tokens, returned.team.clone()).await
}

fn refused(detail: String) -> Unfinished {
    Unfinished { status: StatusCode::BAD_REQUEST, detail }
}

fn used_up() -> Unfinished {
    refused(format!("This link was used before, has expired, or belongs to another connection. {AGAIN}"))
}

/// Keeps what was granted.
async fn keep(
    vaults: &Vaults,
    provider: &'static dyn Provider,
    begun: &Authorization,
    tokens: Tokens,
    team: Option<String>,
) -> Result<(Connection, Option<String>), Unfinished> {
    let grant = Grant {
        held: Held { access: tokens.access, refresh: tokens.refresh },
        way: Way::Oauth,
        lives: tokens.lives,
        team_id: tokens.team_id.or(team),
        user_id: tokens.user_id,
        installation_id: tokens.installation_id,
        account: begun.account.clone(),
        reconnects: begun.reconnects,
    };
    let connected = connect::connect(vaults, &begun.tenant, provider, grant).await;
    Ok((connected.map_err(|error| ours(&error))?, begun.redirect_uri.clone()))
}

fn not_exchanged(name: &str, error: &OAuthError) -> Unfinished {
    tracing::warn!(provider = name, %error, "a code was not exchanged");
    let (status, detail) = match error {
        OAuthError::InvalidGrant => {
            (StatusCode::BAD_REQUEST, format!("{name} did not accept the code: it may be too old. {AGAIN}"))
        }
        OAuthError::InvalidClient => {
            let detail = format!("{name} does not accept this product's client. Its operator must put that right.");
            (StatusCode::BAD_GATEWAY, detail)
        }
        OAuthError::Trouble(trouble) => (StatusCode::BAD_GATEWAY, format!("{trouble} Wait a little. {AGAIN}")),
    };
    Unfinished { status, detail }
}

/// What an error is to the person in front of the browser.
fn ours(error: &ApiError) -> Unfinished {
    let status = error.status();
    let detail = match error {
        ApiError::Conflict { detail, .. }
        | ApiError::CredentialRefused { detail }
        | ApiError::Absent { detail }
        | ApiError::NotConfigured { detail }
        | ApiError::ProviderRefused { detail, .. }
        | ApiError::ProviderTimeout { detail, .. } => detail.clone(),
        ApiError::InvalidInput(problems) => {
            let sentences: Vec<_> =
                problems.iter().map(|problem| format!("{} {}.", problem.field, problem.message)).collect();
            sentences.join(" ")
        }
        ApiError::NotFound { what } => format!("{what} not found: it may have been deleted meanwhile."),
        ApiError::RateLimited { .. } => "The platform asks to wait. Connect again in a minute.".into(),
        error => {
            tracing::error!(?error, "an authorization could not be completed");
            "Something went wrong on our side. Connect again; if it goes on, tell who runs this product.".into()
        }
    };
    Unfinished { status, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_address_is_a_plain_one() {
        assert!(redirect("https://app.example.com/done?x=1").is_some());
        for text in ["", "/done", "javascript:alert(1)", "https://u:p@app.example.com", "https://app.example.com/#x"] {
            assert_eq!(redirect(text), None, "{text}");
        }
    }

    #[test]
    fn a_verifier_is_the_states_own_and_as_long_as_it_must_be() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"a key of a test");
        let (one, challenge) = pkce(&key, "one");
        assert_eq!(shared::credentials::disclose(&one).len(), 43);
        assert_eq!(challenge.len(), 43);
        assert_ne!(challenge, pkce(&key, "two").1);
        assert_eq!(challenge, pkce(&key, "one").1);
    }
}
