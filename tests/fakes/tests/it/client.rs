//! A small HTTP client: one call, and the whole answer.

use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Client, Method};
use serde_json::Value;

pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");
pub(crate) const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A client that follows nothing and says who it is only when told to.
pub(crate) fn client() -> Client {
    Client::builder().redirect(Policy::none()).no_proxy().build().unwrap()
}

/// One call with a `User-Agent`.
pub(crate) async fn call(method: &str, url: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Reply {
    let mut all = vec![("user-agent", "causeway-tests/1.0")];
    all.extend_from_slice(headers);
    call_as_is(method, url, &all, body).await.unwrap()
}

/// One call with these headers only.
pub(crate) async fn call_as_is(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: impl Into<reqwest::Body>,
) -> reqwest::Result<Reply> {
    let mut request = client().request(Method::from_bytes(method.as_bytes()).unwrap(), url).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Reply { status, headers, text: response.text().await? })
}

pub(crate) async fn get(url: &str) -> Reply {
    call("GET", url, &[], "").await
}

pub(crate) async fn post_json(url: &str, body: &Value) -> Reply {
    call("POST", url, &[JSON], body.to_string()).await
}
