//! Moments as exports and spreadsheets write them.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

/// No coin is older.
const EARLIEST: i16 = 2009;
const LATEST: i16 = 2100;

/// Reads a moment. Where it names no zone it is in `zone`.
///
/// # Errors
/// What is wrong with it: the rest of a sentence about it.
pub(super) fn parse(text: &str, zone: Offset) -> Result<Timestamp, &'static str> {
    let text = text.trim();
    let at = read(text, zone)?;
    let year = Offset::UTC.to_datetime(at).year();
    if (EARLIEST..=LATEST).contains(&year) { Ok(at) } else { Err("lies before 2009 or after 2100") }
}

const NO_TIME: &str = "is not a date and time, such as 2024-05-31 23:59:59";

fn read(text: &str, zone: Offset) -> Result<Timestamp, &'static str> {
    if text.len() > 64 || !text.is_ascii() {
        return Err(NO_TIME);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        return of_epoch(text).ok_or(NO_TIME);
    }
    // `2024-05-31T23:59:59Z`, `2024-05-31 23:59:59 UTC`, `2024-05-31 23:59:59 +0000 UTC`, `31.05.2024 23:59`.
    let text = text.trim_end_matches("UTC").trim_end_matches("GMT").trim_end();
    let (text, is_utc) = match text.strip_suffix(['Z', 'z']) {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let (day, rest) = text.split_once(['T', ' ']).unwrap_or((text, ""));
    let date = date(day.trim_end_matches(','))?;
    let rest = rest.trim();
    let (clock, offset) = match rest.char_indices().find(|(_, sign)| matches!(sign, '+' | '-')) {
        Some((at, _)) => {
            let (clock, offset) = rest.split_at(at);
            (clock.trim_end(), Some(self::offset(offset).ok_or(NO_TIME)?))
        }
        None => (rest, None),
    };
    let time = time(clock).ok_or(NO_TIME)?;
    let zone = if is_utc { Offset::UTC } else { offset.unwrap_or(zone) };
    zone.to_timestamp(DateTime::from_parts(date, time)).map_err(|_| NO_TIME)
}

/// Seconds or milliseconds since 1970.
fn of_epoch(text: &str) -> Option<Timestamp> {
    let number: i64 = text.parse().ok()?;
    match text.len() {
        10 => Timestamp::from_second(number).ok(),
        13 => Timestamp::from_millisecond(number).ok(),
        _ => None,
    }
}

fn number(text: &str, most: usize) -> Option<i16> {
    let fits = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}

/// Year, month and day, by dashes, slashes or dots. With dots the day comes first, as where dots are used; with slashes
/// either may, so it must show.
fn date(text: &str) -> Result<Date, &'static str> {
    let mark = text.chars().find(|letter| matches!(letter, '-' | '/' | '.')).ok_or(NO_TIME)?;
    let parts: Vec<&str> = text.split(mark).collect();
    let [first, second, third] = parts.as_slice() else { return Err(NO_TIME) };
    let part = |text: &str, most| number(text, most).ok_or(NO_TIME);
    let (year, month, day) = if first.len() == 4 {
        (part(first, 4)?, part(second, 2)?, part(third, 2)?)
    } else if third.len() == 4 {
        let (first, second, year) = (part(first, 2)?, part(second, 2)?, part(third, 4)?);
        match mark {
            '.' => (year, second, first),
            _ if first > 12 => (year, second, first),
            _ if second > 12 || first == second => (year, first, second),
            _ => return Err("may be day and month or month and day: write the year first"),
        }
    } else if mark == '-' && first.len() == 2 {
        // Binance writes 24-05-31.
        (2_000 + part(first, 2)?, part(second, 2)?, part(third, 2)?)
    } else {
        return Err(NO_TIME);
    };
    let small = |number: i16| i8::try_from(number).map_err(|_| NO_TIME);
    Date::new(year, small(month)?, small(day)?).map_err(|_| NO_TIME)
}

/// `23:59`, `23:59:59`, `23:59:59.123`, `11:59:59 PM`; midnight if there is none.
fn time(text: &str) -> Option<Time> {
    if text.is_empty() {
        return Some(Time::midnight());
    }
    let upper = text.to_ascii_uppercase();
    let (clock, half) = match (upper.strip_suffix("AM"), upper.strip_suffix("PM")) {
        (Some(clock), _) => (clock.trim_end(), Some(0)),
        (None, Some(clock)) => (clock.trim_end(), Some(12)),
        (None, None) => (upper.as_str(), None),
    };
    let (clock, fraction) = clock.split_once(['.', ',']).unwrap_or((clock, "0"));
    let parts: Vec<&str> = clock.split(':').collect();
    let (hour, minute, second) = match parts.as_slice() {
        [hour, minute] => (number(hour, 2)?, number(minute, 2)?, 0),
        [hour, minute, second] => (number(hour, 2)?, number(minute, 2)?, number(second, 2)?),
        _ => return None,
    };
    let hour = match half {
        Some(_) if !(1..=12).contains(&hour) => return None,
        Some(half) => hour % 12 + half,
        None => hour,
    };
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanoseconds: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let small = |number: i16| i8::try_from(number).ok();
    Time::new(small(hour)?, small(minute)?, small(second)?, nanoseconds.parse().ok()?).ok()
}

/// The zone in a column's own name: `Filled Time(UTC+08:00)`, `Date(UTC+0)`; UTC where it names none.
pub(super) fn zone_of(column: &str) -> Offset {
    let upper = column.to_ascii_uppercase();
    let named = upper.split_once("UTC").and_then(|(_, rest)| offset(rest.trim_matches([')', ' '])));
    named.unwrap_or(Offset::UTC)
}

/// `+08:00`, `+0800`, `+8`, `-03:30`.
fn offset(text: &str) -> Option<Offset> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+')?),
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None if digits.len() == 4 => digits.split_at_checked(2)?,
        None => (digits, "0"),
    };
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    if hours > 14 || minutes > 59 {
        return None;
    }
    let minutes = i64::from(hours) * 60 + i64::from(minutes);
    Offset::try_from(SignedDuration::from_mins(sign * minutes)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> String {
        parse(text, Offset::UTC).map_or_else(str::to_owned, |at| at.to_string())
    }

    #[test]
    fn the_usual_spellings_are_understood() {
        for (text, expected) in [
            ("2024-05-31T23:59:59Z", "2024-05-31T23:59:59Z"),
            ("2024-05-31T23:59:59.5+02:00", "2024-05-31T21:59:59.5Z"),
            ("2024-05-31 23:59:59", "2024-05-31T23:59:59Z"),
            ("2024-05-31 23:59:59 UTC", "2024-05-31T23:59:59Z"),
            ("2024-05-31 23:59:59 +0000 UTC", "2024-05-31T23:59:59Z"),
            ("2024-05-31 23:59:59.1234", "2024-05-31T23:59:59.1234Z"),
            ("24-05-31 23:59:59", "2024-05-31T23:59:59Z"),
            ("2024/05/31 23:59", "2024-05-31T23:59:00Z"),
            ("31.05.2024 23:59", "2024-05-31T23:59:00Z"),
            ("05.06.2024", "2024-06-05T00:00:00Z"),
            ("5/31/2024 11:59:59 PM", "2024-05-31T23:59:59Z"),
            ("31/5/2024, 12:00 AM", "2024-05-31T00:00:00Z"),
            ("1717199999", "2024-05-31T23:59:59Z"),
            ("1717199999123", "2024-05-31T23:59:59.123Z"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn the_others_are_refused() {
        assert!(read("05/06/2024 10:00").contains("month and day"));
        assert!(read("1999-01-01 00:00:00").contains("2009"));
        for text in
            ["", "yesterday", "2024-13-01", "2024-02-30 10:00", "2024-01-01 25:00", "12345", "2024-01-01 10", "1/2/3"]
        {
            assert_eq!(read(text), NO_TIME, "{text}");
        }
    }

    #[test]
    fn a_column_may_name_the_zone() {
        for (column, seconds) in [
            ("Filled Time(UTC+08:00)", 28_800),
            ("Filled Time(UTC-03:30)", -12_600),
            ("Date(UTC+0)", 0),
            ("Date(UTC)", 0),
            ("Time", 0),
            ("Time(UTC+99)", 0),
        ] {
            assert_eq!(zone_of(column).seconds(), seconds, "{column}");
        }
        let at = parse("2024-05-31 23:59:59", zone_of("Filled Time(UTC+08:00)")).unwrap();
        assert_eq!(at.to_string(), "2024-05-31T15:59:59Z");
    }

    proptest! {
        #[test]
        fn nothing_panics(text in ".{0,40}", near in "[0-9/:. TZ+-]{0,30}") {
            let _ = parse(&text, Offset::UTC);
            let _ = parse(&near, zone_of(&text));
        }
    }
}
