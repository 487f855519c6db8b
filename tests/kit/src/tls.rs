//! TLS in front of something that has none, with a certificate that a function's binary is told to trust.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// Ends TLS on a free port of `localhost`. It stops when it is dropped.
#[derive(Debug)]
pub struct Tls {
    port: u16,
    folder: tempfile::TempDir,
    accepting: JoinHandle<()>,
}

impl Tls {
    /// Starts one in front of `upstream`.
    ///
    /// # Errors
    /// When the port or the certificate cannot be had.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).map_err(io::Error::other)?;
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("ca.pem"), certified.cert.pem())?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let config = config.with_safe_default_protocol_versions().map_err(io::Error::other)?.with_no_client_auth();
        let config = config.with_single_cert(vec![certified.cert.der().clone()], key).map_err(io::Error::other)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let accepting = tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), upstream));
        Ok(Self { port, folder, accepting })
    }

    /// Its address as `host:port`, with the name that the certificate is for.
    #[must_use]
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// Its origin.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.host())
    }

    /// The variable by which a process trusts this certificate and no other.
    #[must_use]
    pub fn trust(&self) -> (String, String) {
        ("SSL_CERT_FILE".into(), self.folder.path().join("ca.pem").display().to_string())
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, upstream: SocketAddr) {
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let (Ok(mut inside), Ok(mut outside)) = (TcpStream::connect(upstream).await, acceptor.accept(stream).await)
            else {
                return;
            };
            // Nobody is to wait for an acknowledgement.
            let _ = (inside.set_nodelay(true), outside.get_ref().0.set_nodelay(true));
            let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
        });
    }
}
