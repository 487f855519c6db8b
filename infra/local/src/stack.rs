//! The functions on one port: each group at its base URL, Lambda's Invoke API, the schedules, and the table's stream.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::Platform;
use shared::function::{Failure, Function};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::streams::{TableStream, events_for};
use crate::template::{FunctionDefinition, Schedule, Template, TemplateError};

/// A group of endpoints in the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: &'static str,
    /// The path of its base URL.
    pub base: &'static str,
    /// Its first documented path.
    pub path: &'static str,
    /// The function that answers its requests.
    pub function: &'static str,
}

/// The groups, in the order of the documentation.
pub const GROUPS: &[Group] = &[
    Group { name: "wallets", base: "/wallets/api", path: "/v1/integrations", function: "wallets-api" },
    Group { name: "services", base: "/services", path: "/api/integrations", function: "services-api" },
    Group { name: "keys", base: "/keys", path: "/api/v1/integrations", function: "keys-api" },
    Group { name: "vaults", base: "/vaults", path: "/v1/integrations", function: "vaults-api" },
];

/// How often the table's stream is looked at, as often as Lambda does when there is little to do.
const STREAM_LOOK: Duration = Duration::from_millis(200);
/// How many batches of the stream are worked on at a time.
const STREAM_AT_ONCE: usize = 10;

/// Why the stack could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// The port cannot be had.
    #[error("port {port} cannot be used: {source}. Choose another with --port, or --port 0 for any free one")]
    Port {
        /// The port.
        port: u16,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The template cannot be used.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The stack's own secrets could not be prepared.
    #[error("the stack's secrets could not be prepared: {0}")]
    Secrets(#[from] shared::credentials::CredentialError),
    /// The template and the code name different functions.
    #[error("template.yaml and the code disagree about the function {0}")]
    Function(String),
}

/// Every function by name.
#[must_use]
pub fn functions(platform: &Platform) -> BTreeMap<&'static str, Function> {
    let groups = [
        wallets::functions(platform),
        services::functions(platform),
        keys::functions(platform),
        vaults::functions(platform),
    ];
    groups.into_iter().flatten().chain(sweep::functions(platform)).collect()
}

/// A running stack. It stops when this is dropped.
#[derive(Debug)]
pub struct Stack {
    /// Where it answers.
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Debug, Clone)]
struct Invoker {
    functions: Arc<BTreeMap<&'static str, (Function, FunctionDefinition)>>,
}

impl Stack {
    /// Binds a port before anything else is started, so that one in use is noticed first.
    ///
    /// # Errors
    /// [`StackError::Port`].
    pub async fn bind(port: u16) -> Result<TcpListener, StackError> {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|source| StackError::Port { port, source })
    }

    /// Serves the functions of `platform` on `listener`. With the table's stream, what is written to it starts functions,
    /// and schedules fire by themselves.
    ///
    /// # Errors
    /// [`StackError`].
    pub async fn serve(
        listener: TcpListener,
        platform: &Platform,
        template: &Template,
        stream: Option<TableStream>,
    ) -> Result<Self, StackError> {
        let address = listener.local_addr().map_err(|source| StackError::Port { port: 0, source })?;
        let signing_key = shared::digest::hex(&platform.ids.bytes::<32>());
        platform.credentials.ensure_own(Platform::SIGNING_KEY, &SecretString::from(signing_key)).await?;
        let mut definitions = template.functions()?;
        let mut known = BTreeMap::new();
        for (name, function) in functions(platform) {
            let definition = definitions.remove(name).ok_or_else(|| StackError::Function(name.to_owned()))?;
            known.insert(name, (function, definition));
        }
        if let Some(name) = definitions.into_keys().next() {
            return Err(StackError::Function(name));
        }
        let invoker = Invoker { functions: Arc::new(known) };
        let (stop, stopped) = watch::channel(false);
        let mut tasks = vec![tokio::spawn(serve(listener, invoker.router(), stopped))];
        if let Some(stream) = stream {
            tasks.push(tokio::spawn(follow(invoker.clone(), stream)));
            tasks.extend(invoker.schedules().map(|(name, schedule)| {
                let (invoker, platform) = (invoker.clone(), platform.clone());
                tokio::spawn(async move { keep_schedule(&invoker, &platform, name, &schedule).await })
            }));
        }
        Ok(Self { address, stop, tasks })
    }

    /// The stack's URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops it, once what is under way has been answered.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        let mut tasks = std::mem::take(&mut self.tasks).into_iter();
        if let Some(server) = tasks.next() {
            let _ = tokio::time::timeout(Duration::from_secs(5), server).await;
        }
        tasks.for_each(|schedule| schedule.abort());
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn serve(listener: TcpListener, router: Router, mut stopped: watch::Receiver<bool>) {
    let stopped = async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
        tracing::error!(%error, "the stack stopped");
    }
}

impl Invoker {
    fn router(&self) -> Router {
        let mut router = Router::new()
            .route("/", get(overview))
            .route("/2015-03-31/functions/{function}/invocations", post(invoke))
            .with_state(self.clone());
        for group in GROUPS {
            if let Some((Function::Api(api), _)) = self.functions.get(group.function) {
                router = router.nest_service(group.base, api.clone());
            }
        }
        router
    }

    fn schedules(&self) -> impl Iterator<Item = (&'static str, Schedule)> {
        self.functions
            .iter()
            .flat_map(|(name, (_, definition))| definition.schedules.iter().map(|schedule| (*name, schedule.clone())))
    }

    async fn invoke(&self, name: &str, event: Value) -> Option<Result<Value, Failure>> {
        let (function, definition) = self.functions.get(name)?;
        Some(function.invoke(event, definition.timeout).await)
    }
}

/// `GET /`: what is here.
async fn overview(State(invoker): State<Invoker>, headers: HeaderMap) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1");
    let groups: BTreeMap<_, _> =
        GROUPS.iter().map(|group| (group.name, format!("http://{host}{}{}", group.base, group.path))).collect();
    let functions: Vec<_> = invoker.functions.keys().collect();
    axum::Json(json!({ "groups": groups, "functions": functions })).into_response()
}

/// Lambda's Invoke API: `Event` is answered at once, `DryRun` does nothing, and a function's failure is a 200 with
/// `X-Amz-Function-Error`.
async fn invoke(
    State(invoker): State<Invoker>,
    Path(function): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    // A name may come as an ARN or with a version behind it.
    let name = function.rsplit_once(":function:").map_or(function.as_str(), |(_, name)| name);
    let name = name.split(':').next().unwrap_or_default().to_owned();
    let Some((_, definition)) = invoker.functions.get(name.as_str()) else {
        let known: Vec<_> = invoker.functions.keys().copied().collect();
        let message = format!("Function not found: {name}. The functions are {}", known.join(", "));
        return refusal(StatusCode::NOT_FOUND, "ResourceNotFoundException", &message);
    };
    let event: Value = match serde_json::from_slice(if body.is_empty() { b"{}" } else { body.as_ref() }) {
        Ok(event) => event,
        Err(error) => {
            let message = format!("Could not parse request body into json: {error}");
            return refusal(StatusCode::BAD_REQUEST, "InvalidRequestContentException", &message);
        }
    };
    let timeout = definition.timeout;
    match headers.get("x-amz-invocation-type").map(|kind| kind.to_str().unwrap_or_default()) {
        Some("DryRun") => StatusCode::NO_CONTENT.into_response(),
        Some("Event") => {
            tokio::spawn(async move { invoker.invoke(&name, event).await });
            StatusCode::ACCEPTED.into_response()
        }
        None | Some("RequestResponse") => {
            // Left to itself if its caller goes away, as on Lambda.
            let running = tokio::spawn(async move { invoker.invoke(&name, event).await });
            let outcome = match tokio::time::timeout(timeout, running).await {
                Ok(Ok(Some(outcome))) => outcome,
                Ok(_) => Err(Failure { error_type: "Panic", message: "the function panicked".into() }),
                Err(_) => {
                    let message = format!("Task timed out after {}.00 seconds", timeout.as_secs());
                    Err(Failure { error_type: "Sandbox.Timedout", message })
                }
            };
            let executed = ("x-amz-executed-version", "$LATEST");
            match outcome {
                Ok(result) => ([executed], axum::Json(result)).into_response(),
                Err(failure) => {
                    ([executed, ("x-amz-function-error", "Unhandled")], axum::Json(failure.to_json())).into_response()
                }
            }
        }
        Some(_) => {
            let message = "X-Amz-Invocation-Type is RequestResponse, Event or DryRun";
            refusal(StatusCode::BAD_REQUEST, "InvalidParameterValueException", message)
        }
    }
}

fn refusal(status: StatusCode, code: &'static str, message: &str) -> Response {
    (status, [("x-amzn-errortype", code)], axum::Json(json!({ "Type": "User", "Message": message }))).into_response()
}

/// Invokes functions with what is written to the table, several batches at a time.
async fn follow(invoker: Invoker, mut stream: TableStream) {
    let mut working = JoinSet::new();
    loop {
        tokio::time::sleep(STREAM_LOOK).await;
        let reading = tokio::task::spawn_blocking(move || {
            let records = stream.read();
            (stream, records)
        });
        let records = match reading.await {
            Ok((reader, records)) => {
                stream = reader;
                records
            }
            Err(error) => {
                tracing::error!(%error, "the table's stream is followed no more");
                return;
            }
        };
        let records = records.unwrap_or_else(|error| {
            tracing::warn!(error, "the table's stream could not be read");
            Vec::new()
        });
        for (name, (_, definition)) in invoker.functions.iter() {
            for event in events_for(definition, &records) {
                while working.len() >= STREAM_AT_ONCE {
                    working.join_next().await;
                }
                let (invoker, name) = (invoker.clone(), *name);
                working.spawn(async move {
                    if let Some(Err(failure)) = invoker.invoke(name, event).await {
                        tracing::warn!(function = name, error = failure.message, "a run on the stream failed");
                    }
                });
            }
        }
        while working.try_join_next().is_some() {}
    }
}

/// Fires at the multiples of the rate since the epoch, so that restarts do not put a daily job off for ever.
async fn keep_schedule(invoker: &Invoker, platform: &Platform, name: &str, schedule: &Schedule) {
    let every = schedule.every.as_secs().max(1);
    loop {
        let now = u64::try_from(platform.ids.now().as_second()).unwrap_or_default();
        tokio::time::sleep(Duration::from_secs(every - now % every)).await;
        let event = schedule.input.clone().unwrap_or_else(|| scheduled_event(platform));
        if let Some(Err(failure)) = invoker.invoke(name, event).await {
            tracing::warn!(function = name, error = failure.message, "a scheduled run failed");
        }
    }
}

/// The event that EventBridge sends for a schedule.
#[must_use]
pub fn scheduled_event(platform: &Platform) -> Value {
    json!({
        "version": "0",
        "id": platform.ids.uuid(),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "000000000000",
        "time": format!("{:.0}", platform.ids.now()),
        "region": "us-east-1",
        "resources": ["arn:aws:events:us-east-1:000000000000:rule/local"],
        "detail": {},
    })
}
