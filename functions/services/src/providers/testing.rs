//! A provider's double for unit tests: a loopback socket that gives prepared answers in turn and keeps what it was asked.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use jiff::Timestamp;
use serde_json::Value as Json;
use shared::config::EgressConfig;
use shared::egress::{Allowed, Egress, Upstream};
use url::Url;

use super::{Config, ConfigChange, Field};
use crate::model::{Message, Recipients};

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

/// A request as it came in.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    pub(super) headers: axum::http::HeaderMap,
    pub(super) body: String,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    pub(super) fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// What is still to be answered, in reverse, and what was asked.
type Shared = Arc<Mutex<(Vec<Reply>, Vec<Asked>)>>;

#[derive(Debug, Clone)]
pub(super) struct Double {
    url: Url,
    state: Shared,
}

impl Double {
    /// Answers with these, the last of them over and over.
    pub(super) async fn answering(replies: impl IntoIterator<Item = Reply>) -> Self {
        let mut replies: Vec<Reply> = replies.into_iter().collect();
        replies.reverse();
        let state = Arc::new(Mutex::new((replies, Vec::new())));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&state));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, state }
    }

    /// Its own address, at `path`.
    pub(super) fn url(&self, path: &str) -> Url {
        self.url.join(path).unwrap()
    }

    /// A way out on which this stands for `upstream`.
    pub(super) fn standing_for(&self, upstream: Upstream) -> Egress {
        Egress::new(EgressConfig { endpoints: [(upstream, self.url.clone())].into(), allow: Vec::new() })
    }

    /// A way out that may reach this by its address.
    pub(super) fn allowed(&self) -> Egress {
        let address = format!("127.0.0.1:{}", self.url.port().unwrap());
        Egress::new(EgressConfig { allow: vec![Allowed::parse(&address).unwrap()], ..EgressConfig::default() })
    }

    /// What it was asked, in order.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap().1.clone()
    }
}

async fn answer(State(state): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
    let target = parts.uri.path_and_query().unwrap().to_string();
    let mut state = state.lock().unwrap();
    state.1.push(Asked { method: parts.method.to_string(), target, headers: parts.headers, body });
    let Reply(status, headers, body) = if state.0.len() > 1 { state.0.pop().unwrap() } else { state.0[0].clone() };
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Body::from(body)).unwrap()
}

/// A way out that leads nowhere: whoever uses it gets no answer.
pub(super) fn nowhere() -> Egress {
    let endpoints = Upstream::ALL.iter().map(|upstream| (*upstream, Url::parse("http://127.0.0.1:1").unwrap()));
    Egress::new(EgressConfig { endpoints: endpoints.collect(), allow: Vec::new() })
}

/// A config as a request would make it.
pub(super) fn config(fields: &'static [Field], given: Json) -> Config {
    let Json::Object(given) = given else { panic!("a config is an object") };
    Config::default().changed_by(ConfigChange::parse(fields, "config", given).unwrap())
}

/// A message without a title or a recipient.
pub(super) fn message(text: &str) -> Message {
    Message {
        text: text.into(),
        title: None,
        to: None,
        idempotency_key: "key".into(),
        at: Timestamp::from_second(1_614_265_330).unwrap(),
    }
}

/// The same message to somebody.
pub(super) fn message_to(text: &str, to: &[&str]) -> Message {
    Message { to: Some(Recipients(to.iter().map(|&to| to.to_owned()).collect())), ..message(text) }
}
