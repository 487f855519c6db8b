//! What the platforms' authorization servers share: clients, the page where a user consents, and codes.
//!
//! The page is plain HTML with two links, `Allow` and `Deny`; each leads back to the client as the platform would. A code
//! is good for one exchange, by the client it was given to, with the redirect address and the PKCE verifier that belong to
//! it. Errors of the token endpoint are RFC 6749's.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value, json};
use url::Url;

use crate::wire::{Refused, header as header_of, json as json_answer, plain, text};

/// A client that the platform knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthClient {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// Where users may be sent back to: exactly this.
    pub redirect_uri: String,
    /// The integration's name in its install address, at Vercel.
    pub slug: String,
}

impl OAuthClient {
    /// A client with this address.
    #[must_use]
    pub fn new(id: &str, secret: &str, redirect_uri: &str) -> Self {
        Self { id: id.into(), secret: secret.into(), redirect_uri: redirect_uri.into(), slug: id.into() }
    }
}

/// What a client asks a user for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    pub(crate) state: Option<String>,
    pub(crate) challenge: Option<String>,
}

/// One platform's clients, pages and codes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Consent {
    clients: Vec<OAuthClient>,
    pages: Vec<Wish>,
    codes: HashMap<String, Wish>,
    numbers: usize,
    mark: String,
}

impl Consent {
    /// What codes and tokens begin with from now on.
    pub(crate) fn mark(&mut self, mark: &str) {
        mark.clone_into(&mut self.mark);
    }

    /// Two tokens of one number that was not given before.
    pub(crate) fn pair(&mut self, one: &str, other: &str) -> (String, String) {
        let number = self.number();
        (format!("{}{one}-{number}", self.mark), format!("{}{other}-{number}", self.mark))
    }

    /// A code or a token that was not given before.
    pub(crate) fn given(&mut self, kind: &str) -> String {
        let number = self.number();
        format!("{}{kind}-{number}", self.mark)
    }

    pub(crate) fn add_client(&mut self, client: OAuthClient) {
        self.clients.push(client);
    }

    pub(crate) fn client(&self, id: &str) -> Option<&OAuthClient> {
        self.clients.iter().find(|client| client.id == id)
    }

    pub(crate) fn client_of_slug(&self, slug: &str) -> Option<&OAuthClient> {
        self.clients.iter().find(|client| client.slug == slug)
    }

    /// The page that asks the user.
    pub(crate) fn page(&mut self, platform: &str, wish: Wish) -> Response {
        let number = self.pages.len();
        let client = self.client(&wish.client_id).map(|client| client.id.as_str()).unwrap_or_default();
        let body = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
             content=\"width=device-width\">\n<title>{platform}, a fake</title>\n<h1>{platform}, a fake</h1>\n\
             <p>This page stands for {platform}'s own. Let {client} see and change the variables of your projects?</p>\n\
             <p><a id=\"allow\" href=\"/consent/{number}/allow\">Allow</a> <a id=\"deny\" \
             href=\"/consent/{number}/deny\">Deny</a></p>\n</html>\n"
        );
        self.pages.push(wish);
        plain(StatusCode::OK, "text/html; charset=utf-8", body)
    }

    /// What page `number` asked for.
    pub(crate) fn wish(&self, number: usize) -> Option<Wish> {
        self.pages.get(number).cloned()
    }

    /// A code for what was asked for.
    pub(crate) fn code(&mut self, wish: Wish) -> String {
        let code = self.given("code");
        self.codes.insert(code.clone(), wish);
        code
    }

    /// A number that was not given before.
    pub(crate) fn number(&mut self) -> usize {
        self.numbers += 1;
        self.numbers
    }

    /// The client that a token endpoint's request is of: by its form or by Basic.
    pub(crate) fn caller(&self, headers: &HeaderMap, fields: &Map<String, Value>) -> Result<OAuthClient, Refused> {
        let basic = header_of(headers, "authorization")
            .and_then(|value| value.strip_prefix("Basic "))
            .and_then(|encoded| String::from_utf8(STANDARD.decode(encoded).ok()?).ok())
            .and_then(|pair| pair.split_once(':').map(|(id, secret)| (id.to_owned(), secret.to_owned())));
        let (id, secret) =
            basic.unwrap_or_else(|| (text(fields, "client_id").to_owned(), text(fields, "client_secret").to_owned()));
        let known = self.client(&id).filter(|client| client.secret == secret);
        known.cloned().ok_or_else(|| oauth_error(StatusCode::UNAUTHORIZED, "invalid_client").into())
    }

    /// Uses a code up.
    pub(crate) fn redeem(&mut self, client: &OAuthClient, fields: &Map<String, Value>) -> Result<Wish, Refused> {
        let invalid = || Refused::from(oauth_error(StatusCode::BAD_REQUEST, "invalid_grant"));
        let wish = self.codes.remove(text(fields, "code")).ok_or_else(invalid)?;
        let proven = wish.challenge.as_ref().is_none_or(|challenge| {
            let verifier = text(fields, "code_verifier");
            *challenge == URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
        });
        let good = wish.client_id == client.id && wish.redirect_uri == text(fields, "redirect_uri") && proven;
        if good { Ok(wish) } else { Err(invalid()) }
    }
}

/// An error of a token endpoint.
pub(crate) fn oauth_error(status: StatusCode, code: &str) -> Response {
    json_answer(status, &json!({ "error": code, "error_description": "The request was refused." }))
}

/// Sends the user back with these parameters.
pub(crate) fn back(redirect_uri: &str, pairs: &[(&str, &str)]) -> Response {
    let Ok(mut url) = Url::parse(redirect_uri) else {
        return plain(StatusCode::BAD_REQUEST, "text/plain", "no address to go back to");
    };
    url.query_pairs_mut().extend_pairs(pairs);
    (StatusCode::FOUND, [(header::LOCATION, url.to_string())]).into_response()
}
