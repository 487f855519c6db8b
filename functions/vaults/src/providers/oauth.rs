//! How customers connect a platform by OAuth: the authorization code grant, as RFC 9700 wants it.
//!
//! The state, the PKCE verifier and the redirect address are the caller's; a provider says where its pages are and what
//! its token endpoint takes.

use axum::http::Method;
use jiff::SignedDuration;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value as Json;
use shared::egress::{Answer, Egress, EgressError, Upstream};
use url::Url;

use super::Trouble;

/// The operator's OAuth client with a platform.
#[derive(Debug, Clone)]
pub struct Client {
    /// The client's id.
    pub id: String,
    /// The client's secret.
    pub secret: SecretString,
    /// The integration's name in its install address, for Vercel.
    pub slug: Option<String>,
}

/// What an authorization request carries.
#[derive(Debug, Clone, Copy)]
pub struct Authorization<'a> {
    /// Ties the answer to the request: 256 random bits.
    pub state: &'a str,
    /// The PKCE challenge, S256.
    pub challenge: &'a str,
    /// Where the platform sends the user back to: exactly this.
    pub redirect_uri: &'a str,
}

/// What a platform's token endpoint gives.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// The access token.
    pub access: SecretString,
    /// The refresh token, where there is one. After a refresh it may be a new one: the old one must not be used again.
    pub refresh: Option<SecretString>,
    /// How long the access token lives, where it ends.
    pub lives: Option<SignedDuration>,
    /// The team that the tokens are for, where the endpoint tells.
    pub team_id: Option<String>,
    /// The user that the tokens are of, where the endpoint tells.
    pub user_id: Option<String>,
    /// The platform's id of the installation, where there is one.
    pub installation_id: Option<String>,
}

/// Why a platform gave no tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OAuthError {
    /// The code or the refresh token is wrong, used up or revoked: `invalid_grant`. Trying again is of no use.
    #[error("the platform does not accept the grant any more")]
    InvalidGrant,
    /// The operator's client is refused: `invalid_client`. The operator must put it right.
    #[error("the platform does not accept the operator's client")]
    InvalidClient,
    /// Anything else.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// How customers connect one platform by OAuth.
#[async_trait::async_trait]
pub trait OAuth: Send + Sync {
    /// What `iss` in the callback must be where it is sent (RFC 9207). `None` if the platform sends none.
    fn issuer(&self, _egress: &Egress) -> Option<String> {
        None
    }

    /// The page where the user consents. Fails if the client lacks what the page's address needs.
    ///
    /// # Errors
    /// A sentence for the operator.
    fn authorize_url(
        &self,
        client: &Client,
        authorization: &Authorization<'_>,
        egress: &Egress,
    ) -> Result<Url, &'static str>;

    /// Exchanges a code for tokens.
    ///
    /// # Errors
    /// [`OAuthError`]
    async fn exchange(
        &self,
        client: &Client,
        code: &SecretString,
        verifier: &SecretString,
        redirect_uri: &str,
        egress: &Egress,
    ) -> Result<Tokens, OAuthError>;

    /// Gets new tokens for a refresh token. Never repeated by itself: some platforms take a second use for theft.
    ///
    /// # Errors
    /// [`OAuthError`]
    async fn refresh(&self, client: &Client, refresh: &SecretString, egress: &Egress) -> Result<Tokens, OAuthError>;

    /// Takes the grant back, where the platform can. True if it did.
    ///
    /// # Errors
    /// [`OAuthError`]
    async fn revoke(&self, _client: &Client, _tokens: &Tokens, _egress: &Egress) -> Result<bool, OAuthError> {
        Ok(false)
    }
}

/// Where a platform exchanges grants for tokens. Each question is asked once.
pub(super) struct TokenEndpoint {
    /// The platform's name, for messages.
    pub(super) platform: &'static str,
    /// Where the endpoint is.
    pub(super) upstream: Upstream,
    /// Its path.
    pub(super) path: &'static str,
}

impl TokenEndpoint {
    /// Exchanges a grant: the code or the refresh token, by the form's name for it, and whatever else is secret; and the
    /// other fields. The client's id and secret go into the form.
    pub(super) async fn exchange(
        &self,
        client: &Client,
        secrets: &[(&str, &SecretString)],
        fields: &[(&str, &str)],
        egress: &Egress,
    ) -> Result<Tokens, OAuthError> {
        let mut hidden = vec![client.secret.clone()];
        hidden.extend(secrets.iter().map(|(_, secret)| (*secret).clone()));
        let request = egress
            .hiding(hidden)
            .upstream(Method::POST, self.upstream, self.path)
            .header("accept", "application/json")
            .body("application/x-www-form-urlencoded", form(client, secrets, fields).into());
        let answer = request.send().await.map_err(|error| unanswered(self.platform, &error))?;
        let reply: Option<Reply> = answer.json();
        match reply {
            Some(reply) if answer.is_success() => Ok(reply.tokens()),
            // GitHub's refusals are a 200 as well.
            _ => Err(refused(self.platform, &answer)),
        }
    }

    /// Exchanges a refresh token.
    pub(super) async fn refresh(
        &self,
        client: &Client,
        refresh: &SecretString,
        egress: &Egress,
    ) -> Result<Tokens, OAuthError> {
        let fields = [("grant_type", "refresh_token")];
        self.exchange(client, &[("refresh_token", refresh)], &fields, egress).await
    }
}

fn form(client: &Client, secrets: &[(&str, &SecretString)], fields: &[(&str, &str)]) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields);
    form.append_pair("client_id", &client.id);
    form.append_pair("client_secret", client.secret.expose_secret());
    form.extend_pairs(secrets.iter().map(|(name, secret)| (name, secret.expose_secret())));
    form.finish()
}

fn unanswered(platform: &'static str, error: &EgressError) -> Trouble {
    match error {
        EgressError::TimedOut { .. } => Trouble::TimedOut(format!("{platform} did not answer in time.")),
        error => Trouble::Down(format!("{platform} could not be asked: {error}.")),
    }
}

/// RFC 6749's errors; some platforms wrap them in an object of their own, and GitHub has its own words for two.
fn refused(platform: &'static str, answer: &Answer) -> OAuthError {
    let body: Json = answer.json().unwrap_or_default();
    let code = body.get("error").and_then(|error| error.as_str().or_else(|| error.get("code")?.as_str()));
    match (answer.status, code) {
        (200..500, Some("invalid_grant" | "bad_verification_code" | "bad_refresh_token")) => OAuthError::InvalidGrant,
        (200..500, Some("invalid_client" | "unauthorized_client" | "incorrect_client_credentials")) | (401, _) => {
            OAuthError::InvalidClient
        }
        (200..300, None) => OAuthError::Trouble(Trouble::unreadable(platform)),
        (400, _) => OAuthError::Trouble(Trouble::Refused(format!("{platform} did not take the grant."))),
        _ => OAuthError::Trouble(Trouble::of_answer(platform, answer)),
    }
}

/// The platforms' fields taken together; each sends some of them.
#[derive(Deserialize)]
struct Reply {
    access_token: String,
    refresh_token: Option<String>,
    expires_in: Option<i64>,
    team_id: Option<String>,
    user_id: Option<String>,
    installation_id: Option<String>,
}

impl Reply {
    fn tokens(self) -> Tokens {
        Tokens {
            access: self.access_token.into(),
            refresh: self.refresh_token.map(SecretString::from),
            lives: self.expires_in.filter(|seconds| *seconds > 0).map(SignedDuration::from_secs),
            team_id: self.team_id,
            user_id: self.user_id,
            installation_id: self.installation_id,
        }
    }
}
