//! Requests and answers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Method};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use url::Url;

use super::guard::{self, Leave};
use super::{EgressError, Upstream, trust};
use crate::config::{EgressConfig, OAuthClient, OidcConfig};
use crate::deadline;
use crate::telemetry::{self, metrics};

const CONNECT: Duration = Duration::from_secs(3);
const TOTAL: Duration = Duration::from_secs(8);
/// How much of an answer is read unless a request asks for more.
const BODY: usize = 64 * 1024;
const PAUSE_BEFORE_SECOND_TRY: Duration = Duration::from_millis(150);
/// What an address that a user gave is called in logs and metrics.
const USER_URL: &str = "USER_URL";
/// Some providers refuse requests that do not say who asks.
const USER_AGENT: &str = concat!("causeway/", env!("CARGO_PKG_VERSION"));

/// The way out. Cheap to clone; opens no connection until it is first used.
#[derive(Debug, Clone)]
pub struct Egress {
    inner: Arc<Inner>,
    hidden: Arc<[SecretString]>,
}

#[derive(Debug)]
struct Inner {
    config: EgressConfig,
    resolver: Arc<dyn Names>,
    guarded: OnceLock<reqwest::Client>,
    open: OnceLock<reqwest::Client>,
}

/// Looks names up. A seam, so that a test can make a name resolve to anything, and differently each time.
#[async_trait::async_trait]
pub trait Names: std::fmt::Debug + Send + Sync {
    /// The addresses of `name`.
    async fn resolve(&self, name: &str) -> std::io::Result<Vec<SocketAddr>>;
}

#[derive(Debug)]
struct SystemNames;

#[async_trait::async_trait]
impl Names for SystemNames {
    async fn resolve(&self, name: &str) -> std::io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.collect())
    }
}

/// Resolves a name and hands on only addresses that are public.
#[derive(Debug)]
struct GuardedNames(Arc<dyn Names>);

/// Carried through the client's error chain so that a refusal can be told from a failed look-up.
#[derive(Debug, thiserror::Error)]
#[error("no public address")]
struct NotPublic;

#[derive(Debug, thiserror::Error)]
#[error("the name could not be resolved")]
struct NotResolved;

impl Resolve for GuardedNames {
    fn resolve(&self, name: Name) -> Resolving {
        let names = Arc::clone(&self.0);
        Box::pin(async move {
            let all = names.resolve(name.as_str()).await.map_err(|_| NotResolved)?;
            if all.is_empty() {
                return Err(NotResolved.into());
            }
            // One private address among public ones is refused whole: a mixed answer is an attack or a mistake.
            if all.iter().any(|address| !guard::is_public(address.ip())) {
                return Err(NotPublic.into());
            }
            Ok(Box::new(all.into_iter()) as Addrs)
        })
    }
}

#[derive(Debug)]
struct OpenNames(Arc<dyn Names>);

impl Resolve for OpenNames {
    fn resolve(&self, name: Name) -> Resolving {
        let names = Arc::clone(&self.0);
        Box::pin(async move {
            let all = names.resolve(name.as_str()).await.map_err(|_| NotResolved)?;
            Ok(Box::new(all.into_iter()) as Addrs)
        })
    }
}

impl Egress {
    /// A way out under this configuration.
    #[must_use]
    pub fn new(config: EgressConfig) -> Self {
        Self::with_names(config, Arc::new(SystemNames))
    }

    /// A way out that looks names up with `resolver`.
    #[must_use]
    pub fn with_names(config: EgressConfig, resolver: Arc<dyn Names>) -> Self {
        let inner = Inner { config, resolver, guarded: OnceLock::new(), open: OnceLock::new() };
        Self { inner: Arc::new(inner), hidden: Arc::default() }
    }

    /// The same way out, with these texts struck out of every answer: a provider that repeats a credential in its
    /// objection does not get it into a message, a log or the table.
    #[must_use]
    pub fn hiding(&self, secrets: Vec<SecretString>) -> Self {
        Self { inner: Arc::clone(&self.inner), hidden: secrets.into() }
    }

    /// The base URL in force for `upstream`.
    #[must_use]
    pub fn base(&self, upstream: Upstream) -> String {
        let overridden =
            self.inner.config.endpoints.get(&upstream).map(|url| url.as_str().trim_end_matches('/').to_owned());
        overridden.unwrap_or_else(|| upstream.default_url().to_owned())
    }

    /// The operator's own key with `upstream`, if the environment holds one.
    #[must_use]
    pub fn operator_key(&self, upstream: Upstream) -> Option<SecretString> {
        self.inner.config.keys.get(&upstream).cloned()
    }

    /// The operator's own OAuth client with a provider, if the environment holds one.
    #[must_use]
    pub fn oauth_client(&self, provider: &str) -> Option<OAuthClient> {
        self.inner.config.oauth.get(provider).cloned()
    }

    /// The origins that the operator lets browsers be sent to.
    #[must_use]
    pub fn redirect_origins(&self) -> &[String] {
        &self.inner.config.redirect_origins
    }

    /// The vaults group's base URL as browsers and platforms know it, if the operator says.
    #[must_use]
    pub fn public_url_vaults(&self) -> Option<&str> {
        self.inner.config.public_url_vaults.as_deref()
    }

    /// The operator's own issuer of tokens, if the environment names one.
    #[must_use]
    pub fn oidc(&self) -> Option<&OidcConfig> {
        self.inner.config.oidc.as_ref()
    }

    /// A request to a provider, by its documented path (with a leading slash).
    pub fn upstream(&self, method: Method, upstream: Upstream, path: &str) -> Outgoing {
        let url = Url::parse(&format!("{}{path}", self.base(upstream)));
        let target =
            url.map(|url| (url, self.client_for(upstream))).map_err(|_| EgressError::Unusable("it is malformed"));
        Outgoing::new(method, upstream.name(), target, Arc::clone(&self.hidden))
    }

    /// A request to an address that a user gave, if the guard lets it. It goes there, even if the address is an upstream's
    /// own: where the operator puts an upstream is no place for requests of a user's making.
    pub fn user_url(&self, method: Method, url: &Url) -> Outgoing {
        let target = guard::judge(url, &self.inner.config.allow).map(|leave| {
            let client = match leave {
                Leave::Allowed => self.open(),
                Leave::IfPublic => self.guarded(),
            };
            (url.clone(), client)
        });
        Outgoing::new(method, USER_URL, target, Arc::clone(&self.hidden))
    }

    /// Judges an address that a user wants to save: what it says, and what its name resolves to now. A name that cannot
    /// be resolved now passes; it is judged again whenever it is connected to.
    ///
    /// # Errors
    /// [`EgressError::Forbidden`] or [`EgressError::Unusable`].
    pub async fn admit(&self, url: &Url) -> Result<(), EgressError> {
        if guard::judge(url, &self.inner.config.allow)? == Leave::Allowed {
            return Ok(());
        }
        let Some(name) = url.domain() else { return Ok(()) };
        let lookup = tokio::time::timeout(deadline::at_most(CONNECT), self.inner.resolver.resolve(name)).await;
        let Ok(Ok(addresses)) = lookup else { return Ok(()) };
        if addresses.iter().any(|address| !guard::is_public(address.ip())) {
            return Err(EgressError::Forbidden);
        }
        Ok(())
    }

    /// An upstream at its own address is as public as any; an overridden one is wherever the operator says.
    fn client_for(&self, upstream: Upstream) -> reqwest::Client {
        if self.inner.config.endpoints.contains_key(&upstream) { self.open() } else { self.guarded() }
    }

    fn guarded(&self) -> reqwest::Client {
        self.inner.guarded.get_or_init(|| self.client(GuardedNames(Arc::clone(&self.inner.resolver)))).clone()
    }

    fn open(&self) -> reqwest::Client {
        self.inner.open.get_or_init(|| self.client(OpenNames(Arc::clone(&self.inner.resolver)))).clone()
    }

    fn client(&self, names: impl Resolve + 'static) -> reqwest::Client {
        let client = trust::client(self.inner.config.certificates.as_deref());
        let client = client.user_agent(USER_AGENT).connect_timeout(CONNECT).dns_resolver(Arc::new(names));
        trust::built(client)
    }
}

/// A request that is being put together.
#[must_use = "nothing is sent until `send`"]
pub struct Outgoing {
    upstream: &'static str,
    target: Result<(Url, reqwest::Client), EgressError>,
    method: Method,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Option<Bytes>,
    repeatable: bool,
    patience: Duration,
    read_at_most: usize,
    problem: Option<&'static str>,
    hidden: Arc<[SecretString]>,
}

/// The URL may be the credential, and the body may hold one, so neither is printed.
impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing").field("method", &self.method).finish_non_exhaustive()
    }
}

impl Outgoing {
    fn new(
        method: Method,
        upstream: &'static str,
        target: Result<(Url, reqwest::Client), EgressError>,
        hidden: Arc<[SecretString]>,
    ) -> Self {
        let repeatable = method.is_safe();
        Self {
            upstream,
            target,
            method,
            headers: Vec::new(),
            body: None,
            repeatable,
            patience: TOTAL,
            read_at_most: BODY,
            problem: None,
            hidden,
        }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => self.headers.push((name, value)),
            _ => self.problem = Some("a header has characters that a header cannot have"),
        }
        self
    }

    /// Adds a header whose value is secret.
    pub fn secret_header(mut self, name: &str, value: &SecretString) -> Self {
        match (HeaderName::try_from(name), HeaderValue::try_from(value.expose_secret())) {
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(true);
                self.headers.push((name, value));
            }
            _ => self.problem = Some("a credential has characters that a header cannot have"),
        }
        self
    }

    /// Adds `Authorization: Bearer`.
    pub fn bearer(self, token: &SecretString) -> Self {
        self.secret_header("authorization", &SecretString::from(format!("Bearer {}", token.expose_secret())))
    }

    /// Adds query parameters.
    pub fn query(mut self, pairs: &[(&str, &str)]) -> Self {
        if let Ok((url, _)) = &mut self.target {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        self
    }

    /// Sends this as JSON.
    pub fn json<T: Serialize + ?Sized>(self, body: &T) -> Self {
        match serde_json::to_vec(body) {
            Ok(bytes) => self.body("application/json", bytes.into()),
            Err(_) => Self { problem: Some("the body could not be written as JSON"), ..self },
        }
    }

    /// Sends these bytes.
    pub fn body(mut self, content_type: &'static str, body: Bytes) -> Self {
        if !self.headers.iter().any(|(name, _)| name == http::header::CONTENT_TYPE) {
            self.headers.push((http::header::CONTENT_TYPE, HeaderValue::from_static(content_type)));
        }
        self.body = Some(body);
        self
    }

    /// Says that the request may be sent twice although its method is not safe.
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Waits so long in all instead of 8 s.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Reads up to so many bytes of the answer instead of 64 KiB.
    pub fn read_at_most(mut self, bytes: usize) -> Self {
        self.read_at_most = bytes;
        self
    }

    /// Sends it and reads the answer, whatever its status.
    ///
    /// # Errors
    /// [`EgressError`] when there is no complete answer.
    pub async fn send(self) -> Result<Answer, EgressError> {
        let (upstream, method, started) = (self.upstream, self.method.clone(), Instant::now());
        let attempts = AtomicU32::new(0);
        let outcome = self.try_to_send(started, &attempts).await;
        let latency = started.elapsed();
        let (status, error) = match &outcome {
            Ok(answer) => (Some(answer.status), None),
            Err(error) => (None, Some(error)),
        };
        if !error.is_some_and(EgressError::is_refusal) {
            metrics::called(upstream, status, latency);
        }
        tracing::debug!(
            upstream,
            method = method.as_str(),
            status,
            error = error.map(EgressError::kind),
            latency_ms = telemetry::milliseconds(latency),
            attempts = attempts.into_inner(),
            "called"
        );
        outcome
    }

    async fn try_to_send(self, started: Instant, attempts: &AtomicU32) -> Result<Answer, EgressError> {
        if let Some(problem) = self.problem {
            return Err(EgressError::Unusable(problem));
        }
        let (url, client) = self.target?;
        let allowed = deadline::at_most(self.patience);
        let parts = Parts {
            url,
            client,
            method: self.method,
            headers: self.headers.into_iter().collect::<Vec<_>>(),
            body: self.body,
            read_at_most: self.read_at_most,
            hidden: self.hidden,
        };
        let attempt = || {
            attempts.fetch_add(1, Ordering::Relaxed);
            parts.attempt(started)
        };
        let tries = async {
            match attempt().await {
                Err(error) if self.repeatable && error.is_passing() => {
                    tokio::time::sleep(PAUSE_BEFORE_SECOND_TRY).await;
                    attempt().await
                }
                outcome => outcome,
            }
        };
        tokio::time::timeout(allowed, tries).await.unwrap_or_else(|_| Err(EgressError::TimedOut { after: allowed }))
    }
}

struct Parts {
    url: Url,
    client: reqwest::Client,
    method: Method,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Option<Bytes>,
    read_at_most: usize,
    hidden: Arc<[SecretString]>,
}

impl Parts {
    async fn attempt(&self, started: Instant) -> Result<Answer, EgressError> {
        let mut request = self.client.request(self.method.clone(), self.url.clone());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(body) = &self.body {
            request = request.body(body.clone());
        }
        let classify = |error: reqwest::Error| classify(error.without_url(), started.elapsed());
        let mut response = request.send().await.map_err(classify)?;
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .filter_map(|(name, value)| {
                let value = value.to_str().ok()?;
                Some((name.as_str().to_owned(), struck_out(value, &self.hidden).unwrap_or_else(|| value.to_owned())))
            })
            .collect();
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(classify)? {
            if body.len() + chunk.len() > self.read_at_most {
                return Err(EgressError::TooLarge { limit: self.read_at_most });
            }
            body.extend_from_slice(&chunk);
        }
        let body = match struck_out(&String::from_utf8_lossy(&body), &self.hidden) {
            Some(body) => body.into(),
            None => body.freeze(),
        };
        Ok(Answer { status, headers, body, latency: started.elapsed() })
    }
}

/// `text` without what is to be hidden; `None` if nothing of it is there.
fn struck_out(text: &str, hidden: &[SecretString]) -> Option<String> {
    hidden.iter().map(ExposeSecret::expose_secret).filter(|secret| !secret.is_empty()).fold(None, |struck, secret| {
        let text = struck.as_deref().unwrap_or(text);
        if text.contains(secret) { Some(text.replace(secret, "[redacted]")) } else { struck }
    })
}

/// Tells from the client's chain of causes what happened. The URL has been taken out before.
fn classify(error: reqwest::Error, after: Duration) -> EgressError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    let (mut forbidden, mut unresolved, mut untrusted) = (false, false, false);
    while let Some(current) = cause {
        forbidden |= current.is::<NotPublic>();
        unresolved |= current.is::<NotResolved>();
        untrusted |= is_tls(current);
        cause = current.source();
    }
    if forbidden {
        EgressError::Forbidden
    } else if unresolved {
        EgressError::Unresolved
    } else if error.is_connect() {
        if untrusted { EgressError::Untrusted(error) } else { EgressError::Unreachable(error) }
    } else if error.is_timeout() {
        EgressError::TimedOut { after }
    } else {
        EgressError::Interrupted(error)
    }
}

/// The TLS library's errors arrive wrapped in an I/O error of kind `InvalidData`, and that in another one, which names the
/// TLS library's error as its source and leaves out the one between.
fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut current = error.downcast_ref::<std::io::Error>();
    while let Some(error) = current {
        if error.kind() == std::io::ErrorKind::InvalidData {
            return true;
        }
        current = error.get_ref().and_then(|inner| inner.downcast_ref());
    }
    false
}

/// An answer, read whole.
#[derive(Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    headers: BTreeMap<String, String>,
    body: Bytes,
    /// From the first attempt's start to the answer's end.
    pub latency: Duration,
}

/// A provider's answer may echo the credential, so it is never printed.
impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

impl Answer {
    /// True for 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A header's value; names in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The body as JSON, if it is that.
    #[must_use]
    pub fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The body as text, malformed characters replaced.
    #[must_use]
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// `Retry-After` in seconds, if it is sent as such.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds: f64 = self.header("retry-after")?.trim().parse().ok()?;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Allowed;
    use super::*;

    /// Knows one name, or none.
    #[derive(Debug)]
    struct Fixed(Option<SocketAddr>);

    #[async_trait::async_trait]
    impl Names for Fixed {
        async fn resolve(&self, _name: &str) -> std::io::Result<Vec<SocketAddr>> {
            self.0.map(|address| vec![address]).ok_or_else(|| std::io::Error::other("no such name"))
        }
    }

    async fn failure(url: &str, allow: Vec<Allowed>, names: Fixed) -> EgressError {
        let egress = Egress::with_names(EgressConfig { allow, ..EgressConfig::default() }, Arc::new(names));
        egress.user_url(Method::GET, &Url::parse(url).unwrap()).send().await.unwrap_err()
    }

    #[tokio::test]
    async fn failures_on_the_way_are_told_apart() {
        let unresolved = failure("https://example.com/", Vec::new(), Fixed(None)).await;
        assert!(matches!(unresolved, EgressError::Unresolved), "{unresolved:?}");
        let private = Fixed(Some(([10, 0, 0, 1], 0).into()));
        let forbidden = failure("https://example.com/", Vec::new(), private).await;
        assert!(matches!(forbidden, EgressError::Forbidden), "{forbidden:?}");

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let allow = || vec![Allowed::parse(&address.to_string()).unwrap()];
        let plain = tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            socket.writable().await.unwrap();
            socket.try_write(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
            socket
        });
        let untrusted = failure(&format!("https://{address}/"), allow(), Fixed(None)).await;
        assert!(matches!(untrusted, EgressError::Untrusted(_)), "{untrusted:?}");
        drop(plain.await);
        let unreachable = failure(&format!("https://{address}/"), allow(), Fixed(None)).await;
        assert!(matches!(unreachable, EgressError::Unreachable(_)), "{unreachable:?}");
    }
}
