//! Histories that are asked for question by question, one list after the other, until all are known up to a moment: the
//! page of such an exchange, and what its cursor holds.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::model::Record;
use crate::providers::{Account, Cursor, Fetched, Next, Outside, Trouble};

/// A walk through an exchange's lists. It is stored between pages.
#[async_trait::async_trait]
pub trait Stages: Serialize + DeserializeOwned + Send {
    /// So many questions are a page, if the answers are empty.
    const QUESTIONS: usize;

    /// A walk for what came after `until`, the end of the last one, in milliseconds by the exchange's clock.
    fn begin(until: Option<i64>, outside: &Outside<'_>) -> Self;

    /// Asks one question. What a question that failed has changed is forgotten.
    ///
    /// # Errors
    /// [`Trouble`].
    async fn step(&mut self, account: &Account, outside: &Outside<'_>) -> Result<Vec<Record>, Trouble>;

    /// Until when everything was seen, once the last list has been read.
    fn done(&self) -> Option<i64>;
}

/// What a cursor holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Position<Walk> {
    /// In the middle of a walk.
    Walking(Walk),
    /// At the end of one that saw everything until this millisecond.
    Done { until: i64 },
}

/// The next page of a walk: the first answer that holds anything. Where a question fails, the page ends with those before
/// it, so that they are not asked again; the trouble comes again if it lasts.
///
/// # Errors
/// [`Trouble`].
pub async fn page<Walk: Stages>(
    account: &Account,
    cursor: Option<&Cursor>,
    outside: &Outside<'_>,
) -> Result<Fetched, Trouble> {
    let mut walk = match cursor.and_then(Cursor::read::<Position<Walk>>) {
        Some(Position::Walking(walk)) => walk,
        Some(Position::Done { until }) => Walk::begin(Some(until), outside),
        None => Walk::begin(None, outside),
    };
    let mut records = Vec::new();
    let mut so_far = None;
    for _ in 0..Walk::QUESTIONS {
        records = match (walk.step(account, outside).await, so_far) {
            (Ok(records), _) => records,
            (Err(_), Some(so_far)) => return Ok(Fetched { records, next: Next::More(so_far), expected: None }),
            (Err(trouble), None) => return Err(trouble),
        };
        if !records.is_empty() || walk.done().is_some() {
            break;
        }
        so_far = Some(Cursor::of(&Position::Walking(&walk)));
    }
    let next = match walk.done() {
        Some(until) => Next::End(Some(Cursor::of(&Position::<Walk>::Done { until }))),
        None => Next::More(Cursor::of(&Position::Walking(walk))),
    };
    Ok(Fetched { records, next, expected: None })
}
