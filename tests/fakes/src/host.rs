//! One listening socket of a fake: it records every request, applies the fault switch, and only then lets the provider
//! behave.
//!
//! The connection itself must be under control: "closed without an answer" is no HTTP answer that a handler could
//! give. So each accepted stream is wrapped in a [`Connection`] that can be severed: from then on reads and writes fail,
//! the HTTP server drops the stream, and the peer sees the connection end. The same switch closes every connection when
//! the last handle of the fake is dropped, together with the task that accepts new ones.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::serve::{IncomingStream, Listener};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::AbortHandle;

use crate::fault::{Fault, Faults};
use crate::wire::lock;

/// Bodies above this are refused with 413.
const LARGEST_BODY: usize = 4 * 1024 * 1024;

/// The newest requests that are remembered. A sandbox runs for days.
const REMEMBERED_REQUESTS: usize = 5_000;

/// A request as it came in, kept also when a fault hit it.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The method, upper case.
    pub method: String,
    /// The path, still percent-encoded.
    pub path: String,
    /// The query without its question mark.
    pub query: Option<String>,
    /// All headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Recorded {
    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        crate::wire::header(&self.headers, name)
    }

    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// One listening socket of a fake. Clones share it; the socket closes when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Host {
    address: SocketAddr,
    faults: Faults,
    traffic: Traffic,
    running: Arc<Running>,
}

impl Host {
    /// Binds a free port of 127.0.0.1 and serves `router` on it.
    pub(crate) async fn start(router: Router) -> io::Result<Self> {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = tcp.local_addr()?;
        let (faults, traffic, open) = (Faults::default(), Traffic::default(), OpenConnections::default());
        let gate = Gate { faults: faults.clone(), traffic: traffic.clone() };
        let router = router.layer(from_fn_with_state(gate, pass));
        let listener = SeverableListener { tcp, open: open.clone() };
        let service = router.into_make_service_with_connect_info::<Connection>();
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, service).await {
                tracing::error!(%error, "a fake stopped");
            }
        });
        let running = Arc::new(Running { accepting: task.abort_handle(), open });
        Ok(Self { address, faults, traffic, running })
    }

    /// Stops listening and ends every connection; for as long as what is returned is kept, the port is nobody else's and
    /// connecting to it is refused.
    ///
    /// # Errors
    /// When somebody else took the port first.
    pub async fn close(&self) -> io::Result<TcpSocket> {
        self.running.end();
        let mut tries = 0;
        loop {
            let held = TcpSocket::new_v4()?;
            held.set_reuseaddr(true)?;
            match held.bind(self.address) {
                Ok(()) => return Ok(held),
                // The task that listens has yet to hear of it.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < 1_000 => tries += 1,
                Err(error) => return Err(error),
            }
            tokio::task::yield_now().await;
        }
    }

    /// The origin that stands for the provider's, such as `http://127.0.0.1:40123`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The fault switch of this socket.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The newest requests, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        lock(&self.traffic.0).iter().cloned().collect()
    }

    /// How many of the remembered requests had a path that contains `path_part`.
    #[must_use]
    pub fn calls(&self, path_part: &str) -> usize {
        lock(&self.traffic.0).iter().filter(|request| request.path.contains(path_part)).count()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        lock(&self.traffic.0).clear();
    }
}

#[derive(Clone, Debug, Default)]
struct Traffic(Arc<Mutex<VecDeque<Recorded>>>);

impl Traffic {
    fn record(&self, request: Recorded) {
        let mut requests = lock(&self.0);
        if requests.len() == REMEMBERED_REQUESTS {
            requests.pop_front();
        }
        requests.push_back(request);
    }
}

/// What every request passes before the provider sees it.
#[derive(Clone)]
struct Gate {
    faults: Faults,
    traffic: Traffic,
}

async fn pass(
    State(gate): State<Gate>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let path = parts.uri.path().to_owned();
    gate.traffic.record(Recorded {
        method: parts.method.to_string(),
        path: path.clone(),
        query: parts.uri.query().map(str::to_owned),
        headers: parts.headers.clone(),
        body: body.clone(),
    });
    let request = Request::from_parts(parts, Body::from(body));
    match gate.faults.take(&path) {
        None => next.run(request).await,
        Some(Fault::Answer(answer)) => answer.into_response(),
        Some(Fault::Hang) => {
            gate.faults.hang().await;
            next.run(request).await
        }
        Some(Fault::Delay(time)) => {
            tokio::time::sleep(time).await;
            next.run(request).await
        }
        Some(Fault::Close) => connection.closed(),
        Some(Fault::LoseAnswer) => {
            next.run(request).await;
            connection.closed()
        }
    }
}

/// Ends the fake when its last handle goes.
#[derive(Debug)]
struct Running {
    accepting: AbortHandle,
    open: OpenConnections,
}

impl Running {
    fn end(&self) {
        self.accepting.abort();
        self.open.sever();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// The connections that may still be open.
#[derive(Clone, Debug, Default)]
struct OpenConnections(Arc<Mutex<Vec<Weak<Cut>>>>);

impl OpenConnections {
    fn add(&self, connection: &Connection) {
        let mut open = lock(&self.0);
        open.retain(|cut| cut.strong_count() > 0);
        open.push(Arc::downgrade(&connection.0));
    }

    fn sever(&self) {
        for cut in lock(&self.0).drain(..).filter_map(|cut| cut.upgrade()) {
            Connection(cut).sever();
        }
    }
}

/// A connection that can be ended from outside the HTTP server that owns it.
#[derive(Clone, Debug, Default)]
struct Connection(Arc<Cut>);

#[derive(Debug, Default)]
struct Cut {
    severed: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Connection {
    fn sever(&self) {
        self.0.severed.store(true, Ordering::SeqCst);
        if let Some(waker) = lock(&self.0.waker).take() {
            waker.wake();
        }
    }

    /// Severs the connection; the response is never written.
    fn closed(&self) -> Response {
        self.sever();
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }

    /// Whether to go on. Keeps the waker of the task that owns the stream, to wake it when the connection is severed.
    fn check(&self, context: &Context<'_>) -> io::Result<()> {
        // The waker first: a sever between the two steps must either be seen here or wake the task.
        lock(&self.0.waker).replace(context.waker().clone());
        if self.0.severed.load(Ordering::SeqCst) { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

impl Connected<IncomingStream<'_, SeverableListener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, SeverableListener>) -> Self {
        stream.io().connection.clone()
    }
}

struct SeverableListener {
    tcp: TcpListener,
    open: OpenConnections,
}

impl Listener for SeverableListener {
    type Io = SeverableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (tcp, peer) = Listener::accept(&mut self.tcp).await;
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::debug!(%error, "a fake's connection keeps its delay");
        }
        let connection = Connection::default();
        self.open.add(&connection);
        (SeverableStream { tcp, connection }, peer)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

struct SeverableStream {
    tcp: TcpStream,
    connection: Connection,
}

impl AsyncRead for SeverableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Err(error) = self.connection.check(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.tcp).poll_read(context, buffer)
    }
}

impl AsyncWrite for SeverableStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Err(error) = self.connection.check(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Err(error) = self.connection.check(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
