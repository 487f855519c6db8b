//! A provider's stand-in for unit tests: a server on a loopback socket that gives the answers a test wants and
//! remembers what it was asked.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value as Json};
use shared::config::EgressConfig;
use shared::egress::{Allowed, Egress, Upstream};
use url::Url;

use crate::model::{Message, Recipients};

use super::{Config, ConfigChange, Field};

/// A request that the stand-in received.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Json,
}

impl Asked {
    /// A header's value.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// The server.
#[derive(Debug)]
pub(super) struct StandIn {
    pub(super) url: Url,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl StandIn {
    /// Starts one that answers each request as `answer` says.
    pub(super) async fn answering(answer: impl Fn(&Asked) -> Response + Clone + Send + Sync + 'static) -> Self {
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let remembered = Arc::clone(&asked);
        let router = axum::Router::new().fallback(move |request: Request<Body>| {
            let (remembered, answer) = (Arc::clone(&remembered), answer.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
                let asked = Asked {
                    method: parts.method,
                    path: parts.uri.to_string(),
                    headers: parts.headers,
                    body: serde_json::from_slice(&body).unwrap_or_default(),
                };
                let answer = answer(&asked);
                remembered.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
                answer
            }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, asked }
    }

    /// What it was asked, oldest first.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A way out to stand-ins only: in the place of upstreams, and as addresses that a user may give.
pub(super) fn egress(upstreams: &[(Upstream, &StandIn)], allowed: &[&StandIn]) -> Egress {
    let endpoints = upstreams.iter().map(|(upstream, stand_in)| (*upstream, stand_in.url.clone())).collect();
    let allow = allowed.iter().filter_map(|stand_in| Allowed::parse(stand_in.url.authority())).collect();
    Egress::new(EgressConfig { endpoints, allow })
}

/// An answer with a JSON body, or, where the text is not JSON, with an HTML page.
pub(super) fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    let content_type = if body.starts_with('<') { "text/html; charset=utf-8" } else { "application/json" };
    let mut response = (status, [("content-type", content_type)], body.to_owned()).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(*name, value.parse().unwrap());
    }
    response
}

/// A config, as a request would give it.
pub(super) fn config(fields: &'static [Field], given: Json) -> Config {
    let Json::Object(given) = given else { return Config::default() };
    let given: Map<String, Json> = given;
    Config::default().changed_by(ConfigChange::parse(fields, "config", given).unwrap())
}

/// A message without a title.
pub(super) fn message(text: &str, to: &[&str]) -> Message {
    let to: Vec<String> = to.iter().map(|&to| to.to_owned()).collect();
    Message {
        text: text.into(),
        title: None,
        to: (!to.is_empty()).then_some(Recipients(to)),
        idempotency_key: "the-key".into(),
        at: jiff::Timestamp::UNIX_EPOCH,
    }
}
