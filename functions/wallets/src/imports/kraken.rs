//! Kraken's exports: the ledger, and the trades.
//!
//! A ledger's rows are the legs of events, which share a `refid`; they become the very records that the API gives, so that
//! a history from a file and one from the API are counted alike. Rows without a `txid` are still under way, or failed. A
//! trade's `txid` in the trades export is the `refid` of its legs, so a ledger and the trades of the same time agree.

use std::collections::BTreeMap;

use super::events::{Told, market};
use super::table::{Column, Problem, Row};
use super::{Found, Layout, Left, Reader};
use crate::model::{Amount, RecordKind};
use crate::providers::exchanges::kraken::{self, ENTRY, record_kind};
use crate::providers::exchanges::legs::{Leg, event};

const TXID: Column = &["txid"];
const TIME: Column = &["time"];
const TYPE: Column = &["type"];
const AMOUNT: Column = &["amount"];
const FEE: Column = &["fee"];

/// The ledger.
pub(super) struct Ledgers;

const REFID: Column = &["refid"];
const SUBTYPE: Column = &["subtype"];
const ASSET: Column = &["asset"];

impl Layout for Ledgers {
    fn name(&self) -> &'static str {
        "kraken_ledgers"
    }

    fn provider(&self) -> &'static str {
        ENTRY.id
    }

    fn columns(&self) -> &'static [Column] {
        &[TXID, REFID, TIME, TYPE, ASSET, AMOUNT, FEE]
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Events::default())
    }
}

/// The events of a ledger by their references, in the order of the file.
#[derive(Default)]
struct Events {
    order: Vec<String>,
    by_reference: BTreeMap<String, Event>,
}

#[derive(Default)]
struct Event {
    legs: Vec<Leg>,
    /// The lines that they stand on.
    lines: Vec<u64>,
    /// The first line that cannot be read.
    broken: Option<u64>,
}

fn kind(row: &Row<'_>) -> RecordKind {
    record_kind(&row.text(TYPE).to_lowercase(), &row.text(SUBTYPE).to_lowercase())
}

fn leg(row: &Row<'_>, reference: &str) -> Result<Leg, Problem> {
    let (amount, fee) = (row.number(AMOUNT)?, row.number(FEE)?);
    for (column, number) in [(AMOUNT, &amount), (FEE, &fee)] {
        if number.decimal().is_none() {
            return Err(row.wrong(column, "has more digits than can be added up"));
        }
    }
    Ok(Leg {
        reference: reference.to_owned(),
        kind: kind(row),
        time: row.time(TIME)?,
        asset: row.asset(ASSET)?,
        amount,
        fee,
    })
}

impl Reader for Events {
    fn row(&mut self, row: &Row<'_>, _found: &mut Found) -> Result<(), Left> {
        if row.text(TXID).is_empty() {
            return Err(Left::Skipped);
        }
        let mut reference = row.line_of(REFID)?;
        if let Ok(amount) = row.number(AMOUNT) {
            reference = kraken::reference(kind(row), &amount, &reference, row.text(TXID));
        }
        let event = self.by_reference.entry(reference.clone()).or_insert_with(|| {
            self.order.push(reference.clone());
            Event::default()
        });
        match leg(row, &reference) {
            Ok(leg) => {
                event.legs.push(leg);
                event.lines.push(row.line);
                Ok(())
            }
            Err(problem) => {
                event.broken = event.broken.or(Some(row.line));
                Err(problem.into())
            }
        }
    }

    fn end(&mut self, found: &mut Found) {
        for reference in std::mem::take(&mut self.order) {
            let Some(Event { mut legs, lines, broken }) = self.by_reference.remove(&reference) else { continue };
            if let Some(broken) = broken {
                found.reject_others(&lines, Some(broken));
                continue;
            }
            legs.sort_by_key(|leg| leg.time);
            match event(&reference, &legs) {
                Some(records) => {
                    found.told.extend(records.into_iter().map(|record| Told { record, apart: String::new() }));
                }
                None => found.reject_others(&lines, None),
            }
        }
    }
}

/// The trades.
pub(super) struct Trades;

const PAIR: Column = &["pair"];
const COST: Column = &["cost"];
const VOLUME: Column = &["vol"];

impl Layout for Trades {
    fn name(&self) -> &'static str {
        "kraken_trades"
    }

    fn provider(&self) -> &'static str {
        ENTRY.id
    }

    fn columns(&self) -> &'static [Column] {
        &[TXID, &["ordertxid"], PAIR, TIME, TYPE, COST, FEE, VOLUME]
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Self)
    }
}

impl Reader for Trades {
    fn row(&mut self, row: &Row<'_>, found: &mut Found) -> Result<(), Left> {
        let (id, time) = (row.line_of(TXID)?, row.time(TIME)?);
        let is_buy = row.one_of(TYPE, &[("buy", true), ("sell", false)])?;
        let (base, quote) =
            market(row.text(PAIR)).ok_or_else(|| row.wrong(PAIR, "is not a market whose coins are known"))?;
        let fee = Amount::of(row.number(FEE)?, quote);
        let (base, quote) = (Amount::of(row.number(VOLUME)?, base), Amount::of(row.number(COST)?, quote));
        let mut told = Told::trade(time, is_buy, base, quote).named(id);
        told.record.fee = fee;
        found.told.push(told);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{read, shown};

    #[test]
    fn legs_become_events_and_what_is_under_way_is_skipped() {
        let import = read(
            "\"txid\",\"refid\",\"time\",\"type\",\"subtype\",\"aclass\",\"asset\",\"amount\",\"fee\",\"balance\"\n\
             \"\",\"QGB1\",\"2021-03-01 10:00:00\",\"deposit\",\"\",\"currency\",\"ZEUR\",1000.0000,0.0000,\"\"\n\
             \"LA1\",\"QGB1\",\"2021-03-01 10:05:00\",\"deposit\",\"\",\"currency\",\"ZEUR\",1000.0000,0.0000,1000.0000\n\
             \"LA2\",\"TX1\",\"2021-03-01 11:00:00\",\"trade\",\"\",\"currency\",\"ZEUR\",-400.0000,0.6400,599.3600\n\
             \"LA3\",\"TX1\",\"2021-03-01 11:00:00\",\"trade\",\"\",\"currency\",\"XXBT\",0.0100000000,0,0.01\n\
             \"LA4\",\"ST1\",\"2021-03-02 11:00:00\",\"staking\",\"\",\"currency\",\"DOT.S\",0.5,0,0.5\n\
             \"LA5\",\"TX2\",\"2021-03-03 11:00:00\",\"trade\",\"\",\"currency\",\"ZEUR\",-1,0,1\n\
             \"LA6\",\"TX2\",\"2021-03-03 11:00:00\",\"trade\",\"\",\"currency\",\"XXBT\",few,0,1\n",
        );
        assert_eq!(
            shown(&import),
            "2021-03-01T10:05:00Z deposit QGB1 | - | 1000 ZEUR | - | -\n\
             2021-03-01T11:00:00Z trade TX1 | 400 ZEUR | 0.01 XXBT | 0.64 ZEUR | -\n\
             2021-03-02T11:00:00Z reward ST1 | - | 0.5 DOT.S | - | -\n\
             line 7, -: the row is part of an event whose row on line 8 cannot be read\n\
             line 8, amount: \"few\" is not a number\n\
             kraken_ledgers: 7 rows, 1 skipped, 0 repeated\n"
        );
    }

    #[test]
    fn a_withdrawal_that_failed_is_given_back() {
        let import = read(
            "txid,refid,time,type,subtype,aclass,asset,amount,fee,balance\n\
             LB1,FT1,2023-01-01 12:00:00,withdrawal,,currency,ZEUR,-4.9100,0.0900,0.004\n\
             LB2,FT1,2023-01-01 12:01:00,withdrawal,,currency,ZEUR,4.9100,-0.0900,5.004\n",
        );
        assert_eq!(
            shown(&import),
            "2023-01-01T12:00:00Z withdrawal FT1 | 4.91 ZEUR | - | 0.09 ZEUR | -\n\
             2023-01-01T12:01:00Z withdrawal FT1/LB2 | - | 5 ZEUR | - | -\n\
             kraken_ledgers: 2 rows, 0 skipped, 0 repeated\n"
        );
    }

    #[test]
    fn a_trade_is_the_same_in_the_ledger_and_among_the_trades() {
        let trades = read(
            "txid,ordertxid,pair,time,type,ordertype,price,cost,fee,vol,margin,misc,ledgers\n\
             TX1,OX1,XXBTZEUR,2021-03-01 11:00:00.1234,buy,limit,40000,400.0000,0.6400,0.01,0,,\"LA2,LA3\"\n",
        );
        assert_eq!(
            shown(&trades),
            "2021-03-01T11:00:00.1234Z trade TX1 | 400 ZEUR | 0.01 XXBT | 0.64 ZEUR | -\n\
             kraken_trades: 1 rows, 0 skipped, 0 repeated\n"
        );
        assert_eq!(trades.records[0].0, "trade#TX1");
    }
}
