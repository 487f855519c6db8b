//! Scheduled work. Events come at least once, so every job is written to be run again.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::Ids;
use crate::table::{Key, Record, Stored, Table, TableError, keys};

/// An EventBridge event: what a schedule sends.
#[derive(Debug, Clone, Deserialize)]
pub struct ScheduledEvent {
    /// Unique to the event, the same in a second delivery.
    pub id: String,
    /// When the schedule fired.
    pub time: Timestamp,
    /// `Scheduled Event`, or `Resume` from a job's second schedule.
    #[serde(rename = "detail-type", default)]
    pub detail_type: String,
}

impl ScheduledEvent {
    /// What a job's second schedule sends as `detail-type`: go on with a run that ran out of time, start none.
    pub const RESUME: &'static str = "Resume";

    /// True if this starts no run of its own.
    #[must_use]
    pub fn is_resume(&self) -> bool {
        self.detail_type == Self::RESUME
    }
}

/// A batch of a table's stream: which items were written.
#[derive(Debug, Clone, Deserialize)]
pub struct StreamEvent {
    #[serde(rename = "Records")]
    records: Vec<StreamRecord>,
}

#[derive(Debug, Clone, Deserialize)]
struct StreamRecord {
    dynamodb: StreamChange,
}

#[derive(Debug, Clone, Deserialize)]
struct StreamChange {
    #[serde(rename = "Keys")]
    keys: StreamKeys,
    /// One that is made by hand may lack it. An empty one in an answer has the whole batch delivered again.
    #[serde(rename = "SequenceNumber", default)]
    sequence_number: String,
}

#[derive(Debug, Clone, Deserialize)]
struct StreamKeys {
    pk: StreamText,
    sk: StreamText,
}

#[derive(Debug, Clone, Deserialize)]
struct StreamText {
    #[serde(rename = "S")]
    text: String,
}

impl StreamRecord {
    fn key(&self) -> Key {
        let StreamKeys { pk, sk } = &self.dynamodb.keys;
        Key::new(&pk.text, &sk.text)
    }
}

/// A record that is to be delivered again, as a stream's event source mapping reads it out of `batchItemFailures`. It
/// delivers everything from the first of them on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchItemFailure {
    /// The record's sequence number.
    pub item_identifier: String,
}

impl StreamEvent {
    /// The keys of the items that were written, in the stream's order. One that was written twice is there twice.
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        self.records.iter().map(StreamRecord::key).collect()
    }

    /// The records of the items whose keys have `failed`, in the stream's order.
    #[must_use]
    pub fn failures(&self, failed: impl Fn(&Key) -> bool) -> Vec<BatchItemFailure> {
        let records = self.records.iter().filter(|record| failed(&record.key()));
        records.map(|record| BatchItemFailure { item_identifier: record.dynamodb.sequence_number.clone() }).collect()
    }
}

/// What starts a job.
#[derive(Debug, Clone)]
pub enum Event {
    /// A table's stream.
    Stream(StreamEvent),
    /// A schedule.
    Schedule(ScheduledEvent),
}

impl Event {
    /// Tells a stream's batch by its records; anything else should come from a schedule.
    ///
    /// # Errors
    /// What about it is not as it should be.
    pub fn parse(event: serde_json::Value) -> Result<Self, JobError> {
        if event.get("Records").is_some() {
            serde_json::from_value(event).map(Self::Stream).map_err(JobError::Stream)
        } else {
            serde_json::from_value(event).map(Self::Schedule).map_err(JobError::Event)
        }
    }
}

/// Why a job gave up. The runtime reports it, and the event is delivered again.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The event is not one that a schedule sends.
    #[error("the event is not a scheduled event: {0}")]
    Event(#[source] serde_json::Error),
    /// The event is not one that a table's stream sends, or the function takes none.
    #[error("the event is not a batch of a stream that this function takes: {0}")]
    Stream(#[source] serde_json::Error),
    /// The table did not do as it was asked.
    #[error("the table failed")]
    Table(#[from] TableError),
    /// Secrets Manager did not do as it was asked.
    #[error("Secrets Manager failed")]
    Credentials(#[from] crate::credentials::CredentialError),
    /// Some of the work could not be done; what it was is in the log.
    #[error("{0}")]
    Failed(String),
    /// The result could not be written.
    #[error("the result could not be written")]
    Result(#[source] serde_json::Error),
}

/// A function that works in the background.
#[async_trait::async_trait]
pub trait Job: Send + Sync {
    /// Works until done or until the deadline is near, and says what it did.
    ///
    /// # Errors
    /// [`JobError`] if it could not go on; what was done stays done.
    async fn run(&self, event: ScheduledEvent) -> Result<serde_json::Value, JobError>;

    /// The same for what was written to the table, in a job that takes its stream. Of a batch that was done in part the
    /// rest is in the answer's `batchItemFailures`.
    ///
    /// # Errors
    /// [`JobError`] if it could not go on, or nothing of the batch could be done; what was done stays done.
    async fn run_stream(&self, _event: StreamEvent) -> Result<serde_json::Value, JobError> {
        Err(JobError::Stream(serde::de::Error::custom("it takes none")))
    }
}

/// One run of a job over everything that was due when it began. It outlives an invocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    event_id: String,
    event_time: Timestamp,
    /// What was due by then belongs to the run.
    pub cutoff: Timestamp,
    finished: bool,
}

impl Record for Run {}

impl Run {
    /// The run to work on: a new one for a new event; the present one for a second delivery, for an event older than the
    /// present run's, and for [`ScheduledEvent::RESUME`]. `None` if that one is finished, or there is none.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn join(
        table: &Table,
        ids: &Ids,
        function: &str,
        event: &ScheduledEvent,
    ) -> Result<Option<Self>, TableError> {
        let key = keys::job_run(function);
        let fresh = Self { event_id: event.id.clone(), event_time: event.time, cutoff: ids.now(), finished: false };
        for attempt in 0..12 {
            let Stored { record: present, version } = match table.get::<Self>(&key).await {
                Ok(stored) => stored,
                Err(TableError::Missing) if event.is_resume() => return Ok(None),
                Err(TableError::Missing) => match table.create(&key, fresh.clone(), ids.uuid()).await {
                    Ok(stored) => return Ok(Some(stored.record)),
                    Err(TableError::Exists) => continue,
                    Err(error) => return Err(error),
                },
                Err(error) => return Err(error),
            };
            if event.is_resume() || present.event_id == event.id || event.time < present.event_time {
                return Ok((!present.finished).then_some(present));
            }
            match table.replace(&key, fresh.clone(), version).await {
                Ok(stored) => return Ok(Some(stored.record)),
                Err(TableError::Contended) => table.pause(attempt).await,
                Err(error) => return Err(error),
            }
        }
        Err(TableError::Contended)
    }

    /// Records that nothing of the run is left.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer; the run is then joined once more and found empty.
    pub async fn finish(self, table: &Table, function: &str) -> Result<(), TableError> {
        table
            .update(&keys::job_run(function), |present: &mut Self| -> Result<(), TableError> {
                if present.event_id == self.event_id {
                    present.finished = true;
                }
                Ok(())
            })
            .await?;
        Ok(())
    }
}
