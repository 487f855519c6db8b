//! `causeway audit`: who did what to which integration.
//!
//! The log is divided by days, and is read from the newest on. Most days have less than a page, so the first pages of
//! several are asked for at once; what a day has beyond its first page is asked for when it comes to that.

use std::collections::VecDeque;
use std::io::{self, Write};

use clap::Args;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use serde::Serialize;
use shared::Platform;
use shared::audit::{Act, Entry, Step};
use shared::auth::Tenant;
use shared::table::{Page, TableError};

use crate::operate::{OperateError, Target, parse_tenant};

/// So many entries are read at a time.
const PAGE: usize = 200;
/// The first pages of so many days are asked for at once.
const DAYS_AT_ONCE: usize = 16;
/// No log is older.
const FIRST_DAY: Date = jiff::civil::date(2026, 1, 1);
/// How far back is looked unless it is said.
const DAYS: i64 = 30;

/// Options of `causeway audit`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Whose entries; of every tenant that tokens were minted for unless given. One that is known by JWTs of your own issuer
    /// alone has to be named.
    #[arg(long)]
    pub tenant: Option<String>,
    /// Only what was done to this: an integration's id; in the vaults group also owner/repo, with the environment behind
    /// it or not, or a platform.
    #[arg(long, value_name = "ID")]
    pub integration: Option<String>,
    /// From when on: a day in UTC (2026-11-21) or a moment (2026-11-21T08:00:00Z). Thirty days ago unless given.
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    pub since: Option<Timestamp>,
    /// Until when, the same way; up to now unless given.
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    pub until: Option<Timestamp>,
    /// A JSON object for each, one a line.
    #[arg(long)]
    pub json: bool,
    /// Which stack.
    #[command(flatten)]
    pub target: Target,
}

/// What was done: a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Done {
    /// Names it. Sorts by time.
    pub id: String,
    /// When it began.
    pub at: Timestamp,
    /// When it ended. None if no end was written: its process died, or is at it still.
    pub ended_at: Option<Timestamp>,
    /// The answer's HTTP status, if it ended.
    pub status: Option<u16>,
    /// True if it was shown and nothing done.
    pub revealed: bool,
    /// True if an earlier answer was replayed and nothing done.
    pub replayed: bool,
    /// Who did what to what.
    #[serde(flatten)]
    pub act: Act,
}

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Only what was done to this, or to what is under it.
    pub integration: Option<String>,
    /// From when on.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

/// A day or a moment.
fn moment(text: &str) -> Result<Timestamp, String> {
    let accepted = || "expected a day (2026-11-21) or a moment (2026-11-21T08:00:00Z)".to_owned();
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let day: Date = text.parse().map_err(|_| accepted())?;
    day.to_zoned(TimeZone::UTC).map(|at| at.timestamp()).map_err(|_| accepted())
}

/// Runs `causeway audit`.
///
/// # Errors
/// [`OperateError`].
pub async fn run(options: Options) -> Result<(), OperateError> {
    let platform = options.target.platform().await?;
    let tenants = match &options.tenant {
        Some(tenant) => vec![parse_tenant(tenant)?],
        None => platform.tokens.tenants().await.map_err(options.target.failed("the tenants could not be listed"))?,
    };
    let until = options.until.unwrap_or_else(|| platform.ids.now());
    let days = SignedDuration::from_hours(24 * DAYS);
    let since = options.since.unwrap_or_else(|| until.saturating_sub(days).unwrap_or(Timestamp::MIN));
    if since > until {
        return Err(OperateError::Argument(format!("--since {since} is after --until {until}")));
    }
    let wanted = Wanted { integration: options.integration.clone(), since, until };
    let mut out = io::stdout().lock();
    for tenant in tenants {
        let mut log = Reading::new(&platform, &tenant, &wanted);
        while let Some(done) = log.next().await.map_err(options.target.failed("the audit log could not be read"))? {
            if options.json {
                writeln!(out, "{}", serde_json::to_string(&done).map_err(io::Error::from)?)?;
            } else {
                writeln!(out, "{}", line(&done))?;
            }
        }
    }
    Ok(())
}

/// A tenant's log from the newest to the oldest, each act once, a page at a time.
#[derive(Debug)]
pub struct Reading<'a> {
    platform: &'a Platform,
    tenant: &'a Tenant,
    wanted: &'a Wanted,
    /// The newest day that was not asked for yet; none once the oldest that is wanted was.
    day: Option<Date>,
    /// The first pages of days that come next, the newest first.
    ahead: VecDeque<(String, Page<Entry>)>,
    /// The day that is being read, and the last entry that was read of it, if there are more.
    rest: Option<(String, Entry)>,
    /// What was read and not yet looked at, the newest last.
    entries: Vec<Entry>,
    /// An end whose beginning comes next.
    end: Option<Entry>,
}

impl<'a> Reading<'a> {
    /// What is wanted of a tenant's log.
    #[must_use]
    pub fn new(platform: &'a Platform, tenant: &'a Tenant, wanted: &'a Wanted) -> Self {
        // An entry's time may be a little ahead of this machine's.
        let tomorrow = platform.ids.now().saturating_add(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MAX);
        let newest = date(wanted.until.min(tomorrow));
        let day = (newest >= oldest(wanted)).then_some(newest);
        let (ahead, entries) = (VecDeque::new(), Vec::new());
        Self { platform, tenant, wanted, day, ahead, rest: None, entries, end: None }
    }

    /// The next act, older than the one before.
    ///
    /// # Errors
    /// Whatever keeps the table from answering.
    pub async fn next(&mut self) -> Result<Option<Done>, TableError> {
        loop {
            let Some(entry) = self.entry().await? else {
                // Its beginning is gone: it was kept no longer.
                return Ok(self.end.take().map(|end| done(end, None)).filter(|done| self.wants(done)));
            };
            let found = match (entry.step, self.end.take()) {
                (Step::Begun, Some(end)) if end.id == entry.id => done(entry, Some(end)),
                (Step::Ended, before) => {
                    self.end = Some(entry);
                    let Some(before) = before else { continue };
                    done(before, None)
                }
                (_, None) => done(entry, None),
                (_, Some(end)) => {
                    self.entries.push(entry);
                    done(end, None)
                }
            };
            if self.wants(&found) {
                return Ok(Some(found));
            }
        }
    }

    fn wants(&self, done: &Done) -> bool {
        let wanted = self.wanted;
        let named = done.act.integration.as_deref();
        let is =
            |named: &str, id: &str| named.strip_prefix(id).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let fits = wanted.integration.as_deref().is_none_or(|id| named.is_some_and(|named| is(named, id)));
        fits && (wanted.since..=wanted.until).contains(&done.at)
    }

    /// The next entry, whatever it is.
    async fn entry(&mut self) -> Result<Option<Entry>, TableError> {
        loop {
            if let Some(entry) = self.entries.pop() {
                if entry.began_at < self.wanted.since {
                    (self.day, self.rest) = (None, None);
                    self.ahead.clear();
                    self.entries.clear();
                    return Ok(None);
                }
                return Ok(Some(entry));
            }
            if let Some((day, last)) = self.rest.take() {
                let page = self.platform.audit.page(self.tenant, &day, Some(&last), PAGE).await?;
                self.turn_to(day, page);
            } else if let Some((day, page)) = self.ahead.pop_front() {
                self.turn_to(day, page);
            } else if !self.ask_ahead().await? {
                return Ok(None);
            }
        }
    }

    fn turn_to(&mut self, day: String, page: Page<Entry>) {
        self.rest = page.records.last().filter(|_| page.more).map(|last| (day, last.clone()));
        self.entries = page.records;
        self.entries.reverse();
    }

    /// Asks for the first pages of the next days; false if there are none.
    async fn ask_ahead(&mut self) -> Result<bool, TableError> {
        let oldest = oldest(self.wanted);
        let mut days = Vec::with_capacity(DAYS_AT_ONCE);
        while let Some(next) = self.day.filter(|_| days.len() < DAYS_AT_ONCE) {
            days.push(next.to_string());
            self.day = next.yesterday().ok().filter(|day| *day >= oldest);
        }
        let (log, tenant) = (&self.platform.audit, self.tenant);
        let asked = days.into_iter().map(|day| async move {
            let page = log.page(tenant, &day, None, PAGE).await?;
            Ok::<_, TableError>((day, page))
        });
        self.ahead = stream::iter(asked).buffered(DAYS_AT_ONCE).try_collect().await?;
        Ok(!self.ahead.is_empty())
    }
}

/// The day of a moment in UTC.
fn date(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// The first day that is looked at.
fn oldest(wanted: &Wanted) -> Date {
    date(wanted.since).max(FIRST_DAY)
}

/// An act of its first entry and its end; an end may stand alone.
fn done(first: Entry, end: Option<Entry>) -> Done {
    let Entry { id, step, at, began_at, act, status, replayed, .. } = first;
    let alone = (step != Step::Begun).then_some(at);
    let (ended_at, status, replayed, integration) = match end {
        Some(end) => (Some(end.at), end.status, end.replayed, end.act.integration.or(act.integration)),
        None => (alone, status, replayed, act.integration),
    };
    let revealed = step == Step::Revealed;
    Done { id, at: began_at, ended_at, status, revealed, replayed, act: Act { integration, ..act } }
}

/// What was done, for a person.
#[must_use]
pub fn line(done: &Done) -> String {
    let Done { at, status, replayed, act, .. } = done;
    let ended = match status {
        Some(status) if *replayed => format!("{status} replayed"),
        Some(status) => status.to_string(),
        None => "no end was written".into(),
    };
    let key = if act.idempotency_key { "  with an idempotency key" } else { "" };
    let fields = if act.fields.is_empty() { String::new() } else { format!("  fields {}", act.fields.join(",")) };
    let Act { tenant, user, token, group, operation, request_id, .. } = act;
    let integration = act.integration.as_deref().unwrap_or("-");
    format!(
        "{at:.3}  {tenant}  {user}  {token}  {group}  {operation}  {integration}  {ended}{fields}{key}  {request_id}"
    )
}

#[cfg(test)]
mod tests {
    use shared::audit::day;

    use super::*;

    #[test]
    fn a_day_begins_at_midnight_in_utc() {
        assert_eq!(moment("2026-11-21").unwrap().to_string(), "2026-11-21T00:00:00Z");
        assert_eq!(moment("2026-11-21T08:00:00+02:00").unwrap().to_string(), "2026-11-21T06:00:00Z");
        assert!(moment("yesterday").unwrap_err().contains("2026-11-21"));
        // As the log names its days.
        let late = moment("2026-11-21T23:59:59Z").unwrap();
        assert_eq!(date(late).to_string(), day(late));
    }
}
