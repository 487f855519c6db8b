//! A provider's stand-in for unit tests: a server on a loopback socket that gives the answers a test wants and
//! remembers what it was asked.

use std::collections::VecDeque;
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
    /// Path and query.
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    /// The body as it came.
    pub(super) text: String,
    /// The body as JSON; null if it is none.
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
                    text: String::from_utf8_lossy(&body).into_owned(),
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

/// A prepared answer: status, headers, body.
#[derive(Debug, Clone)]
pub(super) struct Reply(u16, Vec<(&'static str, String)>, String);

impl Reply {
    pub(super) fn new(status: u16, body: impl ToString) -> Self {
        Self(status, Vec::new(), body.to_string())
    }

    pub(super) fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.1.push((name, value.to_string()));
        self
    }
}

/// A stand-in that gives prepared answers in turn, the last of them over and over.
#[derive(Debug)]
pub(super) struct Double(StandIn);

impl Double {
    /// Answers with these.
    pub(super) async fn answering(replies: impl IntoIterator<Item = Reply>) -> Self {
        let replies: Arc<Mutex<VecDeque<Reply>>> = Arc::new(Mutex::new(replies.into_iter().collect()));
        let next = move |_: &Asked| {
            let mut replies = replies.lock().unwrap_or_else(PoisonError::into_inner);
            let reply = if replies.len() > 1 { replies.pop_front() } else { replies.front().cloned() };
            let Reply(status, headers, body) = reply.unwrap();
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            response.body(Body::from(body)).unwrap()
        };
        Self(StandIn::answering(next).await)
    }

    /// Its own address, at `path`.
    pub(super) fn url(&self, path: &str) -> Url {
        self.0.url.join(path).unwrap()
    }

    /// A way out on which this stands for `upstream`.
    pub(super) fn standing_for(&self, upstream: Upstream) -> Egress {
        egress(&[(upstream, &self.0)], &[])
    }

    /// A way out that may reach this by its address.
    pub(super) fn allowed(&self) -> Egress {
        egress(&[], &[&self.0])
    }

    /// What it was asked, in order.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.0.asked()
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

/// A way out that leads nowhere: whoever uses it gets no answer.
pub(super) fn nowhere() -> Egress {
    let endpoints = Upstream::ALL.iter().map(|upstream| (*upstream, Url::parse("http://127.0.0.1:1").unwrap()));
    Egress::new(EgressConfig { endpoints: endpoints.collect(), allow: Vec::new() })
}

/// A config, as a request would give it.
pub(super) fn config(fields: &'static [Field], given: Json) -> Config {
    let Json::Object(given) = given else { return Config::default() };
    let given: Map<String, Json> = given;
    Config::default().changed_by(ConfigChange::parse(fields, "config", given).unwrap())
}

/// A message without a title, to nobody in particular or to these.
pub(super) fn message(text: &str, to: &[&str]) -> Message {
    let to: Vec<String> = to.iter().map(|&to| to.to_owned()).collect();
    Message {
        text: text.into(),
        title: None,
        to: (!to.is_empty()).then_some(Recipients(to)),
        idempotency_key: "the-key".into(),
        at: jiff::Timestamp::from_second(1_614_265_330).unwrap(),
    }
}
