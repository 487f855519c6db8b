//! `GET /api/v1/integrations/{id}/usage?from&to`: a key's uses and cost by the day, for a chart.

use axum::Json;
use axum::extract::State;
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, FieldProblem, Query};
use utoipa::ToSchema;

use super::Named;
use crate::Group;
use crate::model::KeyId;
use crate::store::Day;

const DAYS: i64 = 30;
const MOST_DAYS: usize = 400;
const DATE: &str = "a date such as 2026-11-21";

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Usage)]
pub(super) struct Chart {
    success: bool,
    integration_id: KeyId,
    #[schema(value_type = String, format = Date)]
    from: Date,
    #[schema(value_type = String, format = Date)]
    to: Date,
    days: Vec<Row>,
    totals: Totals,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageOfDay)]
struct Row {
    #[schema(format = Date)]
    date: String,
    requests: u64,
    successes: u64,
    errors: u64,
    cost: f64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageTotals)]
struct Totals {
    requests: u64,
    cost: f64,
}

/// Shows a key's uses and cost by the day.
#[utoipa::path(
    get,
    path = "/api/v1/integrations/{id}/usage",
    tag = "money",
    security(("bearer" = ["keys:read"])),
    params(
        ("id" = KeyId, Path, description = "The key's id."),
        ("from" = Option<String>, Query, format = Date, description = "The first day; 29 days before the last unless given, 400 at most."),
        ("to" = Option<String>, Query, format = Date, description = "The last day, in UTC; today unless given."),
    ),
    responses(
        (status = 200, description = "Every day of the range, those without a use too.", body = Chart),
    ),
)]
pub(super) async fn get_usage(
    State(group): State<Group>,
    caller: Caller<needs::KeysRead>,
    Named(id): Named,
    mut query: Query,
) -> Result<Json<Chart>, ApiError> {
    let today = group.platform.ids.now().to_zoned(TimeZone::UTC).date();
    let to = query.parsed("to", DATE, |text| text.parse::<Date>().ok()).unwrap_or(today);
    let from = query.parsed("from", DATE, |text| text.parse::<Date>().ok());
    let sent = query.text("from").unwrap_or_default().to_owned();
    query.finish()?;
    let from = from.unwrap_or_else(|| to.saturating_sub((DAYS - 1).days()));
    let dates: Vec<Date> = from.series(1.day()).take_while(|date| *date <= to).take(MOST_DAYS + 1).collect();
    if dates.is_empty() || dates.len() > MOST_DAYS {
        let message = format!("must be no later than to, and no more than {MOST_DAYS} days before it");
        return Err(ApiError::InvalidInput(vec![FieldProblem::new("from", "value", message).in_query(sent)]));
    }
    let key = group.keys.read(caller.tenant(), id).await?;
    let usage = group.keys.usage(caller.tenant(), &key).await?;
    let known = group.keys.days(caller.tenant(), id, &usage, &from.to_string(), &to.to_string()).await?;
    Ok(Json(Chart::of(id, &dates, &known, from, to)))
}

impl Chart {
    /// Every day of the range, those without a use too.
    fn of(id: KeyId, dates: &[Date], known: &[Day], from: Date, to: Date) -> Self {
        let totals = Totals {
            requests: known.iter().map(|day| day.requests).sum(),
            cost: known.iter().map(|day| day.cost).sum(),
        };
        let days = dates.iter().map(|date| {
            let date = date.to_string();
            let day = known.iter().find(|day| day.date == date).cloned().unwrap_or_default();
            Row { date, requests: day.requests, successes: day.successes, errors: day.errors, cost: day.cost }
        });
        Self { success: true, integration_id: id, from, to, days: days.collect(), totals }
    }
}
