//! What readers of several layouts share: changes put together to events, and markets' names taken apart.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::table::Problem;
use crate::model::{Amount, Quantity, Record, RecordKind};

/// One thing that a file tells, before it has a name.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// The record; its `provider_id` is empty unless the export has one.
    pub(super) record: Record,
    /// What else tells it from others, where it has no name of its own.
    pub(super) apart: String,
}

impl Told {
    /// Of a kind and a moment. Without a name of its own it gets one from what it holds.
    pub(super) fn new(kind: RecordKind, time: Timestamp) -> Self {
        Self { record: Record::new(kind, "", time), apart: String::new() }
    }

    /// The same with the export's own name for it.
    pub(super) fn named(mut self, id: impl Into<String>) -> Self {
        self.record.provider_id = id.into();
        self
    }

    /// The same, told from others by this too.
    pub(super) fn apart(mut self, apart: impl Into<String>) -> Self {
        self.apart = apart.into();
        self
    }

    /// A trade: bought with the quote, or sold for it.
    pub(super) fn trade(time: Timestamp, is_buy: bool, base: Option<Amount>, quote: Option<Amount>) -> Self {
        let mut told = Self::new(RecordKind::Trade, time);
        (told.record.sent, told.record.received) = if is_buy { (quote, base) } else { (base, quote) };
        told
    }

    /// A single change of an account: in, or out where it is negative.
    pub(super) fn change(kind: RecordKind, time: Timestamp, change: Quantity, asset: &str) -> Self {
        let mut told = Self::new(kind, time);
        let is_out = change.is_negative();
        let amount = Amount::of(change, asset);
        if is_out {
            told.record.sent = amount;
        } else {
            told.record.received = amount;
        }
        told
    }
}

/// Changes of several assets at once, which are one event.
#[derive(Debug, Default)]
pub(super) struct Changes {
    by_asset: BTreeMap<String, Decimal>,
    fees: BTreeMap<String, Decimal>,
}

impl Changes {
    fn add(into: &mut BTreeMap<String, Decimal>, asset: &str, change: &Quantity) -> Result<(), Problem> {
        let sum = into.entry(asset.to_owned()).or_default();
        let after = change.decimal().and_then(|change| sum.checked_add(change));
        *sum = after.ok_or_else(|| Problem::row("has a number of more digits than can be added up"))?;
        Ok(())
    }

    /// Adds a change.
    pub(super) fn change(&mut self, asset: &str, change: &Quantity) -> Result<(), Problem> {
        Self::add(&mut self.by_asset, asset, change)
    }

    /// Adds a fee, whatever its sign.
    pub(super) fn fee(&mut self, asset: &str, fee: &Quantity) -> Result<(), Problem> {
        Self::add(&mut self.fees, asset, &fee.abs())
    }

    /// The event. It is one record if no more than one asset went out and no more than one came in; otherwise each asset's
    /// change is one, for who paid for what is not told. A fee goes with the first; others are records of their own.
    pub(super) fn told(self, kind: RecordKind, time: Timestamp) -> Vec<Told> {
        let amount = |(asset, change): (String, Decimal)| Amount::of(change.into(), asset);
        let (out, into): (Vec<_>, Vec<_>) =
            self.by_asset.into_iter().partition(|(_, change)| change.is_sign_negative());
        let out: Vec<Amount> = out.into_iter().filter_map(amount).collect();
        let into: Vec<Amount> = into.into_iter().filter_map(amount).collect();
        let mut told: Vec<Told> = Vec::new();
        if out.len() <= 1 && into.len() <= 1 {
            let mut one = Told::new(kind, time);
            one.record.sent = out.into_iter().next();
            one.record.received = into.into_iter().next();
            if one.record.sent.is_some() || one.record.received.is_some() {
                told.push(one);
            }
        } else {
            let with = |sent: Option<Amount>, received: Option<Amount>| {
                let mut one = Told::new(kind, time);
                (one.record.sent, one.record.received) = (sent, received);
                one
            };
            told.extend(out.into_iter().map(|amount| with(Some(amount), None)));
            told.extend(into.into_iter().map(|amount| with(None, Some(amount))));
        }
        for fee in self.fees.into_iter().filter_map(amount) {
            match told.first_mut().filter(|first| first.record.fee.is_none()) {
                Some(first) => first.record.fee = Some(fee),
                None => {
                    let mut own = Told::new(RecordKind::Fee, time);
                    own.record.fee = Some(fee);
                    told.push(own);
                }
            }
        }
        told
    }
}

/// Coins and currencies that others are traded against, the longer names first where one ends with another.
const QUOTES: &[&str] = &[
    "FDUSD", "PYUSD", "BUSD", "TUSD", "USDT", "USDC", "USDP", "USDS", "USDD", "BIDR", "IDRT", "BVND", "BKRW", "EURI",
    "AEUR", "DOGE", "ZUSD", "ZEUR", "ZGBP", "ZJPY", "ZCAD", "ZAUD", "XXBT", "XETH", "USD", "EUR", "GBP", "JPY", "CAD",
    "AUD", "CHF", "TRY", "BRL", "RUB", "UAH", "NGN", "ZAR", "PLN", "RON", "ARS", "MXN", "COP", "CZK", "AED", "BTC",
    "XBT", "ETH", "BNB", "TRX", "XRP", "DOT", "SOL", "DAI", "PAX", "VAI", "UST", "KCS",
];

/// Takes a market's name apart: `BTC-USDT`, `BTC/USDT`, or `BTCUSDT` where the quote is a usual one.
pub(super) fn market(name: &str) -> Option<(&str, &str)> {
    if let Some((base, quote)) = name.split_once(['/', '-', '_']) {
        return (!base.is_empty() && !quote.is_empty()).then_some((base, quote));
    }
    // Kraken's long names: XXBTZUSD.
    let halves = name.split_at_checked(4).filter(|(base, quote)| {
        name.len() == 8
            && base.starts_with('X')
            && (quote.starts_with('Z') || quote.starts_with("XX") || *quote == "XETH")
    });
    let by_quote = || {
        let quote = QUOTES.iter().find(|quote| name.len() > quote.len() && name.ends_with(**quote))?;
        name.split_at_checked(name.len() - quote.len())
    };
    halves.or_else(by_quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markets_come_apart() {
        for (name, expected) in [
            ("BTC-USDT", Some(("BTC", "USDT"))),
            ("BTC/USD", Some(("BTC", "USD"))),
            ("BTCUSDT", Some(("BTC", "USDT"))),
            ("ETHBTC", Some(("ETH", "BTC"))),
            ("XXBTZUSD", Some(("XXBT", "ZUSD"))),
            ("XETHXXBT", Some(("XETH", "XXBT"))),
            ("XBTUSDC", Some(("XBT", "USDC"))),
            ("DOTEUR", Some(("DOT", "EUR"))),
            ("USDT", None),
            ("WHATEVER", None),
            ("", None),
            ("-", None),
            ("ÄÖÜÄÖÜ", None),
        ] {
            assert_eq!(market(name), expected, "{name}");
        }
    }

    #[test]
    fn an_event_of_two_assets_is_one_record_and_of_more_is_several() {
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        let number = |text: &str| Quantity::parse(text).unwrap();
        let mut changes = Changes::default();
        changes.change("BTC", &number("0.1")).unwrap();
        changes.change("BTC", &number("0.2")).unwrap();
        changes.change("USDT", &number("-900")).unwrap();
        changes.fee("BNB", &number("-0.01")).unwrap();
        let told = changes.told(RecordKind::Trade, at);
        let [one] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(one.record.received, Amount::of(number("0.3"), "BTC"));
        assert_eq!(
            (&one.record.sent, &one.record.fee),
            (&Amount::of(number("900"), "USDT"), &Amount::of(number("0.01"), "BNB"))
        );
        let mut changes = Changes::default();
        for (asset, change) in [("A", "-1"), ("B", "-2"), ("BNB", "0.5")] {
            changes.change(asset, &number(change)).unwrap();
        }
        changes.fee("BNB", &number("0.1")).unwrap();
        changes.fee("C", &number("0.1")).unwrap();
        let told = changes.told(RecordKind::Conversion, at);
        assert_eq!(told.len(), 4, "{told:?}");
        assert_eq!(told.last().unwrap().record.kind, RecordKind::Fee);
        let mut changes = Changes::default();
        assert!(changes.change("A", &number(&"9".repeat(60))).is_err());
    }
}
