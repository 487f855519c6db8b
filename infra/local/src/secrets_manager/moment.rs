//! A point in time as the service shows it: milliseconds, written as seconds with a fraction.

use jiff::Timestamp;
use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlResult, ToSqlOutput, ValueRef};
use serde::{Serialize, Serializer};

const DAY: i64 = 24 * 60 * 60 * 1_000;

/// Milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(i64);

impl Moment {
    /// Milliseconds since the epoch.
    pub(super) fn milliseconds(self) -> i64 {
        self.0
    }

    /// The moment `days` later.
    pub(super) fn plus_days(self, days: i64) -> Self {
        Self(self.0.saturating_add(days.saturating_mul(DAY)))
    }

    /// Midnight, UTC, of the same day: access dates have no time.
    pub(super) fn start_of_day(self) -> Self {
        Self(self.0 - self.0.rem_euclid(DAY))
    }
}

impl From<Timestamp> for Moment {
    fn from(timestamp: Timestamp) -> Self {
        Self(timestamp.as_millisecond())
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0 as f64 / 1_000.0)
    }
}

impl ToSql for Moment {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl FromSql for Moment {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        i64::column_result(value).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_as_seconds_with_a_fraction() {
        let moment = Moment::from(Timestamp::from_millisecond(1_700_000_000_123).unwrap());
        assert_eq!(serde_json::to_string(&moment).unwrap(), "1700000000.123");
    }

    #[test]
    fn starts_its_day_at_midnight_before_the_epoch_too() {
        assert_eq!(Moment(DAY + 1).start_of_day(), Moment(DAY));
        assert_eq!(Moment(-1).start_of_day(), Moment(-DAY));
    }
}
