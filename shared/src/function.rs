//! Lambda mains, and the same functions invoked in process.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, Context, LambdaEvent, Service};
use serde_json::{Value, json};

use crate::clock::Ids;
use crate::config::Config;
use crate::job::{Event, Job, JobError};
use crate::table::{TableError, keys};
use crate::{Platform, deadline, telemetry};

/// A function, as Lambda and the local stack see it.
#[derive(Clone)]
pub enum Function {
    /// Answers API Gateway's requests.
    Api(Router),
    /// Runs on a schedule, or on the table's stream.
    Job(Arc<dyn Job>),
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Api(_) => "Api",
            Self::Job(_) => "Job",
        })
    }
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
            Self::Job(job) => {
                let event = Event::parse(event)
                    .map_err(|error| Failure { error_type: "MalformedEvent", message: error.to_string() })?;
                run_job(job.as_ref(), event, left)
                    .await
                    .map_err(|error| Failure { error_type: "JobError", message: error.to_string() })
            }
        }
    }
}

fn malformed(error: &serde_json::Error) -> Failure {
    Failure { error_type: "MalformedEvent", message: error.to_string() }
}

async fn run_job(job: &dyn Job, event: Event, left: Duration) -> Result<Value, JobError> {
    let work = async {
        match event {
            Event::Schedule(event) => job.run(event).await,
            Event::Stream(event) => job.run_stream(event).await,
        }
    };
    let outcome = deadline::within(left, work).await;
    match &outcome {
        Ok(result) => tracing::info!(%result, "the job ran"),
        Err(error) => {
            let mut causes = vec![error.to_string()];
            let mut next = std::error::Error::source(error);
            while let Some(cause) = next {
                causes.push(cause.to_string());
                next = cause.source();
            }
            tracing::error!(error = causes.join(": "), "the job failed");
        }
    }
    outcome
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

/// A Lambda main for a function that runs on a schedule or on the table's stream.
///
/// # Errors
/// A configuration that cannot be used, or the runtime's own.
pub async fn run_scheduled(job: impl FnOnce(&Platform) -> Arc<dyn Job>) -> Result<(), lambda_runtime::Error> {
    let job = job(&platform()?);
    lambda_runtime::run(lambda_runtime::service_fn(move |event: lambda_runtime::LambdaEvent<Value>| {
        let job = Arc::clone(&job);
        async move {
            let left = event.context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
            let event = Event::parse(event.payload)?;
            Ok::<_, lambda_runtime::Error>(run_job(job.as_ref(), event, left).await?)
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
    Ok(Platform::new(&config, Ids::default()))
}
