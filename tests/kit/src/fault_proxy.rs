//! A proxy that stands in front of the embedded DynamoDB or Secrets Manager and makes chosen calls go wrong.
//!
//! The AWS SDK is pointed at [`FaultProxy::url`]; every request is read whole, written to the log and then delivered to
//! the upstream, unless a fault that was [injected](FaultProxy::inject) strikes it. Both services speak awsJson over
//! HTTP/1.1, where the `X-Amz-Target` header names the operation, so a fault is aimed by operation, by what the
//! request's body says, or by its place in the order of calls:
//!
//! ```no_run
//! # async fn example(dynamodb: std::net::SocketAddr) -> std::io::Result<()> {
//! use kit::fault_proxy::{Fault, FaultProxy};
//!
//! let proxy = FaultProxy::start(dynamodb).await?;
//! proxy.inject(Fault::LoseAnswer).on("PutItem").nth(2); // the second PutItem from now, once
//! proxy.inject(Fault::Throttle).on("Query").always();
//! proxy.inject(Fault::Refuse).at_step(3).always(); // from the third call on nothing arrives any more
//! # Ok(())
//! # }
//! ```
//!
//! One proxy may serve both services ([`FaultProxy::forward_service_to`]): then a step, and the log's order, run through
//! the calls to either.
//!
//! The SDK repeats calls by itself, and the proxy counts every attempt: a fault that strikes once is often healed before
//! the code under test sees it. [`Call::attempt`] tells repetitions from new calls.
//!
//! To price what the code under test does, the proxy asks DynamoDB for the consumed capacity of every call whose sender
//! did not, and takes it out of the answer again: the caller sees what it would see without the proxy. Request and
//! answer are otherwise passed on as they are.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The connection is closed in good order, without a byte of an answer. The request is not delivered.
    Refuse,
    /// The request is held, and never delivered. When it is [released](Injection::release), or the proxy is dropped, the
    /// connection is closed.
    Stall,
    /// The request is held until it is [released](Injection::release), and then delivered and answered: for putting
    /// concurrent calls into an exact order. A caller who has given up by then changes nothing: it arrives late.
    Hold,
    /// The connection is cut by a TCP reset in the middle of the exchange. The request is not delivered.
    Reset,
    /// The service answers as it does to a caller above its rate: 400 with `ProvisionedThroughputExceededException`
    /// (DynamoDB) or `ThrottlingException` (Secrets Manager). The request is not delivered.
    Throttle,
    /// The service answers 500, with `InternalServerError` (DynamoDB) or `InternalServiceError` (Secrets Manager). The
    /// request is not delivered.
    ServerError,
    /// The request is delivered and completely answered, but the connection is closed instead of passing the answer on.
    LoseAnswer,
    /// This status and body are the answer. The request is not delivered.
    Status(StatusCode, String),
}

/// The service that a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Amazon DynamoDB.
    DynamoDb,
    /// AWS Secrets Manager.
    SecretsManager,
    /// A request without a target that the proxy knows. Its operation is its method and path.
    Other,
}

impl Service {
    /// The service and operation that a request's head names.
    fn of(head: &request::Parts) -> (Self, String) {
        let target = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        match target.and_then(|target| target.rsplit_once('.')) {
            Some((prefix, operation)) if prefix.starts_with("DynamoDB") => (Self::DynamoDb, operation.to_owned()),
            Some(("secretsmanager", operation)) => (Self::SecretsManager, operation.to_owned()),
            _ => (Self::Other, format!("{} {}", head.method, head.uri.path())),
        }
    }

    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::DynamoDb => "application/x-amz-json-1.0",
            Self::SecretsManager | Self::Other => "application/x-amz-json-1.1",
        })
    }

    fn throttled(self) -> Value {
        match self {
            Self::DynamoDb => json!({
                "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
                "message": "Throughput exceeded, says the fault proxy.",
            }),
            Self::SecretsManager | Self::Other => json!({
                "__type": "ThrottlingException",
                "message": "Rate exceeded, says the fault proxy.",
            }),
        }
    }

    fn failed(self) -> Value {
        match self {
            Self::DynamoDb => json!({
                "__type": "com.amazonaws.dynamodb.v20120810#InternalServerError",
                "message": "Internal error, says the fault proxy.",
            }),
            Self::SecretsManager | Self::Other => json!({
                "__type": "InternalServiceError",
                "Message": "Internal error, says the fault proxy.",
            }),
        }
    }
}

/// One request that reached the proxy, and what became of it.
#[derive(Debug, Clone)]
pub struct Call {
    /// The service it is for.
    pub service: Service,
    /// The operation, as in `PutItem`.
    pub operation: String,
    /// Which attempt of the SDK at one and the same call this is, counted from 1. A repetition has a higher number.
    pub attempt: u32,
    /// The X-Ray header that came with it.
    pub trace: Option<String>,
    /// The body as the caller sent it. A body that is not JSON is a string, an empty one is null.
    pub request: Value,
    /// The fault that struck it.
    pub fault: Option<Fault>,
    /// Whether the upstream received and answered it. The caller need not have seen the answer.
    pub delivered: bool,
    /// The answer of the upstream, or of the fault. None while there is none (yet).
    pub answer: Option<Answer>,
    /// What DynamoDB says the call consumed, one entry a table. Empty for failed calls, which it does not price.
    pub capacity: Vec<Capacity>,
}

impl Call {
    /// The capacity units that the call consumed in all tables and their indexes together.
    pub fn consumed(&self) -> f64 {
        self.capacity.iter().map(|capacity| capacity.units).sum()
    }

    /// The status of the answer.
    pub fn status(&self) -> Option<StatusCode> {
        self.answer.as_ref().map(|answer| answer.status)
    }
}

/// An answer in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The body. One that is not JSON is a string, an empty one is null.
    pub body: Value,
}

/// Capacity that a call consumed in one table, as DynamoDB's `ConsumedCapacity` reports it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Capacity {
    /// The table's name.
    #[serde(rename = "TableName")]
    pub table: String,
    /// Units consumed in the table and its indexes together.
    #[serde(rename = "CapacityUnits")]
    pub units: f64,
    /// Units consumed in each global secondary index, by its name.
    #[serde(rename = "GlobalSecondaryIndexes", default)]
    pub indexes: BTreeMap<String, IndexCapacity>,
}

/// Capacity that a call consumed in one index.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct IndexCapacity {
    /// Units consumed.
    #[serde(rename = "CapacityUnits")]
    pub units: f64,
}

/// The proxy. It stops, and closes every connection, when it is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: JoinHandle<()>,
}

impl FaultProxy {
    /// Starts a proxy for `upstream` on a free loopback port.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = State {
            upstreams: Upstreams::all(upstream),
            rules: Vec::new(),
            calls: BTreeMap::new(),
            aside: None,
            calls_aside: BTreeMap::new(),
            next: 0,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state) });
        let acceptor = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, acceptor })
    }

    /// The endpoint to give to the SDK, as in `http://127.0.0.1:4321`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Delivers to another upstream from the next call on, whatever the service. While nothing listens there, connections
    /// are closed without an answer.
    pub fn forward_to(&self, upstream: SocketAddr) {
        self.shared.lock().upstreams = Upstreams::all(upstream);
    }

    /// Delivers the calls to one service to an upstream of their own from the next call on.
    pub fn forward_service_to(&self, service: Service, upstream: SocketAddr) {
        *self.shared.lock().upstreams.of(service) = upstream;
    }

    /// Injects a fault. As it stands it strikes the next call, once; the returned [`Injection`] aims it.
    ///
    /// Where two faults would strike the same call, the one injected first does, and the call counts for both.
    pub fn inject(&self, fault: Fault) -> Injection {
        let (struck, gate) = (watch::Sender::new(0), watch::Sender::new(false));
        let mut state = self.shared.lock();
        let number = state.number();
        state.rules.push(Rule {
            number,
            fault,
            operations: Vec::new(),
            predicate: None,
            aside: false,
            counted: Counted::Matching,
            first: 1,
            times: Some(1),
            position: 0,
            struck: struck.clone(),
            gate: gate.clone(),
        });
        Injection { shared: Arc::clone(&self.shared), rule: number, struck, gate }
    }

    /// Removes all faults, and releases what they hold.
    pub fn clear(&self) {
        for rule in self.shared.lock().rules.drain(..) {
            rule.gate.send_replace(true);
        }
    }

    /// Every call since the start, or since [`forget_calls`](Self::forget_calls), in the order of their arrival. Calls
    /// under way are among them.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.lock().calls.values().cloned().collect()
    }

    /// The operations of [`calls`](Self::calls), in order.
    pub fn operations(&self) -> Vec<String> {
        self.shared.lock().calls.values().map(|call| call.operation.clone()).collect()
    }

    /// The capacity units that the logged calls consumed together.
    pub fn consumed(&self) -> f64 {
        self.shared.lock().calls.values().map(Call::consumed).sum()
    }

    /// Sets calls aside whose request's body satisfies the predicate: they have a log of their own, faults count them only
    /// where they are aimed at them ([`Injection::on_aside`]), and they are no steps. For what is done around every
    /// operation and is tested by itself.
    pub fn set_aside(&self, predicate: impl Fn(&Value) -> bool + Send + Sync + 'static) {
        self.shared.lock().aside = Some(Box::new(predicate));
    }

    /// Every call that was set aside since the start, or since [`forget_calls`](Self::forget_calls).
    pub fn calls_aside(&self) -> Vec<Call> {
        self.shared.lock().calls_aside.values().cloned().collect()
    }

    /// Empties the logs.
    pub fn forget_calls(&self) {
        let mut state = self.shared.lock();
        state.calls.clear();
        state.calls_aside.clear();
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

/// A fault that was injected: where it is aimed, and what it has done so far. The fault stays when this is dropped.
///
/// It is in force from [`FaultProxy::inject`] on, so aim it before the calls begin. Each aiming starts its count afresh.
#[derive(Debug)]
pub struct Injection {
    shared: Arc<Shared>,
    rule: u64,
    struck: watch::Sender<usize>,
    gate: watch::Sender<bool>,
}

impl Injection {
    /// Strikes this operation only, as in `PutItem`. Named again, it strikes either operation.
    pub fn on(self, operation: impl Into<String>) -> Self {
        self.aim(|rule| rule.operations.push(operation.into()))
    }

    /// Strikes only calls that are [set aside](FaultProxy::set_aside), which no other fault strikes.
    pub fn on_aside(self) -> Self {
        self.aim(|rule| rule.aside = true)
    }

    /// Strikes only requests whose body satisfies the predicate.
    pub fn when(self, predicate: impl Fn(&Value) -> bool + Send + Sync + 'static) -> Self {
        self.aim(|rule| rule.predicate = Some(Box::new(predicate)))
    }

    /// Strikes first at the `n`th call that it is aimed at, counted from 1.
    ///
    /// # Panics
    /// When `n` is 0.
    #[track_caller]
    pub fn nth(self, n: usize) -> Self {
        assert!(n > 0, "calls are counted from 1");
        self.aim(|rule| (rule.counted, rule.first) = (Counted::Matching, n))
    }

    /// Strikes first at the `step`th call of all from now on, counted from 1, whatever its operation. If it is aimed and
    /// that call is not one of its targets, it passes.
    ///
    /// # Panics
    /// When `step` is 0.
    #[track_caller]
    pub fn at_step(self, step: usize) -> Self {
        assert!(step > 0, "steps are counted from 1");
        self.aim(|rule| (rule.counted, rule.first) = (Counted::Every, step))
    }

    /// Strikes so many counted calls in a row. Without this it is one.
    pub fn times(self, times: usize) -> Self {
        self.aim(|rule| rule.times = Some(times))
    }

    /// Strikes every call from the first one on, until [`FaultProxy::clear`].
    pub fn always(self) -> Self {
        self.aim(|rule| rule.times = None)
    }

    /// How many calls it has struck.
    pub fn strikes(&self) -> usize {
        *self.struck.borrow()
    }

    /// Waits until it has struck a call.
    pub async fn struck(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.struck.subscribe().wait_for(|strikes| *strikes > 0).await;
    }

    /// Lets the calls go that it holds ([`Fault::Stall`] closes them, [`Fault::Hold`] delivers them), and removes it.
    pub fn release(&self) {
        self.gate.send_replace(true);
        self.shared.lock().rules.retain(|rule| rule.number != self.rule);
    }

    fn aim(self, change: impl FnOnce(&mut Rule)) -> Self {
        if let Some(rule) = self.shared.lock().rules.iter_mut().find(|rule| rule.number == self.rule) {
            change(rule);
            rule.position = 0;
        }
        self
    }
}

/// What a rule's position counts.
#[derive(Debug, Clone, Copy)]
enum Counted {
    Matching,
    Every,
}

type Predicate = Box<dyn Fn(&Value) -> bool + Send + Sync>;

struct Rule {
    number: u64,
    fault: Fault,
    operations: Vec<String>,
    predicate: Option<Predicate>,
    aside: bool,
    counted: Counted,
    first: usize,
    times: Option<usize>,
    position: usize,
    struck: watch::Sender<usize>,
    gate: watch::Sender<bool>,
}

impl Rule {
    /// Counts a call, and says whether the fault strikes it.
    fn strikes(&mut self, operation: &str, body: &Value) -> bool {
        let aimed_at = (self.operations.is_empty() || self.operations.iter().any(|aimed| aimed == operation))
            && self.predicate.as_ref().is_none_or(|predicate| predicate(body));
        if aimed_at || matches!(self.counted, Counted::Every) {
            self.position += 1;
        }
        let since = self.position.checked_sub(self.first);
        aimed_at && since.is_some_and(|since| self.times.is_none_or(|times| since < times))
    }
}

/// A fault that strikes a call, and the gate it waits at if it is one that holds the call.
struct Strike {
    fault: Fault,
    gate: watch::Receiver<bool>,
}

impl Strike {
    async fn released(&mut self) {
        // The gate's sender goes with the rule, and no rule is removed before its gate is open.
        let _ = self.gate.wait_for(|open| *open).await;
    }
}

/// Where the calls to each service go.
struct Upstreams {
    dynamodb: SocketAddr,
    secrets_manager: SocketAddr,
    other: SocketAddr,
}

impl Upstreams {
    fn all(upstream: SocketAddr) -> Self {
        Self { dynamodb: upstream, secrets_manager: upstream, other: upstream }
    }

    fn of(&mut self, service: Service) -> &mut SocketAddr {
        match service {
            Service::DynamoDb => &mut self.dynamodb,
            Service::SecretsManager => &mut self.secrets_manager,
            Service::Other => &mut self.other,
        }
    }
}

struct State {
    upstreams: Upstreams,
    rules: Vec<Rule>,
    calls: BTreeMap<u64, Call>,
    aside: Option<Predicate>,
    calls_aside: BTreeMap<u64, Call>,
    next: u64,
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

struct Shared {
    state: Mutex<State>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A predicate that panics must not take the proxy's other connections down.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs a call. Returns its number in the log and the fault that strikes it.
    fn arrive(&self, mut call: Call) -> (u64, Option<Strike>) {
        let mut state = self.lock();
        let number = state.number();
        let mut strike = None;
        let aside = state.aside.as_ref().is_some_and(|aside| aside(&call.request));
        for rule in state.rules.iter_mut().filter(|rule| rule.aside == aside) {
            // No short cut: every rule counts every call.
            if rule.strikes(&call.operation, &call.request) && strike.is_none() {
                strike = Some(Strike { fault: rule.fault.clone(), gate: rule.gate.subscribe() });
                call.fault = Some(rule.fault.clone());
                rule.struck.send_modify(|strikes| *strikes += 1);
            }
        }
        let log = if aside { &mut state.calls_aside } else { &mut state.calls };
        log.insert(number, call);
        (number, strike)
    }

    /// Completes a call in the log, unless it has been forgotten.
    fn complete(&self, number: u64, change: impl FnOnce(&mut Call)) {
        let state = &mut *self.lock();
        if let Some(call) = state.calls.get_mut(&number).or_else(|| state.calls_aside.get_mut(&number)) {
            change(call);
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, which ends every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, Arc::clone(&shared)));
                }
                Err(error) => {
                    tracing::warn!(%error, "the fault proxy could not accept a connection");
                    tokio::task::yield_now().await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve_connection(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let connection = Arc::new(Connection::default());
    let service = service_fn(|request| answer(request, Arc::clone(&shared), Arc::clone(&connection)));
    let mut served = server::Builder::new().serve_connection(TokioIo::new(stream), service);
    // An error here is either the caller hanging up or a fault at work.
    let _ = (&mut served).await;
    if connection.reset.load(Ordering::Relaxed) {
        let _ = served.into_parts().io.into_inner().set_zero_linger();
    }
}

/// Makes hyper close the connection without an answer.
#[derive(Debug)]
struct Severed;

impl fmt::Display for Severed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the connection is closed without an answer")
    }
}

impl Error for Severed {}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
    connection: Arc<Connection>,
) -> Result<Response<Full<Bytes>>, Severed> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Severed)?.to_bytes();
    let (service, operation) = Service::of(&head);
    let measured = Measured::of(service, &operation, &body);
    let (number, strike) = shared.arrive(Call {
        service,
        operation,
        attempt: attempt(&head.headers),
        trace: head.headers.get("x-amzn-trace-id").and_then(|trace| trace.to_str().ok()).map(str::to_owned),
        request: parsed(&body),
        fault: None,
        delivered: false,
        answer: None,
        capacity: Vec::new(),
    });
    let deliver = || deliver(service, head, body, measured, number, Arc::clone(&shared), Arc::clone(&connection));
    let Some(mut strike) = strike else {
        return deliver().await;
    };
    let (status, body) = match strike.fault.clone() {
        Fault::Refuse => return Err(Severed),
        Fault::Reset => {
            connection.reset.store(true, Ordering::Relaxed);
            return Err(Severed);
        }
        Fault::Stall => {
            strike.released().await;
            return Err(Severed);
        }
        Fault::Hold => {
            let delivery = deliver();
            // Of its own, so that a caller who gives up does not take back what is on its way.
            let held = tokio::spawn(async move {
                strike.released().await;
                delivery.await
            });
            return held.await.map_err(|_| Severed)?;
        }
        Fault::LoseAnswer => {
            deliver().await?;
            return Err(Severed);
        }
        Fault::Throttle => (StatusCode::BAD_REQUEST, service.throttled().to_string()),
        Fault::ServerError => (StatusCode::INTERNAL_SERVER_ERROR, service.failed().to_string()),
        Fault::Status(status, body) => (status, body),
    };
    let body = Bytes::from(body);
    shared.complete(number, |call| call.answer = Some(Answer { status, body: parsed(&body) }));
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, service.content_type());
    response.headers_mut().insert(REQUEST_ID, HeaderValue::from(number));
    Ok(response)
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// DynamoDB's checksum of the answer's body.
const CHECKSUM: HeaderName = HeaderName::from_static("x-amz-crc32");

/// Delivers a request and logs its answer. Once begun it runs to its end even if the caller hangs up: what was sent over
/// a real network arrives too.
async fn deliver(
    service: Service,
    mut head: request::Parts,
    body: Bytes,
    measured: Option<Measured>,
    number: u64,
    shared: Arc<Shared>,
    connection: Arc<Connection>,
) -> Result<Response<Full<Bytes>>, Severed> {
    let upstream = *shared.lock().upstreams.of(service);
    let body = measured.as_ref().map_or(body, |measured| measured.request.clone());
    // The body is sent whole, and hyper writes its length.
    head.headers.remove(TRANSFER_ENCODING);
    head.headers.remove(CONTENT_LENGTH);
    let request = Request::from_parts(head, Full::new(body));
    let delivery = tokio::spawn(async move {
        let (mut head, body) = connection.send(upstream, request).await?.into_parts();
        let (status, mut answer, mut returned) = (head.status, parsed(&body), body);
        let capacity = capacity(&answer);
        if measured.is_some()
            && let Some(fields) = answer.as_object_mut()
            && fields.shift_remove(CONSUMED).is_some()
        {
            returned = Bytes::from(answer.to_string());
            head.headers.remove(CHECKSUM);
        }
        head.headers.remove(TRANSFER_ENCODING);
        head.headers.remove(CONTENT_LENGTH);
        shared.complete(number, |call| {
            call.delivered = true;
            call.answer = Some(Answer { status, body: answer });
            call.capacity = capacity;
        });
        Ok::<_, SendError>(Response::from_parts(head, Full::new(returned)))
    });
    match delivery.await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) => {
            tracing::debug!(error, "the fault proxy's upstream did not answer");
            Err(Severed)
        }
        Err(_) => Err(Severed),
    }
}

/// The field of an answer that reports what was consumed.
const CONSUMED: &str = "ConsumedCapacity";

/// The field of a request that asks for it.
const RETURN_CONSUMED: &str = "ReturnConsumedCapacity";

/// The operations that take [`RETURN_CONSUMED`].
const PRICED: [&str; 13] = [
    "BatchExecuteStatement",
    "BatchGetItem",
    "BatchWriteItem",
    "DeleteItem",
    "ExecuteStatement",
    "ExecuteTransaction",
    "GetItem",
    "PutItem",
    "Query",
    "Scan",
    "TransactGetItems",
    "TransactWriteItems",
    "UpdateItem",
];

/// A request made to ask what it consumes.
struct Measured {
    request: Bytes,
}

impl Measured {
    /// None if the call has no price, or its sender asks for it already.
    fn of(service: Service, operation: &str, body: &Bytes) -> Option<Self> {
        if service != Service::DynamoDb || !PRICED.contains(&operation) {
            return None;
        }
        let mut request: Value = serde_json::from_slice(body).ok()?;
        let fields = request.as_object_mut()?;
        if fields.get(RETURN_CONSUMED).is_some_and(|asked| asked != "NONE") {
            return None;
        }
        fields.insert(RETURN_CONSUMED.to_owned(), "INDEXES".into());
        Some(Self { request: Bytes::from(request.to_string()) })
    }
}

/// The consumed capacity in an answer: an object, or a list of them for calls that may touch several tables.
fn capacity(answer: &Value) -> Vec<Capacity> {
    match answer.get(CONSUMED) {
        Some(Value::Array(tables)) => tables.iter().filter_map(|table| Capacity::deserialize(table).ok()).collect(),
        Some(table) => Capacity::deserialize(table).into_iter().collect(),
        None => Vec::new(),
    }
}

/// A body for the log.
fn parsed(body: &Bytes) -> Value {
    if body.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned().into())
}

/// The SDK's `amz-sdk-request` header reads `attempt=2; max=3`.
fn attempt(headers: &HeaderMap) -> u32 {
    let header = headers.get("amz-sdk-request").and_then(|header| header.to_str().ok());
    let number = header.and_then(|header| header.split(';').find_map(|part| part.trim().strip_prefix("attempt=")));
    number.and_then(|number| number.parse().ok()).unwrap_or(1)
}

type SendError = Box<dyn Error + Send + Sync>;

/// A caller's connection.
#[derive(Default)]
struct Connection {
    /// Whether it ends in a reset.
    reset: AtomicBool,
    /// The connection to the upstream that belongs to it, kept alive between calls as the caller's is.
    upstream: tokio::sync::Mutex<Option<Upstream>>,
}

impl Connection {
    /// Sends a request and collects the complete answer.
    async fn send(&self, address: SocketAddr, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, SendError> {
        let mut kept = self.upstream.lock().await;
        let reusable = kept.take().filter(|kept| kept.address == address);
        let (mut upstream, sent) = match reusable {
            Some(mut upstream) => match upstream.sender.try_send_request(request).await {
                Ok(response) => (upstream, Ok(response)),
                // The upstream closed the connection since, and nothing was sent.
                Err(mut error) => match error.take_message() {
                    Some(request) => Upstream::connect(address).await?.send(request).await,
                    None => return Err(error.into_error().into()),
                },
            },
            None => Upstream::connect(address).await?.send(request).await,
        };
        let (head, body) = sent?.into_parts();
        let body = body.collect().await?.to_bytes();
        if upstream.sender.ready().await.is_ok() {
            *kept = Some(upstream);
        }
        Ok(Response::from_parts(head, body))
    }
}

struct Upstream {
    address: SocketAddr,
    sender: client::SendRequest<Full<Bytes>>,
}

impl Upstream {
    async fn connect(address: SocketAddr) -> Result<Self, SendError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = client::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { address, sender })
    }

    async fn send(mut self, request: Request<Full<Bytes>>) -> (Self, hyper::Result<Response<Incoming>>) {
        let sent = self.sender.send_request(request).await;
        (self, sent)
    }
}
