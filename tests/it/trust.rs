//! Whom TLS trusts: the public roots, which no test here can stand for, or whom the operator's file names and nobody else.

use std::path::PathBuf;

use kit::TestApp;
use kit::tls::Tls;
use shared::Platform;
use shared::clock::Ids;
use shared::config::{AwsConfig, EgressConfig};
use shared::credentials::CredentialError;
use shared::egress::{Allowed, Egress, EgressError};
use url::Url;

struct Stage {
    app: TestApp,
    tls: Tls,
    another: Tls,
}

impl Stage {
    async fn start() -> Self {
        let app = TestApp::start().await;
        let (tls, another) = (Tls::start(app.proxy.address()).await, Tls::start(app.proxy.address()).await);
        Self { tls: tls.unwrap(), another: another.unwrap(), app }
    }

    fn url(&self) -> Url {
        Url::parse(&self.tls.url()).unwrap()
    }

    /// The stack's own secret, over TLS.
    async fn secret(&self, certificates: Option<PathBuf>) -> Result<(), CredentialError> {
        let mut aws = AwsConfig::emulated(self.app.proxy.address(), self.app.proxy.address());
        aws.secrets_manager_endpoint = Some(self.url());
        aws.certificates = certificates;
        let platform = Platform::with_egress(&aws, Egress::new(EgressConfig::default()), Ids::default());
        platform.credentials.own(Platform::SIGNING_KEY).await.map(drop)
    }

    /// A provider, over TLS.
    async fn provider(&self, certificates: Option<PathBuf>) -> Result<(), EgressError> {
        let allow = Allowed::parse(&self.tls.host()).into_iter().collect();
        let egress = Egress::new(EgressConfig { allow, certificates, ..EgressConfig::default() });
        egress.user_url(http::Method::GET, &self.url()).send().await.map(drop)
    }
}

fn file(tls: &Tls) -> Option<PathBuf> {
    Some(tls.trust().1.into())
}

#[tokio::test]
async fn aws_and_providers_are_trusted_by_the_operators_file() {
    let stage = Stage::start().await;
    stage.secret(file(&stage.tls)).await.unwrap();
    stage.provider(file(&stage.tls)).await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let stage = Stage::start().await;
    let missing = PathBuf::from("no-such-file.pem");
    for certificates in [None, file(&stage.another), Some(missing)] {
        let secret = stage.secret(certificates.clone()).await;
        assert!(matches!(secret, Err(CredentialError::Unavailable(_))), "{certificates:?}: {secret:?}");
        let provider = stage.provider(certificates.clone()).await;
        assert!(matches!(provider, Err(EgressError::Untrusted(_))), "{certificates:?}: {provider:?}");
    }
    assert_eq!(stage.app.proxy.calls().len(), 0, "nothing was sent to it");
}
