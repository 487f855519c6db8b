//! Lambda mains, and the same functions invoked in process.

use std::any::Any;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use futures::FutureExt;
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, Context, LambdaEvent, Service};
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::{Instrument, Span, field};

use crate::clock::Ids;
use crate::config::Config;
use crate::job::{Event, Job, JobError};
use crate::table::{TableError, keys};
use crate::telemetry::emf::Emf;
use crate::telemetry::metrics::{self, Metrics};
use crate::telemetry::{self, trace};
use crate::{Platform, deadline};

/// A function, as Lambda and the local stack see it.
#[derive(Clone)]
pub enum Function {
    /// Answers API Gateway's requests.
    Api(Router),
    /// Runs on a schedule, or on the table's stream.
    Job(Worker),
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Api(_) => "Api",
            Self::Job(_) => "Job",
        })
    }
}

/// A job under its function's name.
#[derive(Clone)]
pub struct Worker {
    function: &'static str,
    job: Arc<dyn Job>,
    metrics: Metrics,
}

/// What Lambda tells of an invocation.
#[derive(Debug, Clone, Default)]
struct Invocation {
    request_id: Option<String>,
    trace_id: Option<String>,
}

/// What Lambda reports when a function fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind of failure.
    pub error_type: &'static str,
    /// What happened.
    pub message: String,
}

impl Failure {
    /// As Lambda's Invoke API writes it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({ "errorType": self.error_type, "errorMessage": self.message })
    }
}

impl Function {
    /// The function of this name that does `job`.
    #[must_use]
    pub fn job(platform: &Platform, function: &'static str, job: Arc<dyn Job>) -> Self {
        Self::Job(Worker { function, job, metrics: platform.metrics.clone() })
    }

    /// Invokes the function with a real event, as Lambda would, with `left` until the deadline.
    ///
    /// # Errors
    /// [`Failure`] where Lambda would report a function error.
    pub async fn invoke(&self, event: Value, left: Duration) -> Result<Value, Failure> {
        match self {
            Self::Api(router) => {
                let event: LambdaRequest = serde_json::from_value(event).map_err(|error| malformed(&error))?;
                let mut context = Context::default();
                let until = SystemTime::now() + left;
                let until = until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                context.deadline = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
                // The adapter itself may not cross an await.
                let answer = Adapter::from(router.clone()).call(LambdaEvent::new(event, context));
                let Ok(response) = answer.await;
                serde_json::to_value(response).map_err(|error| malformed(&error))
            }
            Self::Job(worker) => worker.run(event, left, Invocation::default()).await.map_err(|error| {
                let malformed = matches!(error, JobError::Event(_) | JobError::Stream(_));
                let error_type = if malformed { "MalformedEvent" } else { "JobError" };
                Failure { error_type, message: error.to_string() }
            }),
        }
    }
}

fn malformed(error: &serde_json::Error) -> Failure {
    Failure { error_type: "MalformedEvent", message: error.to_string() }
}

impl Worker {
    /// Runs the job, and tells of it in one line and in metrics, whatever comes of it.
    async fn run(&self, event: Value, left: Duration, invocation: Invocation) -> Result<Value, JobError> {
        let span = tracing::info_span!(
            "run",
            function = self.function,
            trigger = field::Empty,
            request_id = invocation.request_id,
            trace_id = invocation.trace_id,
        );
        let outcome = self.metrics.during(self.told(event, left)).instrument(span).await;
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    }

    async fn told(&self, event: Value, left: Duration) -> Result<Result<Value, JobError>, Box<dyn Any + Send>> {
        let (started, cold) = (Instant::now(), self.metrics.is_cold(self.function));
        let outcome = AssertUnwindSafe(deadline::within(left, self.work(event))).catch_unwind().await;
        let latency = started.elapsed();
        metrics::job_ran(self.function, !matches!(outcome, Ok(Ok(_))), latency);
        if cold {
            metrics::cold_start(self.function);
        }
        let latency_ms = telemetry::milliseconds(latency);
        match &outcome {
            Ok(Ok(result)) => tracing::info!(outcome = "ok", latency_ms, cold, %result, "the job ran"),
            Ok(Err(error)) => {
                let error = telemetry::chain(error);
                tracing::error!(outcome = "failed", latency_ms, cold, error, "the job failed");
            }
            Err(_) => tracing::error!(outcome = "panicked", latency_ms, cold, "the job failed"),
        }
        outcome
    }

    async fn work(&self, event: Value) -> Result<Value, JobError> {
        match Event::parse(event)? {
            Event::Schedule(event) => {
                Span::current().record("trigger", "schedule");
                self.job.run(event).await
            }
            Event::Stream(event) => {
                Span::current().record("trigger", "stream");
                self.job.run_stream(event).await
            }
        }
    }
}

/// A Lambda main for a group's API.
///
/// # Errors
/// A configuration that cannot be used, or the runtime's own.
pub async fn run_api(api: impl FnOnce(&Platform) -> Router) -> Result<(), lambda_runtime::Error> {
    let platform = platform()?;
    // Every request looks its token up first, so the connection for that is opened while nobody waits.
    // So are the keys of the operator's issuer fetched, if there is one.
    let nothing = keys::job_run("-");
    let open = tokio::time::timeout(Duration::from_secs(1), platform.table.get::<Nothing>(&nothing));
    let (opened, ()) = tokio::join!(open, platform.authenticator.prepare());
    if !matches!(opened, Ok(Ok(_) | Err(TableError::Missing))) {
        tracing::warn!("the table could not be reached in advance");
    }
    lambda_http::run(api(&platform)).await
}

/// A Lambda main for a function that runs on a schedule or on the table's stream, by its binary's name.
///
/// # Errors
/// A configuration that cannot be used, or the runtime's own.
pub async fn run_scheduled(
    function: &'static str,
    job: impl FnOnce(&Platform) -> Arc<dyn Job>,
) -> Result<(), lambda_runtime::Error> {
    let platform = platform()?;
    let worker = Worker { function, job: job(&platform), metrics: platform.metrics.clone() };
    lambda_runtime::run(lambda_runtime::service_fn(move |event: lambda_runtime::LambdaEvent<Value>| {
        let worker = worker.clone();
        async move {
            let lambda_runtime::LambdaEvent { payload, context } = event;
            let left = context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
            let trace_id = context.xray_trace_id.as_deref().and_then(trace::root).map(str::to_owned);
            let invocation = Invocation { request_id: Some(context.request_id), trace_id };
            Ok::<_, lambda_runtime::Error>(worker.run(payload, left, invocation).await?)
        }
    }))
    .await
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Nothing {}

impl crate::table::Record for Nothing {}

fn platform() -> Result<Platform, lambda_runtime::Error> {
    telemetry::init();
    let config = Config::from_env().inspect_err(|error| tracing::error!(%error, "the function cannot start"))?;
    Ok(Platform::new(&config, Ids::default()).heard_by(Arc::new(Emf)))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tower::ServiceExt;

    use super::*;
    use crate::config::{AwsConfig, EgressConfig};
    use crate::egress::Egress;
    use crate::http::{Api, Described, Group, Handler, Routes};
    use crate::job::ScheduledEvent;
    use crate::telemetry::metrics::{Amount, Report, Sink};

    #[derive(Debug, Default)]
    struct Heard(Mutex<Vec<Report>>);

    impl Sink for Heard {
        fn take(&self, report: &Report) {
            self.0.lock().unwrap().push(report.clone());
        }
    }

    impl Heard {
        fn counts(&self) -> Vec<(&'static str, u64)> {
            let reports = self.0.lock().unwrap();
            let measurements = reports.iter().flat_map(|report| &report.measurements);
            let counts = measurements.filter_map(|one| match one.amount {
                Amount::Count(count) => Some((one.metric.name(), count)),
                Amount::Times(_) => None,
            });
            counts.collect()
        }
    }

    /// A platform that nothing is asked of.
    fn platform() -> (Platform, Arc<Heard>) {
        let nowhere = ([127, 0, 0, 1], 9).into();
        let aws = AwsConfig::emulated(nowhere, nowhere);
        let heard = Arc::new(Heard::default());
        let platform = Platform::with_egress(&aws, Egress::new(EgressConfig::default()), Ids::default());
        (platform.heard_by(heard.clone()), heard)
    }

    struct Panics;

    #[async_trait::async_trait]
    impl Job for Panics {
        async fn run(&self, _event: ScheduledEvent) -> Result<Value, JobError> {
            std::panic::panic_any("a test's")
        }
    }

    #[tokio::test]
    async fn a_job_that_panics_is_told_of_and_panics_on() {
        let (platform, heard) = platform();
        let function = Function::job(&platform, "sweep", Arc::new(Panics));
        let event = json!({ "id": "1", "time": "2026-11-21T12:00:00Z" });
        let running = tokio::spawn(async move { function.invoke(event, Duration::from_secs(9)).await });
        assert!(running.await.unwrap_err().is_panic());
        assert_eq!(heard.counts(), [("JobRuns", 1), ("JobFailures", 1), ("ColdStarts", 1)]);
    }

    async fn broken() -> &'static str {
        std::panic::panic_any("a test's")
    }

    #[tokio::test]
    async fn a_handler_that_panics_is_a_server_error() {
        let (platform, heard) = platform();
        let group = Group {
            name: "keys",
            function: "keys-api",
            present: |problem| axum::response::IntoResponse::into_response(problem.error.status()),
            described: Described { document: "", page: "" },
        };
        let routes = Routes::default().get("/v1/broken", Handler::new("break_it", broken));
        let router = Api::frame(&platform, group, routes, ());
        let request = http::Request::get("/v1/broken").body(axum::body::Body::empty()).unwrap();
        let answer = router.oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 500);
        assert_eq!(heard.counts(), [("Requests", 1), ("ServerErrors", 1), ("ColdStarts", 1)]);
    }
}
