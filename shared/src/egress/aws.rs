//! What the AWS SDK sends its requests with: the same HTTP client and the same trust as everything else.
//!
//! The SDK brings a client of its own. A second one would be a fifth of a function's code and half of its cold start. What
//! the SDK decides stays the SDK's: signing, retries, and how long one try and all of them may take.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::{Headers, StatusCode};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::ReconnectMode;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use http_body_util::Full;
use url::Url;

use super::trust;

/// Less than one try may take, so that a connection that does not come leaves time for another.
const CONNECT: Duration = Duration::from_millis(1_500);

/// What the SDK does with a connection after a failure: it cannot end one that it does not know, and would say so each time.
pub const RECONNECT: ReconnectMode = ReconnectMode::ReuseAllConnections;

/// A client for the SDK that trusts the certificates of `certificates`, a PEM file, or else the public roots.
#[must_use]
pub fn client(certificates: Option<PathBuf>) -> SharedHttpClient {
    SharedHttpClient::new(Client {
        connector: SharedHttpConnector::new(Connector { certificates, client: OnceLock::new() }),
    })
}

#[derive(Debug)]
struct Client {
    connector: SharedHttpConnector,
}

impl HttpClient for Client {
    /// One for all: the settings differ between operations only in times, which the SDK keeps as well.
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        self.connector.clone()
    }
}

/// Builds its client for its first request, so that a command that asks AWS nothing reads no certificates.
#[derive(Debug)]
struct Connector {
    certificates: Option<PathBuf>,
    client: OnceLock<reqwest::Client>,
}

impl Connector {
    fn client(&self) -> &reqwest::Client {
        self.client.get_or_init(|| trust::built(trust::client(self.certificates.as_deref()).connect_timeout(CONNECT)))
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.client().clone();
        HttpConnectorFuture::new(async move {
            let request = translate(&request)?;
            let answer = client.execute(request).await.map_err(classify)?;
            let status = StatusCode::from(answer.status());
            let headers = answer.headers().clone();
            let body = answer.bytes().await.map_err(classify)?;
            let mut response = HttpResponse::new(status, opaque(body));
            *response.headers_mut() =
                Headers::try_from(headers).map_err(|error| ConnectorError::other(error.into(), None))?;
            Ok(response)
        })
    }
}

/// The SDK prints a body that it knows to be in memory where the log is at `trace`, secrets and all.
fn opaque(body: Bytes) -> SdkBody {
    SdkBody::from_body_1_x(Full::new(body))
}

fn translate(request: &HttpRequest) -> Result<reqwest::Request, ConnectorError> {
    let unusable = |error: Box<dyn std::error::Error + Send + Sync>| ConnectorError::user(error);
    let method = Method::from_bytes(request.method().as_bytes()).map_err(|error| unusable(error.into()))?;
    let url = Url::parse(request.uri()).map_err(|error| unusable(error.into()))?;
    let mut translated = reqwest::Request::new(method, url);
    for (name, value) in request.headers() {
        let name = HeaderName::try_from(name).map_err(|error| unusable(error.into()))?;
        let value = HeaderValue::try_from(value).map_err(|error| unusable(error.into()))?;
        translated.headers_mut().append(name, value);
    }
    let body = request.body().bytes().ok_or_else(|| unusable("the body is a stream".into()))?;
    *translated.body_mut() = Some(body.to_vec().into());
    Ok(translated)
}

/// As the SDK wants to know it: whether another try may help.
fn classify(error: reqwest::Error) -> ConnectorError {
    if error.is_timeout() {
        ConnectorError::timeout(error.into())
    } else if error.is_builder() {
        ConnectorError::user(error.into())
    } else {
        ConnectorError::io(error.into())
    }
}
