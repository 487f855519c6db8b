//! Whom TLS trusts, and what both HTTP clients have in common.
//!
//! The roots are Mozilla's, compiled in. Reading the image's own bundle means decoding some 140 certificates in each cold
//! start, which was nine tenths of all that a function did before its first request. Who inspects traffic, or signs
//! certificates, sets `SSL_CERT_FILE`: the file's certificates are trusted then, and no others.

use std::path::Path;
use std::sync::Arc;

use reqwest::ClientBuilder;
use reqwest::redirect::Policy;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// A client that goes nowhere but where it is sent: no redirects, no proxies, no referer.
pub(super) fn client(certificates: Option<&Path>) -> ClientBuilder {
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls(certificates));
    client.redirect(Policy::none()).no_proxy().referer(false)
}

/// The client.
#[expect(clippy::expect_used, reason = "the settings are fixed; only a broken TLS build fails here")]
pub(super) fn built(client: ClientBuilder) -> reqwest::Client {
    client.build().expect("the HTTP client could not be built")
}

/// TLS 1.2 and 1.3, with hybrid post-quantum key exchange first.
#[expect(clippy::expect_used, reason = "the provider is compiled in and speaks both versions")]
fn tls(certificates: Option<&Path>) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("a provider without TLS")
        .with_root_certificates(roots(certificates))
        .with_no_client_auth()
}

fn roots(certificates: Option<&Path>) -> RootCertStore {
    let Some(file) = certificates else { return webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect() };
    let mut roots = RootCertStore::empty();
    let read = CertificateDer::pem_file_iter(file).map(|found| found.flatten().collect());
    let found: Vec<_> = read
        .inspect_err(|error| tracing::error!(file = %file.display(), %error, "SSL_CERT_FILE cannot be read"))
        .unwrap_or_default();
    let (trusted, refused) = roots.add_parsable_certificates(found);
    if trusted == 0 || refused > 0 {
        tracing::error!(file = %file.display(), trusted, refused, "SSL_CERT_FILE has certificates that cannot be used, or none");
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_roots_are_trusted_unless_a_file_says_whom() {
        assert!(roots(None).len() > 100);
        let folder = std::env::temp_dir();
        assert!(
            roots(Some(&folder.join("causeway-no-such-file.pem"))).is_empty(),
            "a file that is missing widens nothing"
        );
    }
}
