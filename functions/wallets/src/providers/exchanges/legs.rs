//! Events that a ledger tells in several entries, its legs: a trade takes one asset and gives another.
//!
//! Ledgers are read from the newest entry to the oldest. Legs of one event lie next to each other, but a page may end
//! between them; so the oldest events of a page are kept, in the cursor, until the next page shows that they are whole.

use std::collections::{BTreeMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::model::{Amount, Quantity, Record, RecordKind};

/// Legs of one event are not further apart.
const SPAN: SignedDuration = SignedDuration::from_secs(5);
/// So many legs are kept at most.
const KEPT: usize = 200;

/// One entry of a ledger.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Leg {
    /// What the legs of one event share.
    #[serde(rename = "r")]
    pub reference: String,
    /// What kind of event it is.
    #[serde(rename = "k")]
    pub kind: RecordKind,
    /// When it was booked.
    #[serde(rename = "t")]
    pub time: Timestamp,
    /// The asset that came or went.
    #[serde(rename = "s")]
    pub asset: String,
    /// How much of it, without the fee; below nothing if it went.
    #[serde(rename = "a")]
    pub amount: Quantity,
    /// What it cost besides, in the same asset.
    #[serde(rename = "f")]
    pub fee: Quantity,
}

impl Leg {
    /// A leg of which the change is told with the fee as a part of it. A fee below nothing is a rebate: it came in.
    #[must_use]
    pub fn of_change(
        (kind, reference): (RecordKind, String),
        time: Timestamp,
        asset: String,
        change: Decimal,
        fee: Decimal,
    ) -> Self {
        let fee = fee.max(Decimal::ZERO);
        Self { reference, kind, time, asset, amount: (change + fee).into(), fee: fee.into() }
    }
}

/// Legs of events that may have more on the next page; a part of what a walk's cursor holds.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kept(Vec<Leg>);

impl Kept {
    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes the legs of a page in, and gives the events that are whole; on the last page all are. `None` if one of the
    /// legs cannot be read.
    #[must_use]
    pub fn take_in(&mut self, page: impl IntoIterator<Item = Option<Leg>>, is_last: bool) -> Option<Vec<Record>> {
        let mut legs = std::mem::take(&mut self.0);
        for leg in page {
            legs.push(leg?);
        }
        legs.sort_by_key(|leg| leg.time);
        if !is_last {
            let edge = legs.first().and_then(|oldest| oldest.time.checked_add(SPAN).ok());
            let young = |leg: &&Leg| edge.is_some_and(|edge| leg.time <= edge);
            let open: HashSet<String> =
                legs.iter().take(KEPT).take_while(young).map(|leg| leg.reference.clone()).collect();
            (self.0, legs) = legs.into_iter().partition(|leg| open.contains(&leg.reference));
        }
        let mut events: BTreeMap<String, Vec<Leg>> = BTreeMap::new();
        for leg in legs {
            events.entry(leg.reference.clone()).or_default().push(leg);
        }
        Some(events.into_iter().filter_map(|(reference, legs)| event(reference, &legs)).collect())
    }
}

/// The legs of one event as its record. `None` if there are none, or if their numbers are too long to be added up.
#[must_use]
pub fn event(reference: String, legs: &[Leg]) -> Option<Record> {
    let first = legs.first()?;
    let mut record = Record::new(first.kind, reference, first.time);
    let mut changes: BTreeMap<&str, Decimal> = BTreeMap::new();
    for leg in legs {
        let change = changes.entry(&leg.asset).or_default();
        *change = change.checked_add(leg.amount.decimal()?)?;
        record.fee = record.fee.or_else(|| Amount::of(leg.fee.clone(), leg.asset.clone()));
    }
    for (asset, change) in changes {
        let amount = Amount::of(change.into(), asset);
        if change.is_sign_negative() {
            record.sent = record.sent.or(amount);
        } else {
            record.received = record.received.or(amount);
        }
    }
    Some(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leg(reference: &str, second: i64, asset: &str, change: &str, fee: &str) -> Leg {
        let number = |text| Quantity::parse(text).unwrap().decimal().unwrap();
        let time = Timestamp::from_second(second).unwrap();
        Leg::of_change((RecordKind::Trade, reference.into()), time, asset.into(), number(change), number(fee))
    }

    fn amount(quantity: &str, asset: &str) -> Option<Amount> {
        Amount::of(Quantity::parse(quantity).unwrap(), asset)
    }

    #[test]
    fn what_may_have_more_on_the_next_page_is_kept_until_then() {
        let page =
            [leg("new", 100, "USD", "-5", "0"), leg("new", 100, "BTC", "1", "0"), leg("old", 50, "BTC", "2", "0")];
        let mut kept = Kept::default();
        let records = kept.take_in(page.map(Some), false).unwrap();
        assert_eq!((records.len(), kept.len()), (1, 1));
        assert_eq!(records[0].provider_id, "new");
        let stored = serde_json::to_string(&kept).unwrap();
        let mut kept: Kept = serde_json::from_str(&stored).unwrap();
        let records = kept.take_in([Some(leg("old", 50, "USD", "-9", "0"))], true).unwrap();
        assert_eq!((records.len(), kept.is_empty()), (1, true));
        assert_eq!((&records[0].sent, &records[0].received), (&amount("9", "USD"), &amount("2", "BTC")));
    }

    #[test]
    fn a_leg_that_cannot_be_read_is_not_passed_over() {
        assert_eq!(Kept::default().take_in([Some(leg("a", 1, "USD", "1", "0")), None], true), None);
    }

    #[test]
    fn a_fee_is_told_apart_from_what_was_moved_and_a_rebate_is_none() {
        let legs = [leg("a", 1, "USD", "-10.1", "0.1"), leg("a", 1, "BTC", "0.5", "-0.1")];
        let records = Kept::default().take_in(legs.map(Some), true).unwrap();
        assert_eq!((&records[0].sent, &records[0].received), (&amount("10", "USD"), &amount("0.5", "BTC")));
        assert_eq!(records[0].fee, amount("0.1", "USD"));
    }
}
