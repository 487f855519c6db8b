//! How customers connect a platform by OAuth: the authorization code grant, as RFC 9700 wants it.
//!
//! The state, the PKCE verifier and the redirect address are the caller's; a provider says where its pages are and what
//! its token endpoint takes.

use jiff::SignedDuration;
use secrecy::SecretString;
use shared::egress::Egress;
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
