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
    /// What it cost besides, in the same asset; below nothing if it was given back.
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
        Some(events.into_iter().filter_map(|(reference, legs)| event(&reference, &legs)).flatten().collect())
    }
}

/// The legs of one event. It is one record if no more than one asset went out and no more than one came in; otherwise each
/// asset's change is one, named by the asset too, for who paid for what is not told. A second fee is a record of its own.
/// `None` if there are no legs, or if their numbers are too long to be added up.
#[must_use]
pub fn event(reference: &str, legs: &[Leg]) -> Option<Vec<Record>> {
    let first = legs.first()?;
    let mut changes: BTreeMap<&str, (Decimal, Decimal)> = BTreeMap::new();
    for leg in legs {
        let (change, fee) = changes.entry(&leg.asset).or_default();
        *change = change.checked_add(leg.amount.decimal()?)?;
        *fee = fee.checked_add(leg.fee.decimal()?)?;
    }
    let (mut out, mut into, mut fees) = (Vec::new(), Vec::new(), Vec::new());
    for (asset, (change, fee)) in changes {
        // A fee of which more was given back than taken came in.
        let change = change.checked_sub(fee.min(Decimal::ZERO))?;
        let side = if change.is_sign_negative() { &mut out } else { &mut into };
        side.extend(Amount::of(change.into(), asset));
        fees.extend(Amount::of(fee.max(Decimal::ZERO).into(), asset));
    }
    let of = |kind, name: String| Record::new(kind, name, first.time);
    let beside = |amount: &Amount| format!("{reference}/{}", amount.asset);
    let mut records = Vec::new();
    if out.len() <= 1 && into.len() <= 1 {
        let mut one = of(first.kind, reference.to_owned());
        (one.sent, one.received) = (out.pop(), into.pop());
        records.push(one);
    } else {
        let sent =
            out.into_iter().map(|amount| Record { sent: Some(amount.clone()), ..of(first.kind, beside(&amount)) });
        records.extend(sent);
        let came =
            into.into_iter().map(|amount| Record { received: Some(amount.clone()), ..of(first.kind, beside(&amount)) });
        records.extend(came);
    }
    for fee in fees {
        match records.first_mut().filter(|first| first.fee.is_none()) {
            Some(first) => first.fee = Some(fee),
            None => {
                let own = of(RecordKind::Fee, beside(&fee));
                records.push(Record { fee: Some(fee), ..own });
            }
        }
    }
    Some(records)
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

    #[test]
    fn what_cancels_out_leaves_no_fee_behind_and_what_is_given_back_came_in() {
        let booked = |change: &str, fee: &str| Leg {
            amount: Quantity::parse(change).unwrap(),
            fee: Quantity::parse(fee).unwrap(),
            ..leg("a", 1, "EUR", "0", "0")
        };
        let one = event("a", &[booked("-4.91", "0.09"), booked("4.91", "-0.09")]).unwrap();
        assert_eq!((one.len(), &one[0].sent, &one[0].received, &one[0].fee), (1, &None, &None, &None));
        let one = event("a", &[booked("4.91", "-0.09")]).unwrap();
        assert_eq!((&one[0].sent, &one[0].received, &one[0].fee), (&None, &amount("5", "EUR"), &None));
    }

    #[test]
    fn an_event_of_many_assets_loses_none_of_them() {
        let legs = [
            leg("dust", 1, "ADA", "-1", "0"),
            leg("dust", 1, "DOT", "-2", "0"),
            leg("dust", 1, "SOL", "-3.1", "0.1"),
            leg("dust", 1, "EUR", "9", "0.2"),
        ];
        let records = event("dust", &legs).unwrap();
        let told: Vec<_> = records.iter().map(|one| (one.provider_id.as_str(), &one.sent, &one.received)).collect();
        assert_eq!(
            told,
            [
                ("dust/ADA", &amount("1", "ADA"), &None),
                ("dust/DOT", &amount("2", "DOT"), &None),
                ("dust/SOL", &amount("3", "SOL"), &None),
                ("dust/EUR", &None, &amount("9.2", "EUR")),
                ("dust/SOL", &None, &None),
            ]
        );
        let fees: Vec<_> = records.iter().map(|one| (one.kind, one.fee.clone())).collect();
        assert_eq!(
            (fees[0].1.clone(), fees[4].clone()),
            (amount("0.2", "EUR"), (RecordKind::Fee, amount("0.1", "SOL")))
        );
    }
}
