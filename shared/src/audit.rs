//! Who did what to which integration: the audit log.
//!
//! # Theory of operation
//! Before something is changed an entry is written that says what is about to be done ([`Step::Begun`]); if it cannot be
//! written, nothing is done. Afterwards another says how it ended ([`Step::Ended`]). Both have one id, which sorts by time,
//! so they stand side by side. A change whose process died in between has no end, and is seen to have none. What reveals
//! something and changes nothing has a single entry ([`Step::Revealed`]), written before the answer goes out; if it cannot
//! be written, the answer does not.
//!
//! Entries are only ever added: each is created on the condition that there is none of its key, and no function has a code
//! path that changes or removes one. DynamoDB removes them by itself when they have been kept long enough.
//!
//! Entries stand by tenant and day. Both of one act stand in the day in which it began.
//!
//! An entry has names (the route, the integration's id, the names of the fields that the request had), never values.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::auth::{Tenant, TokenRecord};
use crate::clock::Ids;
use crate::table::{Index, Key, Page, Record, Table, TableError, keys};
use crate::telemetry::redact;

/// For how long an end may take to be written, with an answer waiting behind it.
const ENDS_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);
/// So many names of fields are kept.
const MOST_FIELDS: usize = 100;
/// The longest name that is kept.
const LONGEST: usize = 200;

/// Which part of what was done an entry tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// It is about to be done.
    Begun,
    /// It was done, or refused.
    Ended,
    /// Something was shown, and nothing done.
    Revealed,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Ended => "ended",
            Self::Revealed => "revealed",
        }
    }
}

/// What somebody does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// Whose things are touched.
    pub tenant: Tenant,
    /// Who acts.
    pub user: String,
    /// The id of the token that they show, or `authorization` where a browser comes back from a platform.
    pub token: String,
    /// The group.
    pub group: String,
    /// Method and route: `PUT /api/integrations/{integrationId}`.
    pub operation: String,
    /// What the path names: an integration's id; in the vaults group also `owner/repo`, `owner/repo/environment` or a
    /// platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integration: Option<String>,
    /// The request's id.
    pub request_id: String,
    /// True if the request came with an idempotency key.
    #[serde(default)]
    pub idempotency_key: bool,
    /// The names of the fields at the top of the request's JSON body.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
}

/// What became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The answer's HTTP status.
    pub status: u16,
    /// True if an earlier answer was replayed and nothing done.
    pub replayed: bool,
    /// What the answer names: the id of what was created.
    pub integration: Option<String>,
}

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The same in both entries of one act. Sorts by the time at which it began.
    pub id: String,
    /// Which part it tells of.
    pub step: Step,
    /// When that was.
    pub at: Timestamp,
    /// When the act began.
    pub began_at: Timestamp,
    /// The act.
    #[serde(flatten)]
    pub act: Act,
    /// The answer's HTTP status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// True if an earlier answer was replayed and nothing done.
    #[serde(default)]
    pub replayed: bool,
    /// Until when it is kept, if not for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_until: Option<Timestamp>,
}

impl Record for Entry {
    fn index(&self) -> Index {
        Index { expires_at: self.kept_until, ..Index::default() }
    }
}

impl Entry {
    fn key(&self) -> Key {
        let partition = keys::audit::day(&self.act.tenant, &day(self.began_at));
        Key::new(partition, keys::audit::step(&self.id, self.step.name()))
    }
}

/// The day of a moment, in UTC, as the log is divided: `2026-11-21`.
#[must_use]
pub fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

impl Act {
    /// What the bearer of a token does.
    #[must_use]
    pub fn of(record: &TokenRecord, group: &str, operation: String, request_id: &str) -> Self {
        Self {
            tenant: record.tenant.clone(),
            user: record.user.clone(),
            token: record.id.clone(),
            group: group.to_owned(),
            operation,
            integration: None,
            request_id: redact(request_id),
            idempotency_key: false,
            fields: Vec::new(),
        }
    }

    /// The same to what is called so.
    #[must_use]
    pub fn to(self, integration: Option<&str>) -> Self {
        Self { integration: integration.map(name), ..self }
    }

    /// The same with fields of these names.
    #[must_use]
    pub fn with_fields(self, names: impl IntoIterator<Item = String>) -> Self {
        let mut fields: Vec<String> = names.into_iter().map(|field| name(&field)).collect();
        if let Some(more) = fields.len().checked_sub(MOST_FIELDS).filter(|more| *more > 0) {
            fields.truncate(MOST_FIELDS);
            fields.push(format!("(and {more} more)"));
        }
        Self { fields, ..self }
    }
}

/// A name as it is kept. What does not look like one might be a value that went to the wrong place.
fn name(text: &str) -> String {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/@~$ ".contains(&byte);
    if text.is_empty() || text.len() > LONGEST || !text.bytes().all(fits) {
        return "(unreadable)".into();
    }
    redact(text)
}

/// The log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AuditLog {
    table: Table,
    ids: Ids,
    days: u32,
}

/// An act that has been begun. It is to be ended.
#[derive(Debug)]
#[must_use]
pub struct Begun(Entry);

impl AuditLog {
    /// The log in `table`, whose entries are kept for so many days; 0 keeps them for ever.
    #[must_use]
    pub fn new(table: Table, ids: Ids, days: u32) -> Self {
        Self { table, ids, days }
    }

    /// Writes that an act is about to be done.
    ///
    /// # Errors
    /// Whatever keeps DynamoDB from answering. Then it must not be done.
    pub async fn begin(&self, act: Act) -> Result<Begun, TableError> {
        let entry = self.entry(Step::Begun, act);
        self.append(&entry).await?;
        Ok(Begun(entry))
    }

    /// Writes what became of it. If that fails the act stands there without an end, which is logged.
    pub async fn end(&self, Begun(begun): Begun, outcome: Outcome) {
        let Entry { id, began_at, act, kept_until, .. } = begun;
        let integration = outcome.integration.as_deref().map(name).or(act.integration);
        let entry = Entry {
            id,
            step: Step::Ended,
            at: self.ids.now(),
            began_at,
            // The names of fields stand in the first entry.
            act: Act { integration, fields: Vec::new(), ..act },
            status: Some(outcome.status),
            replayed: outcome.replayed,
            kept_until,
        };
        match tokio::time::timeout(ENDS_WITHIN, self.append(&entry)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, entry = entry.id, "the end of an act could not be written"),
            Err(_) => tracing::warn!(entry = entry.id, "the end of an act could not be written in time"),
        }
    }

    /// Writes that something was shown.
    ///
    /// # Errors
    /// Whatever keeps DynamoDB from answering. Then it must not be shown.
    pub async fn reveal(&self, act: Act, status: u16) -> Result<(), TableError> {
        let entry = Entry { status: Some(status), ..self.entry(Step::Revealed, act) };
        self.append(&entry).await
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// [`TableError::Exists`] if there is one of its id and step, and whatever keeps DynamoDB from answering.
    pub async fn append(&self, entry: &Entry) -> Result<(), TableError> {
        self.table.create(&entry.key(), entry.clone(), self.ids.uuid()).await.map(drop)
    }

    /// One Query for up to `limit` of a tenant's entries of one [`day`], the newest first, from before the entry `before`.
    ///
    /// # Errors
    /// Whatever keeps DynamoDB from answering.
    pub async fn page(
        &self,
        tenant: &Tenant,
        day: &str,
        before: Option<&Entry>,
        limit: usize,
    ) -> Result<Page<Entry>, TableError> {
        let before = before.map(|entry| entry.key().sort);
        self.table.page_backwards(&keys::audit::day(tenant, day), before.as_deref(), limit).await
    }

    fn entry(&self, step: Step, act: Act) -> Entry {
        let reservation = self.ids.reserve();
        let kept = SignedDuration::from_hours(i64::from(self.days) * 24);
        let kept_until = (self.days > 0).then(|| reservation.at.saturating_add(kept).unwrap_or(Timestamp::MAX));
        Entry {
            id: reservation.sortable(),
            step,
            at: reservation.at,
            began_at: reservation.at,
            act,
            status: None,
            replayed: false,
            kept_until,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_and_what_is_none_is_not() {
        for kept in ["name", "config", "STRIPE_KEY", "acme/app/production", "int_0mwqbv3fwshc69gihfvi5"] {
            assert_eq!(name(kept), kept);
        }
        for other in ["", "a\nb", "{\"a\":1}", "päss", &"a".repeat(201)] {
            assert_eq!(name(other), "(unreadable)");
        }
        assert_eq!(name("sk-0123456789abcdef"), "[redacted]");
    }

    #[test]
    fn only_so_many_names_are_kept() {
        let record = Act {
            tenant: Tenant::parse("acme").unwrap(),
            user: "someone".into(),
            token: "tok_1".into(),
            group: "vaults".into(),
            operation: "PUT /x".into(),
            integration: None,
            request_id: "1".into(),
            idempotency_key: false,
            fields: Vec::new(),
        };
        let act = record.with_fields((0..150).map(|number| format!("NAME_{number}")));
        assert_eq!((act.fields.len(), act.fields[100].as_str()), (101, "(and 50 more)"));
    }
}
