//! What was reported of leases: each once, with its cost and its consequence for the key's health in one transaction.

use aws_sdk_dynamodb::types::{AttributeValue, Update};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use shared::auth::Tenant;
use shared::http::ApiError;
use shared::table::keys::{self as places, pool};
use shared::table::{Index, Record, Stored, Table, TableError, refine};

use super::{Keys, failed, number, usage, whole, written};
use crate::GROUP;
use crate::lease::Lease;
use crate::model::{HealthStatus, KeyId, Outcome, Period, Report, Usage, day_of, day_of_minute};

const TRIES: u32 = 24;
/// A little longer than reports are taken for.
const REPORTS_KEPT: SignedDuration = SignedDuration::from_hours(25);

/// What the first report of a lease came to; a second one is answered the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reported {
    /// The key.
    pub id: KeyId,
    /// How the use went.
    pub outcome: Outcome,
    /// How the key was after it.
    pub health: HealthStatus,
    /// Failures in a row after it.
    pub failures: u32,
    /// Until when the key cooled down after it.
    pub cooling_until: Option<Timestamp>,
    /// When it was reported.
    pub at: Timestamp,
}

impl Record for Reported {
    fn index(&self) -> Index {
        Index { expires_at: self.at.saturating_add(REPORTS_KEPT).ok(), ..Index::default() }
    }
}

/// A key's uses in one UTC day.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Day {
    /// The day: `2026-11-21`.
    pub date: String,
    /// Uses.
    pub requests: u64,
    /// Uses that were reported to have gone well.
    pub successes: u64,
    /// Uses that were reported to have gone otherwise.
    pub errors: u64,
    /// What was reported to have been spent.
    pub cost: f64,
}

impl Keys {
    /// Takes in the report on a lease, once.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the key has been deleted.
    pub async fn report(&self, tenant: &Tenant, lease: &Lease, report: &Report) -> Result<Reported, ApiError> {
        let place = pool::report(tenant, &lease.id.sort(), &lease.name());
        for attempt in 0..TRIES {
            let Stored { record: before, version } = self.stored(tenant, lease.id).await?;
            let now = self.ids.now();
            let mut after = before.clone();
            // A report on a credential that has been rotated away says nothing about the present one.
            if lease.revision == before.revision {
                after.health.on(report.event(), now);
            }
            let reported = Reported {
                id: lease.id,
                outcome: report.outcome,
                health: after.health.status(),
                failures: after.health.failures,
                cooling_until: after.health.cooling(now),
                at: now,
            };
            let mut transaction = self.table.transaction();
            transaction.create(&place, &reported)?;
            transaction.push(written(tally(&self.table, tenant, lease, report))?);
            if after.health != before.health {
                self.touch(&before, &mut after);
                transaction.replace(&Self::place(tenant, lease.id), &after, version)?;
                self.raise(tenant, &after, false, &mut transaction).await?;
            }
            match self.table.commit(transaction).await {
                Ok(()) => return Ok(reported),
                Err(error) if error.failed_at(0) => return Ok(self.table.get::<Reported>(&place).await?.record),
                Err(error) if error.is_contention() => self.table.pause(attempt).await,
                Err(error) => return Err(failed(error)),
            }
        }
        Err(TableError::Contended.into())
    }

    /// A key's days from `from` to `to`, those without a use left out. `usage` is its live usage, which holds the present
    /// day's count.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn days(
        &self,
        tenant: &Tenant,
        id: KeyId,
        usage: &Usage,
        from: &str,
        to: &str,
    ) -> Result<Vec<Day>, TableError> {
        let prefix = pool::days_prefix(&id.sort());
        let query = self
            .table
            .client()
            .query()
            .table_name(self.table.name())
            .key_condition_expression("pk = :partition AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":partition", AttributeValue::S(places::integrations(tenant, GROUP)))
            .expression_attribute_values(":from", AttributeValue::S(format!("{prefix}{from}")))
            .expression_attribute_values(":to", AttributeValue::S(format!("{prefix}{to}")))
            .consistent_read(true);
        let items = query.send().await.map_err(refine)?.items.unwrap_or_default();
        let mut days: Vec<Day> = items
            .iter()
            .filter_map(|item| {
                Some(Day {
                    date: item.get("sk")?.as_s().ok()?.strip_prefix(&prefix)?.to_owned(),
                    requests: whole(item, "requests").unwrap_or_default(),
                    successes: whole(item, "successes").unwrap_or_default(),
                    errors: whole(item, "errors").unwrap_or_default(),
                    cost: whole(item, "cost").unwrap_or_default(),
                })
            })
            .collect();
        let live = day_of_minute(usage.minute);
        if usage.day_count > 0 && (from..=to).contains(&live.as_str()) {
            match days.iter_mut().find(|day| day.date == live) {
                Some(day) => day.requests = usage.day_count,
                None => days.push(Day { date: live, requests: usage.day_count, ..Day::default() }),
            }
            days.sort_by(|one, other| one.date.cmp(&other.date));
        }
        Ok(days)
    }

    /// What was reported to have been spent with a key in the present period; `None` if nothing was.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn reported_spend(
        &self,
        tenant: &Tenant,
        id: KeyId,
        period: Period,
        now: Timestamp,
    ) -> Result<Option<f64>, TableError> {
        let today = day_of(now);
        let from = match period {
            Period::Daily => today.clone(),
            Period::Monthly => format!("{}-01", period.of(now)),
        };
        let days = self.days(tenant, id, &Usage::default(), &from, &today).await?;
        let spent: f64 = days.iter().map(|day| day.cost).sum();
        Ok((spent > 0.0).then_some(spent))
    }
}

/// Adds a report to the record of the day in which the lease was granted.
fn tally(
    table: &Table,
    tenant: &Tenant,
    lease: &Lease,
    report: &Report,
) -> aws_sdk_dynamodb::types::builders::UpdateBuilder {
    let day = day_of(lease.granted_at);
    let expires_at = lease.granted_at.saturating_add(usage::HISTORY).unwrap_or(lease.granted_at);
    let counted = if report.outcome == Outcome::Success { "successes" } else { "errors" };
    Update::builder()
        .table_name(table.name())
        .set_key(Some(pool::day(tenant, &lease.id.sort(), &day).attributes()))
        .update_expression("SET expires_at = :expires_at ADD #counted :one, #cost :cost")
        .expression_attribute_names("#counted", counted)
        .expression_attribute_names("#cost", "cost")
        .expression_attribute_values(":expires_at", number(expires_at.as_second()))
        .expression_attribute_values(":one", number(1))
        .expression_attribute_values(":cost", AttributeValue::N(format!("{:.9}", report.cost)))
}
