//! A group's OpenAPI document and its reading page, as the group serves them itself, for everybody.
//!
//! Both are files of the tree, written by `causeway openapi` from the code; a function's binary holds their text and
//! nothing of what made them.

use axum::extract::OriginalUri;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, header};

/// What a group says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Described {
    /// The OpenAPI document.
    pub document: &'static str,
    /// The page for people.
    pub page: &'static str,
}

/// Where the document's operations are, as the committed document has it: at the root of an API of its own.
const AT_ROOT: &str = "\"url\": \"/\"";

const HEADERS: [(HeaderName, &str); 3] = [
    (header::CACHE_CONTROL, "public, max-age=300"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// The page runs nothing and fetches nothing; its own style sheet is in it.
const PAGE_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

impl Described {
    /// Answers with the document. Its server is where it was asked for.
    #[must_use]
    pub fn answer_document(&self, uri: &OriginalUri) -> Response {
        let base = uri.path().rsplit_once('/').map_or("", |(base, _)| base);
        let plain = base.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte));
        let document = match base {
            "" => self.document.to_owned(),
            base if plain => self.document.replacen(AT_ROOT, &format!("\"url\": \"{base}\""), 1),
            _ => self.document.to_owned(),
        };
        (HEADERS, [(header::CONTENT_TYPE, "application/json")], document).into_response()
    }

    /// Answers with the page.
    #[must_use]
    pub fn answer_page(&self) -> Response {
        let own = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
            (header::X_FRAME_OPTIONS, "DENY"),
        ];
        (HEADERS, own, self.page).into_response()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn served_at(path: &'static str) -> String {
        let described = Described { document: "{\"servers\": [{\"url\": \"/\"}]}", page: "" };
        let response = described.answer_document(&OriginalUri(http::Uri::from_static(path)));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn the_server_is_where_the_document_is_served() {
        assert_eq!(served_at("/openapi.json").await, "{\"servers\": [{\"url\": \"/\"}]}");
        assert_eq!(served_at("/wallets/api/openapi.json").await, "{\"servers\": [{\"url\": \"/wallets/api\"}]}");
    }
}
