//! A double of the Lambda Runtime API, which runs a function's real binary and hands it events.
//!
//! A function's process asks `GET /2018-06-01/runtime/invocation/next` for its next event, works, and posts its answer or
//! error under the invocation's id. [`RuntimeApi`] serves that interface on a loopback port, [`FunctionProcess`] starts
//! the binary, and [`RuntimeApi::invoke`] is the caller's side: it queues an event and waits for what becomes of it.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use kit::runtime_api::{FunctionProcess, RuntimeApi};
//! use std::time::Duration;
//!
//! let api = RuntimeApi::start().await?;
//! let function = FunctionProcess::spawn("target/debug/services-api", api.environment("services-api"), &api)?;
//! let cold_start = api.first_next().await? - function.started();
//! let answer = api.invoke(serde_json::json!({}), Duration::from_secs(3)).await.json();
//! # Ok(())
//! # }
//! ```
//!
//! One `RuntimeApi` is one execution environment: it serves one process at a time, which may be followed by another.
//! It differs from Lambda in that a process whose invocation timed out is left running (drop it to have what Lambda does
//! next), and that a streamed answer is collected whole.

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::error::Error;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path as FilePath, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;

/// The region and account that a function is told it runs in.
const REGION: &str = "us-east-1";
const ACCOUNT: &str = "123456789012";

/// The largest answer that Lambda takes, in bytes.
const LARGEST_ANSWER: usize = 6_291_556;

/// How long an event waits for a process to ask for it. Only a process that never asks reaches this.
const LONGEST_QUEUEING: Duration = Duration::from_secs(60);

/// What became of an invocation.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The function answered with this body.
    Response(Bytes),
    /// The function, or its initialisation, reported an error.
    Error(FunctionError),
    /// The function did not answer before its deadline.
    TimedOut,
    /// The process ended before it answered.
    Exited(Exited),
}

impl Outcome {
    /// The answer as JSON, or the outcome itself if it is anything else.
    pub fn json(self) -> Result<Value, Self> {
        match self {
            Self::Response(body) => serde_json::from_slice(&body).map_err(|_| Self::Response(body)),
            other => Err(other),
        }
    }
}

/// An error as a function reports it.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionError {
    /// The body's `errorType`, or else the type in the report's header.
    pub error_type: String,
    /// The body's `errorMessage`.
    pub message: String,
    /// The whole body.
    pub body: Value,
}

impl FunctionError {
    fn new(headers: &HeaderMap, body: &Bytes) -> Self {
        let body: Value =
            serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned().into());
        let field = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        let header = headers.get("lambda-runtime-function-error-type").and_then(|header| header.to_str().ok());
        Self {
            error_type: field("errorType").or(header.map(str::to_owned)).unwrap_or_default(),
            message: field("errorMessage").unwrap_or_default(),
            body,
        }
    }

    fn too_large() -> Self {
        let (error_type, message) = ("Function.ResponseSizeTooLarge", format!("more than {LARGEST_ANSWER} bytes"));
        let body = json!({"errorType": error_type, "errorMessage": message});
        Self { error_type: error_type.to_owned(), message, body }
    }
}

/// The end of a function's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exited {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
}

impl fmt::Display for Exited {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(formatter, "the process exited with code {code}"),
            None => formatter.write_str("a signal ended the process"),
        }
    }
}

impl Error for Exited {}

/// The double. When it is dropped, a process that waits for an event is told to go.
#[derive(Debug)]
pub struct RuntimeApi {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl RuntimeApi {
    /// Starts a Runtime API on a free loopback port.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .with_state(Arc::clone(&shared));
        let mut closed = shared.closed.subscribe();
        let shutdown = async move {
            let _ = closed.wait_for(|closed| *closed).await;
        };
        tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(shutdown).await });
        Ok(Self { address, shared })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The variables that Lambda sets for a function of this name, pointing here, with credentials that open nothing.
    /// Events are addressed to that name from now on.
    pub fn environment(&self, function_name: &str) -> Vec<(String, String)> {
        function_name.clone_into(&mut self.shared.lock().function_name);
        [
            ("AWS_LAMBDA_RUNTIME_API", self.address.to_string()),
            ("AWS_LAMBDA_FUNCTION_NAME", function_name.to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{function_name}")),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "2026/01/01/[$LATEST]00000000000000000000000000000000".to_owned()),
            ("_HANDLER", "bootstrap".to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_DEFAULT_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "not-a-secret".to_owned()),
            ("AWS_SESSION_TOKEN", "not-a-session".to_owned()),
            ("TZ", ":UTC".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// Queues an event and waits for its outcome. The deadline counts from the moment a process takes the event, so that
    /// a cold start does not eat into it.
    pub async fn invoke(&self, event: Value, deadline: Duration) -> Outcome {
        let mut process = self.shared.process.subscribe();
        let (taken, was_taken) = oneshot::channel();
        let (outcome, has_outcome) = oneshot::channel();
        let id = request_id();
        {
            let mut state = self.shared.lock();
            if let Some(error) = state.init_error.clone() {
                return Outcome::Error(error);
            }
            let body = Bytes::from(event.to_string());
            state.queue.push_back(Invocation { id: id.clone(), body, deadline, taken, outcome });
        }
        self.shared.queued.notify_one();
        let answered = async {
            tokio::time::timeout(LONGEST_QUEUEING, was_taken).await.ok()?.ok()?;
            tokio::time::timeout(deadline, has_outcome).await.ok()?.ok()
        };
        let exit = async { process.wait_for(|process| process.exit.is_some()).await.ok()?.exit };
        let outcome = tokio::select! {
            // A process may answer its last invocation and exit: the answer counts.
            biased;
            outcome = answered => outcome.unwrap_or(Outcome::TimedOut),
            Some(exit) = exit => Outcome::Exited(exit),
        };
        self.shared.lock().settle(&id, outcome)
    }

    /// Waits until the process asks for its first event, which is the end of its cold start, and says when that was. The
    /// error is that it exited instead.
    pub async fn first_next(&self) -> Result<Instant, Exited> {
        let mut process = self.shared.process.subscribe();
        let settled = |process: &Process| process.first_next.is_some() || process.exit.is_some();
        // The sender lives as long as `self`, so waiting cannot fail.
        match process.wait_for(settled).await.map(|process| (process.first_next, process.exit)) {
            Ok((Some(asked), _)) => Ok(asked),
            Ok((None, exit)) => Err(exit.unwrap_or(Exited { code: None })),
            Err(_) => Err(Exited { code: None }),
        }
    }

    /// What the process reported to `/runtime/init/error`.
    pub fn init_error(&self) -> Option<FunctionError> {
        self.shared.lock().init_error.clone()
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.shared.closed.send_replace(true);
    }
}

/// Ids are unique among all doubles of a test binary, as functions may store them.
fn request_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("00000000-0000-4000-8000-{:012x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

#[derive(Debug)]
struct Invocation {
    id: String,
    body: Bytes,
    deadline: Duration,
    taken: oneshot::Sender<()>,
    outcome: oneshot::Sender<Outcome>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<Queues>,
    /// Wakes a request for the next event.
    queued: Notify,
    process: watch::Sender<Process>,
    closed: watch::Sender<bool>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The process that is served, or was served last.
#[derive(Debug, Default)]
struct Process {
    /// Tells a process from the one that followed it.
    generation: u64,
    first_next: Option<Instant>,
    exit: Option<Exited>,
}

#[derive(Debug, Default)]
struct Queues {
    function_name: String,
    queue: VecDeque<Invocation>,
    running: HashMap<String, oneshot::Sender<Outcome>>,
    timed_out: BTreeSet<String>,
    init_error: Option<FunctionError>,
}

impl Queues {
    /// Takes an invocation that has its outcome out of the queue and the running ones.
    fn settle(&mut self, id: &str, outcome: Outcome) -> Outcome {
        self.queue.retain(|invocation| invocation.id != id);
        self.running.remove(id);
        if outcome == Outcome::TimedOut {
            self.timed_out.insert(id.to_owned());
        }
        match (outcome, &self.init_error) {
            // A process that reports its failed initialisation exits right after.
            (Outcome::Exited(_), Some(error)) => Outcome::Error(error.clone()),
            (outcome, _) => outcome,
        }
    }

    /// Ends a running invocation. The status is what the process is told.
    fn finish(&mut self, id: &str, outcome: Outcome) -> StatusCode {
        match self.running.remove(id) {
            Some(waiting) => {
                // An error says that nobody waits any more.
                let _ = waiting.send(outcome);
                StatusCode::ACCEPTED
            }
            None if self.timed_out.contains(id) => StatusCode::GONE,
            None => StatusCode::BAD_REQUEST,
        }
    }
}

async fn next(State(shared): State<Arc<Shared>>) -> Response {
    shared.process.send_if_modified(|process| {
        let first = process.first_next.is_none();
        process.first_next.get_or_insert_with(Instant::now);
        first
    });
    let mut closed = shared.closed.subscribe();
    loop {
        if let Some(response) = hand_out(&mut shared.lock()) {
            return response;
        }
        tokio::select! {
            () = shared.queued.notified() => {}
            _ = closed.wait_for(|closed| *closed) => {
                return refusal(StatusCode::INTERNAL_SERVER_ERROR, "ContainerError");
            }
        }
    }
}

/// The first event in the queue that someone still waits for.
fn hand_out(state: &mut Queues) -> Option<Response> {
    loop {
        let Invocation { id, body, deadline, taken, outcome } = state.queue.pop_front()?;
        if taken.send(()).is_err() {
            continue;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let head = [
            ("lambda-runtime-aws-request-id", id.clone()),
            ("lambda-runtime-deadline-ms", (now + deadline).as_millis().to_string()),
            (
                "lambda-runtime-invoked-function-arn",
                format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{}", state.function_name),
            ),
            ("lambda-runtime-trace-id", trace_id(&id, now)),
            (CONTENT_TYPE.as_str(), "application/json".to_owned()),
        ];
        state.running.insert(id, outcome);
        return Some((head, body).into_response());
    }
}

/// An X-Ray trace header that is not sampled: the start in seconds, and ids made from the invocation's.
fn trace_id(id: &str, now: Duration) -> String {
    let digits: String = id.chars().filter(|character| *character != '-').collect();
    let (parent, root) = digits.split_at(digits.len() / 2);
    format!("Root=1-{:08x}-{:0>24};Parent={parent};Sampled=0", now.as_secs(), root)
}

async fn response(State(shared): State<Arc<Shared>>, Path(id): Path<String>, body: Body) -> Response {
    match to_bytes(body, LARGEST_ANSWER).await {
        Ok(body) => told(shared.lock().finish(&id, Outcome::Response(body))),
        Err(_) => match shared.lock().finish(&id, Outcome::Error(FunctionError::too_large())) {
            StatusCode::ACCEPTED => refusal(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge"),
            other => told(other),
        },
    }
}

async fn error(State(shared): State<Arc<Shared>>, Path(id): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    told(shared.lock().finish(&id, Outcome::Error(FunctionError::new(&headers, &body))))
}

async fn init_error(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let mut state = shared.lock();
    let error = FunctionError::new(&headers, &body);
    for invocation in state.queue.drain(..) {
        let _ = invocation.taken.send(());
        let _ = invocation.outcome.send(Outcome::Error(error.clone()));
    }
    state.init_error = Some(error);
    told(StatusCode::ACCEPTED)
}

/// The answer to a report of the process.
fn told(status: StatusCode) -> Response {
    match status {
        StatusCode::ACCEPTED => (status, axum::Json(json!({"status": "OK"}))).into_response(),
        _ => refusal(status, "InvalidRequestID"),
    }
}

fn refusal(status: StatusCode, error_type: &str) -> Response {
    let message = status.canonical_reason().unwrap_or_default();
    (status, axum::Json(json!({"errorType": error_type, "errorMessage": message}))).into_response()
}

/// The stream that a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// A line that a process wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where to.
    pub stream: Stream,
    /// The line without its end. Bytes that are not UTF-8 are replaced.
    pub text: String,
}

/// A function's process. It is killed when this is dropped.
#[derive(Debug)]
pub struct FunctionProcess {
    started: Instant,
    id: Option<u32>,
    generation: u64,
    shared: Arc<Shared>,
    output: watch::Receiver<Output>,
    kill: Arc<Notify>,
    keeper: JoinHandle<()>,
}

/// What a process has written, and how it ended.
#[derive(Debug, Default)]
struct Output {
    lines: Vec<Line>,
    /// Set when the process has ended and every line of it is here.
    end: Option<Exited>,
}

impl FunctionProcess {
    /// Starts a function's binary as the process that `api` serves, or the one of its name in `CAUSEWAY_BINARIES`. It
    /// inherits nothing but `PATH` from the environment of the tests.
    pub fn spawn(
        binary: impl AsRef<FilePath>,
        environment: impl IntoIterator<Item = (String, String)>,
        api: &RuntimeApi,
    ) -> io::Result<Self> {
        let mut command = std::process::Command::new(deployed(binary.as_ref()));
        let path = std::env::var_os("PATH").map(|path| ("PATH", path));
        command.env_clear().envs(path).envs(environment);
        Self::run(command, api)
    }

    /// Starts any command as the process that `api` serves, for what [`spawn`](Self::spawn) cannot express.
    pub fn run(command: std::process::Command, api: &RuntimeApi) -> io::Result<Self> {
        let mut command = Command::from(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let shared = Arc::clone(&api.shared);
        // First, so that a quick process does not ask for its first event before it is the one that is served.
        let mut generation = 0;
        shared.lock().init_error = None;
        shared.process.send_modify(|process| {
            generation = process.generation + 1;
            *process = Process { generation, ..Process::default() };
        });
        let started = Instant::now();
        let child = command.spawn().inspect_err(|_| ended(&shared, generation, Exited { code: None }))?;
        let id = child.id();
        let (lines, output) = watch::channel(Output::default());
        let kill = Arc::new(Notify::new());
        let keeper = tokio::spawn(keep(child, lines, Arc::clone(&kill), Arc::clone(&shared), generation));
        Ok(Self { started, id, generation, shared, output, kill, keeper })
    }

    /// When it was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Its process id.
    pub fn id(&self) -> Option<u32> {
        self.id
    }

    /// The lines it has written so far. Lines of one stream are in order; between the streams there is none.
    pub fn lines(&self) -> Vec<Line> {
        self.output.borrow().lines.clone()
    }

    /// Waits for a line that contains `text`, and returns the first. None if the process ended without one.
    pub async fn line_with(&self, text: &str) -> Option<Line> {
        let mut output = self.output.clone();
        let find = |output: &Output| output.lines.iter().find(|line| line.text.contains(text)).cloned();
        let found = output.wait_for(|output| output.end.is_some() || find(output).is_some()).await.ok()?;
        find(&found)
    }

    /// Waits until it has ended by itself and all it wrote can be read.
    pub async fn exited(&self) -> Exited {
        let mut output = self.output.clone();
        let end = output.wait_for(|output| output.end.is_some()).await.ok().and_then(|output| output.end);
        end.unwrap_or(Exited { code: None })
    }

    /// Kills it, as a crash would, and waits for its end.
    pub async fn kill(&self) -> Exited {
        self.kill.notify_one();
        self.exited().await
    }
}

impl Drop for FunctionProcess {
    fn drop(&mut self) {
        // The task owns the child, which is killed when it is dropped.
        self.keeper.abort();
        ended(&self.shared, self.generation, Exited { code: None });
    }
}

/// The binary of the same name in the folder that `CAUSEWAY_BINARIES` names, if it is set: the tests of a debug build run
/// what is deployed then.
fn deployed(binary: &FilePath) -> PathBuf {
    match (std::env::var_os("CAUSEWAY_BINARIES"), binary.file_name()) {
        (Some(folder), Some(name)) => FilePath::new(&folder).join(name),
        _ => binary.to_owned(),
    }
}

/// Tells those who wait for the process that it ended, unless another is served by now.
fn ended(shared: &Shared, generation: u64, exit: Exited) {
    shared.process.send_if_modified(|process| {
        let current = process.generation == generation && process.exit.is_none();
        if current {
            process.exit = Some(exit);
        }
        current
    });
}

async fn keep(mut child: Child, lines: watch::Sender<Output>, kill: Arc<Notify>, shared: Arc<Shared>, generation: u64) {
    let (output, error) = (child.stdout.take(), child.stderr.take());
    let wait = async {
        let status = tokio::select! {
            status = child.wait() => status,
            () = kill.notified() => {
                let _ = child.start_kill();
                child.wait().await
            }
        };
        let exit = Exited { code: status.ok().and_then(|status| status.code()) };
        ended(&shared, generation, exit);
        exit
    };
    let (exit, (), ()) = tokio::join!(wait, read(output, Stream::Output, &lines), read(error, Stream::Error, &lines));
    lines.send_modify(|output| output.end = Some(exit));
}

async fn read(from: Option<impl AsyncRead + Unpin>, stream: Stream, lines: &watch::Sender<Output>) {
    let Some(from) = from else { return };
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).await.is_ok_and(|length| length > 0) {
        let text = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
        lines.send_modify(|output| output.lines.push(Line { stream, text }));
        line.clear();
    }
}
