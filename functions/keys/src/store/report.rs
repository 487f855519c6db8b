//! What was reported of leases: each once, with its cost and its consequence for the key's health in one transaction.

use aws_sdk_dynamodb::types::{AttributeValue, Update};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use shared::auth::Tenant;
use shared::http::ApiError;
use shared::table::keys::pool;
use shared::table::{Index, Record, Stored, Table, TableError, refine};

use super::{Keys, failed, number, usage, whole, written};
use crate::lease::Lease;
use crate::model::{HealthStatus, KeyId, Outcome, Period, Report, Spent, Usage, day_of, day_of_minute};

const TRIES: u32 = 24;
/// The parts of what is reported of a day.
const PARTS: u8 = 8;
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
                after.health.on(report.event(lease.granted_at), now);
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
        let query = self
            .table
            .client()
            .query()
            .table_name(self.table.name())
            .key_condition_expression("pk = :partition AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":partition", AttributeValue::S(pool::uses(tenant, &id.sort())))
            .expression_attribute_values(":from", AttributeValue::S(format!("{}{from}", pool::DAY)))
            .expression_attribute_values(":to", AttributeValue::S(format!("{}{to}#~", pool::DAY)))
            .consistent_read(true);
        let items = query.send().await.map_err(refine)?.items.unwrap_or_default();
        let mut days: Vec<Day> = Vec::new();
        // In the order of their sort keys, so the parts of a day follow one another.
        for item in &items {
            let Some(date) = item.get("sk").and_then(|sort| pool::day_of(sort.as_s().ok()?)) else { continue };
            if days.last().is_none_or(|last| last.date != date) {
                days.push(Day { date: date.to_owned(), ..Day::default() });
            }
            let Some(day) = days.last_mut() else { continue };
            let count = |name: &str| whole::<u64>(item, name).unwrap_or_default();
            day.requests = day.requests.saturating_add(count("requests"));
            day.successes = day.successes.saturating_add(count("successes"));
            day.errors = day.errors.saturating_add(count("errors"));
            day.cost += whole::<f64>(item, "cost").unwrap_or_default();
        }
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

    /// What was reported to have been spent with a key.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn spent(&self, tenant: &Tenant, id: KeyId, now: Timestamp) -> Result<Spent, TableError> {
        let today = day_of(now);
        let first = format!("{}-01", Period::Monthly.of(now));
        let days = self.days(tenant, id, &Usage::default(), &first, &today).await?;
        let sum = |days: &[Day]| Some(days.iter().map(|day| day.cost).sum::<f64>()).filter(|sum| *sum > 0.0);
        let last = days.last().filter(|day| day.date == today);
        Ok(Spent { today: last.and_then(|day| sum(std::slice::from_ref(day))), month: sum(&days) })
    }
}

/// Adds a report to a part of the record of the day in which the lease was granted. Transactions that meet on one item
/// refuse one another, so a day has several.
fn tally(
    table: &Table,
    tenant: &Tenant,
    lease: &Lease,
    report: &Report,
) -> aws_sdk_dynamodb::types::builders::UpdateBuilder {
    let day = day_of(lease.granted_at);
    let expires_at = lease.granted_at.saturating_add(usage::HISTORY).unwrap_or(lease.granted_at);
    let part = lease.nonce.last().copied().unwrap_or_default() % PARTS;
    let counted = if report.outcome == Outcome::Success { "successes" } else { "errors" };
    Update::builder()
        .table_name(table.name())
        .set_key(Some(pool::tally(tenant, &lease.id.sort(), &day, part).attributes()))
        .update_expression("SET expires_at = :expires_at ADD #counted :one, #cost :cost")
        .expression_attribute_names("#counted", counted)
        .expression_attribute_names("#cost", "cost")
        .expression_attribute_values(":expires_at", number(expires_at.as_second()))
        .expression_attribute_values(":one", number(1))
        .expression_attribute_values(":cost", AttributeValue::N(format!("{:.9}", report.cost)))
}
