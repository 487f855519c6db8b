//! Pages of a list: how long one is, and the token that says where the next one starts.
//!
//! A token holds the sort key and row id of the last entry sent, so that entries made or removed between two pages
//! neither repeat nor hide others. It is base64 of JSON: opaque to a client, and of no use to another operation.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::ToSql;
use rusqlite::types::ToSqlOutput;
use serde::{Deserialize, Serialize};

use super::error::Error;

/// What a list is sorted by, at one entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Key {
    Number(i64),
    Text(String),
}

impl ToSql for Key {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Number(number) => number.to_sql(),
            Self::Text(text) => text.to_sql(),
        }
    }
}

/// A place in a list: just after this entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) key: Key,
    pub(super) row: i64,
}

/// A list's page: where it starts and how many entries fit.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) after: Option<Position>,
    pub(super) size: usize,
}

impl Page {
    /// The page a request asks for. `list` names the list that may use its token; a page has at most, and unless the
    /// request says otherwise exactly, `limit` entries.
    pub(super) fn parse(
        list: &str,
        next_token: Option<String>,
        max_results: Option<i64>,
        limit: usize,
    ) -> Result<Self, Error> {
        let size = match max_results.map(usize::try_from) {
            None => limit,
            Some(Ok(size)) if size > limit => {
                return Err(Error::constraint("maxResults", &format!("have value less than or equal to {limit}")));
            }
            Some(Ok(size)) if size >= 1 => size,
            Some(_) => return Err(Error::constraint("maxResults", "have value greater than or equal to 1")),
        };
        let after = next_token.map(|token| decode(list, &token)).transpose()?;
        Ok(Self { after, size })
    }

    /// Cuts `entries`, of which one more than fits was read, down to the page, and makes the next page's token.
    pub(super) fn cut<T>(
        &self,
        list: &str,
        entries: &mut Vec<T>,
        position: impl Fn(&T) -> Position,
    ) -> Result<Option<String>, Error> {
        if entries.len() <= self.size {
            return Ok(None);
        }
        entries.truncate(self.size);
        entries.last().map(|last| encode(list, position(last))).transpose()
    }
}

fn encode(list: &str, position: Position) -> Result<String, Error> {
    let json = serde_json::to_vec(&(list, position)).map_err(|error| Error::Internal(Box::new(error)))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

fn decode(list: &str, token: &str) -> Result<Position, Error> {
    let json = URL_SAFE_NO_PAD.decode(token).map_err(|_| Error::InvalidNextToken)?;
    match serde_json::from_slice::<(String, Position)>(&json) {
        Ok((issued_for, position)) if issued_for == list => Ok(position),
        _ => Err(Error::InvalidNextToken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_a_token_of_another_list() {
        let token = encode("ListSecrets", Position { key: Key::Number(1), row: 1 }).unwrap();
        assert!(Page::parse("ListSecrets", Some(token.clone()), None, 100).is_ok());
        assert!(matches!(Page::parse("other", Some(token), None, 100), Err(Error::InvalidNextToken)));
        assert!(matches!(Page::parse("ListSecrets", Some("?".to_owned()), None, 100), Err(Error::InvalidNextToken)));
    }

    #[test]
    fn holds_between_one_entry_and_the_limit() {
        for (asked, size) in [(None, Some(100)), (Some(1), Some(1)), (Some(100), Some(100))] {
            assert_eq!(Page::parse("l", None, asked, 100).ok().map(|page| page.size), size);
        }
        for refused in [-1, 0, 101] {
            assert!(matches!(Page::parse("l", None, Some(refused), 100), Err(Error::Validation(_))), "{refused}");
        }
    }
}
