//! A receiver of webhooks, as a user would run one. It checks Standard Webhooks signatures with its own copy of the
//! secret, so a wrong signature fails here as it would at a customer's.
//!
//! What it reproduces, from the Standard Webhooks specification:
//! - The signature is over `{webhook-id}.{webhook-timestamp}.{raw body}` with HMAC-SHA256 and the decoded bytes of the
//!   secret (24 to 64), sent as `v1,<base64>`. The header is a list: during a rotation it holds one signature for each
//!   secret, and one that fits is enough. Comparison takes constant time.
//! - A timestamp more than five minutes off is refused. The clock is the system's unless [`WebhookReceiver::set_now`]
//!   stops it.
//! - A `webhook-id` that was accepted before is answered alike but not processed again.
//!
//! A signature that does not hold is answered 401 whatever the endpoint's behaviour; what is accepted is answered as the
//! endpoint is told to: any status, a redirect, slowly, or with a body without end.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State as Extracted};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, StatusCode};

use crate::fault::Answer;
use crate::host::Host;
use crate::wire::{Refused, header, lock, plain, unix_seconds};

/// How far a timestamp may be off, in seconds.
const TOLERANCE: u64 = 300;
/// What a secret may weigh, in decoded bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// The size of one piece of a body without end.
const PIECE: usize = 16 * 1024;

/// A receiver with any number of endpoints.
#[derive(Clone, Debug)]
pub struct WebhookReceiver {
    /// Stands for a user's own server.
    pub host: Host,
    state: Shared,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    endpoints: Vec<WebhookEndpoint>,
    deliveries: Vec<WebhookDelivery>,
    now: Option<u64>,
    endless_bytes: u64,
}

/// An endpoint of the receiver.
#[derive(Clone, Debug)]
pub struct WebhookEndpoint {
    /// The path, such as `/hook`.
    pub path: String,
    /// Methods it answers; others get 405.
    pub methods: Vec<String>,
    /// Secrets, `whsec_` and base64, any of which may have signed. Without one signatures are not looked at.
    pub secrets: Vec<String>,
    /// Headers that a request must carry with these values; without them it gets 403.
    pub required_headers: Vec<(String, String)>,
    /// How it answers what it accepts.
    pub behaviour: WebhookBehaviour,
}

impl WebhookEndpoint {
    /// An endpoint that takes unsigned POSTs and answers 200.
    #[must_use]
    pub fn new(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            methods: vec!["POST".to_owned()],
            secrets: Vec::new(),
            required_headers: Vec::new(),
            behaviour: WebhookBehaviour::status(200),
        }
    }

    /// The same with a secret more.
    #[must_use]
    pub fn with_secret(mut self, secret: &str) -> Self {
        self.secrets.push(secret.to_owned());
        self
    }

    /// The same with another behaviour.
    #[must_use]
    pub fn with_behaviour(mut self, behaviour: WebhookBehaviour) -> Self {
        self.behaviour = behaviour;
        self
    }
}

/// How an endpoint answers a delivery that it accepts.
#[derive(Clone, Debug)]
pub enum WebhookBehaviour {
    /// With this answer.
    Answer(Answer),
    /// With 200, after waiting. To hang for as long as a test wants, use the host's fault switch.
    Slow(Duration),
    /// With 200 and a body that never ends.
    Endless,
}

impl WebhookBehaviour {
    /// An empty answer with this status, such as 410.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::Answer(Answer::status(status))
    }

    /// A redirect with this status to another address.
    #[must_use]
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::Answer(Answer::status(status).header("location", location))
    }
}

/// What became of a delivery's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookSignature {
    /// The endpoint has no secret.
    NotChecked,
    /// It holds.
    Verified,
    /// One of the three headers is missing.
    Missing,
    /// The timestamp is no number, or too far off.
    BadTimestamp,
    /// None of the signatures fits any secret.
    Mismatch,
}

/// A request to an endpoint that exists.
#[derive(Clone, Debug)]
pub struct WebhookDelivery {
    /// The endpoint.
    pub path: String,
    /// The method.
    pub method: String,
    /// All headers.
    pub headers: HeaderMap,
    /// The raw body.
    pub body: Bytes,
    /// What `webhook-id` said.
    pub id: Option<String>,
    /// What became of the signature.
    pub signature: WebhookSignature,
    /// It was processed: signed well, and answered 2xx for the first time with this id.
    pub is_accepted: bool,
    /// The same id was accepted before.
    pub is_duplicate: bool,
}

impl WebhookReceiver {
    /// Starts a receiver without endpoints.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Shared::default();
        let router = Router::new().fallback(receive).with_state(Arc::clone(&state));
        Ok(Self { host: Host::start(router).await?, state })
    }

    /// Adds an endpoint, or replaces the one at the same path, and returns its URL.
    pub fn add_endpoint(&self, endpoint: WebhookEndpoint) -> String {
        let url = format!("{}{}", self.host.origin(), endpoint.path);
        let mut state = lock(&self.state);
        state.endpoints.retain(|known| known.path != endpoint.path);
        state.endpoints.push(endpoint);
        url
    }

    /// Stops the clock at this time, in seconds since 1970; `None` lets it run again.
    pub fn set_now(&self, now: Option<u64>) {
        lock(&self.state).now = now;
    }

    /// Every request to an endpoint, oldest first, accepted or not.
    #[must_use]
    pub fn deliveries(&self) -> Vec<WebhookDelivery> {
        lock(&self.state).deliveries.clone()
    }

    /// The deliveries that were processed, oldest first.
    #[must_use]
    pub fn messages(&self) -> Vec<WebhookDelivery> {
        lock(&self.state).deliveries.iter().filter(|delivery| delivery.is_accepted).cloned().collect()
    }

    /// How many bytes of endless bodies were taken from the fake so far; some of them sit in socket buffers.
    #[must_use]
    pub fn endless_bytes(&self) -> u64 {
        lock(&self.state).endless_bytes
    }

    /// The address as a user may write it in a URL.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.host.address()
    }
}

async fn receive(Extracted(shared): Extracted<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let behaviour = lock(&shared).take_in(parts.method.as_str(), parts.uri.path(), parts.headers, body);
    match behaviour {
        Err(refused) => refused.into_response(),
        Ok(WebhookBehaviour::Answer(answer)) => answer.into_response(),
        Ok(WebhookBehaviour::Slow(wait)) => {
            tokio::time::sleep(wait).await;
            StatusCode::OK.into_response()
        }
        Ok(WebhookBehaviour::Endless) => endless(shared).into_response(),
    }
}

/// A body that goes on for as long as somebody reads it.
fn endless(state: Shared) -> Body {
    let piece = Bytes::from(vec![b'x'; PIECE]);
    let pieces = futures::stream::repeat(piece).map(move |piece| {
        lock(&state).endless_bytes += piece.len() as u64;
        io::Result::Ok(piece)
    });
    Body::from_stream(pieces)
}

impl State {
    /// Judges and remembers a request, and says how to answer it.
    fn take_in(
        &mut self,
        method: &str,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<WebhookBehaviour, Refused> {
        let refuse = |status, why: &str| Err(plain(status, "text/plain", why).into());
        let Some(endpoint) = self.endpoints.iter().find(|endpoint| endpoint.path == path).cloned() else {
            return refuse(StatusCode::NOT_FOUND, "no such endpoint");
        };
        if !endpoint.methods.iter().any(|allowed| allowed.eq_ignore_ascii_case(method)) {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
        }
        let signature = verify(&endpoint.secrets, &headers, &body, self.now.unwrap_or_else(unix_seconds));
        let has_required =
            endpoint.required_headers.iter().all(|(name, value)| header(&headers, name) == Some(value.as_str()));
        let id = header(&headers, "webhook-id").map(str::to_owned);
        let is_signed = matches!(signature, WebhookSignature::NotChecked | WebhookSignature::Verified);
        let is_duplicate = id.is_some()
            && self.deliveries.iter().any(|known| known.is_accepted && known.path == path && known.id == id);
        let answers_well = match &endpoint.behaviour {
            WebhookBehaviour::Answer(answer) => answer.code().is_success(),
            WebhookBehaviour::Slow(_) | WebhookBehaviour::Endless => true,
        };
        self.deliveries.push(WebhookDelivery {
            path: path.to_owned(),
            method: method.to_owned(),
            headers,
            body,
            id,
            signature,
            is_accepted: is_signed && has_required && answers_well && !is_duplicate,
            is_duplicate,
        });
        if !has_required {
            return refuse(StatusCode::FORBIDDEN, "a required header is missing");
        }
        if !is_signed {
            return refuse(StatusCode::UNAUTHORIZED, "the signature does not hold");
        }
        Ok(endpoint.behaviour)
    }
}

/// Checks a Standard Webhooks signature at the time `now`.
fn verify(secrets: &[String], headers: &HeaderMap, body: &Bytes, now: u64) -> WebhookSignature {
    if secrets.is_empty() {
        return WebhookSignature::NotChecked;
    }
    let (Some(id), Some(timestamp), Some(signatures)) =
        (header(headers, "webhook-id"), header(headers, "webhook-timestamp"), header(headers, "webhook-signature"))
    else {
        return WebhookSignature::Missing;
    };
    if !timestamp.parse::<u64>().is_ok_and(|timestamp| timestamp.abs_diff(now) <= TOLERANCE) {
        return WebhookSignature::BadTimestamp;
    }
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    let given = signatures.split(' ').filter_map(|entry| entry.strip_prefix("v1,"));
    let given: Vec<Vec<u8>> = given.filter_map(|encoded| STANDARD.decode(encoded).ok()).collect();
    let fits = secrets.iter().filter_map(|secret| key(secret)).any(|key| {
        // `hmac::verify` compares in constant time.
        given.iter().any(|signature| hmac::verify(&key, &signed, signature).is_ok())
    });
    if fits { WebhookSignature::Verified } else { WebhookSignature::Mismatch }
}

/// The signing key in a secret: the decoded bytes, never the text.
fn key(secret: &str) -> Option<hmac::Key> {
    let bytes = STANDARD.decode(secret.strip_prefix("whsec_").unwrap_or(secret)).ok()?;
    SECRET_BYTES.contains(&bytes.len()).then(|| hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}
