//! A file's rows by the names of their columns.

use std::borrow::Cow;

use jiff::Timestamp;

use super::numbers::{self, Style};
use super::times;
use crate::model::{Amount, Quantity};

/// A column, by the names it has had; the first is shown where it is missing. A name that ends with `*` stands for all
/// that begin so. Names are compared without regard to case, underscores and spaces around them.
pub(super) type Column = &'static [&'static str];

/// The longest name of an asset, id or hash that is taken, in characters.
const LONGEST_ASSET: usize = 40;
const LONGEST_TEXT: usize = 500;
/// So much of a value is shown where it cannot be used.
const SHOWN: usize = 40;

/// Why a row is not taken: the column, where one is to blame, and the rest of a sentence about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) column: Option<String>,
    pub(super) reason: String,
}

impl Problem {
    /// Of the row as a whole.
    pub(super) fn row(reason: impl Into<String>) -> Self {
        Self { column: None, reason: reason.into() }
    }
}

/// The line that names the columns.
#[derive(Debug, Clone)]
pub(super) struct Header {
    written: Vec<String>,
    plain: Vec<String>,
}

fn plain(name: &str) -> String {
    let words: Vec<&str> = name.split(|letter: char| letter.is_whitespace() || letter == '_').collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    words.join(" ").to_lowercase().replace(" (", "(")
}

impl Header {
    pub(super) fn of(cells: &csv::StringRecord) -> Self {
        let written: Vec<String> = cells.iter().map(|cell| cell.trim().to_owned()).collect();
        Self { plain: written.iter().map(|name| plain(name)).collect(), written }
    }

    pub(super) fn len(&self) -> usize {
        self.plain.len()
    }

    /// True if these cells are the header once more, as where exports were put behind one another.
    pub(super) fn is(&self, cells: &csv::StringRecord) -> bool {
        cells.len() == self.len() && cells.iter().zip(&self.plain).all(|(cell, name)| plain(cell) == *name)
    }

    fn place(&self, column: Column) -> Option<usize> {
        column.iter().find_map(|name| {
            self.plain.iter().position(|there| match name.strip_suffix('*') {
                Some(start) => there.starts_with(start),
                None => there == name,
            })
        })
    }

    pub(super) fn has(&self, column: Column) -> bool {
        self.place(column).is_some()
    }

    /// The column's name as the file writes it, or its first name.
    fn name(&self, column: Column) -> String {
        let written = self.place(column).and_then(|place| self.written.get(place)).cloned();
        written.unwrap_or_else(|| column.first().map_or("", |name| name.trim_end_matches('*')).to_owned())
    }
}

/// One row.
pub(super) struct Row<'a> {
    pub(super) header: &'a Header,
    pub(super) cells: &'a csv::StringRecord,
    pub(super) style: Style,
    /// Where it stands in the file, from 1.
    pub(super) line: u64,
}

impl Row<'_> {
    /// What a column says, trimmed; nothing if it is not there.
    pub(super) fn text(&self, column: Column) -> &str {
        self.header.place(column).and_then(|place| self.cells.get(place)).unwrap_or_default().trim()
    }

    /// A problem of a column.
    pub(super) fn problem(&self, column: Column, reason: impl Into<String>) -> Problem {
        Problem { column: Some(self.header.name(column)), reason: reason.into() }
    }

    /// A problem of what a column says.
    pub(super) fn wrong(&self, column: Column, reason: &str) -> Problem {
        let text = self.text(column);
        let shown: Cow<'_, str> = match text.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
            None => text.into(),
        };
        self.problem(column, if text.is_empty() { "is empty".to_owned() } else { format!("\"{shown}\" {reason}") })
    }

    /// A text that must be there and be of one line.
    pub(super) fn line_of(&self, column: Column) -> Result<String, Problem> {
        self.optional_line(column)?.ok_or_else(|| self.problem(column, "is empty"))
    }

    /// A text that may be left out.
    pub(super) fn optional_line(&self, column: Column) -> Result<Option<String>, Problem> {
        let text = self.text(column);
        if text.chars().count() > LONGEST_TEXT || text.chars().any(char::is_control) {
            return Err(self.wrong(column, "is too long or has control characters"));
        }
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    /// An asset's symbol.
    pub(super) fn asset(&self, column: Column) -> Result<String, Problem> {
        let text = self.text(column);
        match asset(text) {
            Some(asset) => Ok(asset.to_owned()),
            None => Err(self.wrong(column, "is not the name of an asset")),
        }
    }

    /// A moment; its zone may be in the column's name.
    pub(super) fn time(&self, column: Column) -> Result<Timestamp, Problem> {
        let zone = times::zone_of(&self.header.name(column));
        times::parse(self.text(column), zone).map_err(|reason| self.wrong(column, reason))
    }

    /// A number that must be there.
    pub(super) fn number(&self, column: Column) -> Result<Quantity, Problem> {
        numbers::parse(self.text(column), self.style).map_err(|reason| self.wrong(column, reason))
    }

    /// A number that may be left out: nothing, a dash, or a word for none.
    pub(super) fn optional_number(&self, column: Column) -> Result<Option<Quantity>, Problem> {
        let text = self.text(column);
        let is_none = ["", "-", "--"].contains(&text) || ["n/a", "null", "none"].contains(&&*text.to_lowercase());
        if is_none { Ok(None) } else { self.number(column).map(Some) }
    }

    /// A number with its unit glued on. `units` are those that are likely.
    pub(super) fn glued(&self, column: Column, units: &[&str]) -> Result<Option<Amount>, Problem> {
        let text = self.text(column);
        let (number, unit) = numbers::unglue(text, units);
        let quantity = numbers::parse(number, self.style).map_err(|reason| self.wrong(column, reason))?;
        match asset(unit) {
            Some(unit) => Ok(Amount::of(quantity, unit)),
            None if quantity.is_zero() => Ok(None),
            None => Err(self.wrong(column, "lacks its unit")),
        }
    }

    /// One of some words, compared without regard to case.
    pub(super) fn one_of<T: Copy>(&self, column: Column, words: &[(&str, T)]) -> Result<T, Problem> {
        let text = self.text(column);
        let found = words.iter().find(|(word, _)| text.eq_ignore_ascii_case(word));
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(column, &format!("is none of {}", known.join(", ")))
        })
    }
}

/// What can be an asset's symbol.
pub(super) fn asset(text: &str) -> Option<&str> {
    let fits = (1..=LONGEST_ASSET).contains(&text.chars().count())
        && !text.chars().any(|letter| letter.is_control() || letter.is_whitespace());
    fits.then_some(text)
}
