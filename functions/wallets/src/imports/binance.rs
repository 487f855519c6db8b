//! Binance's exports: the trade history in its present and its older layout, the statement of all changes, deposits and
//! withdrawals.
//!
//! None of them names what it tells, so a record's name is a hash of it. A trade has the same in both trade layouts. The
//! statement tells one event in several rows of the same second and account: what was bought, what was paid, the fee.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::events::{Changes, Told, market};
use super::table::{Column, Problem, Row};
use super::{Found, Layout, Left, Reader};
use crate::model::{Amount, Quantity, RecordKind};
use crate::providers::exchanges::binance::ENTRY;

const DATE: Column = &["date(utc*"];
const STATUS: Column = &["status"];
const COIN: Column = &["coin"];
const SIDES: &[(&str, bool)] = &[("BUY", true), ("SELL", false)];

/// The trade history: units are glued on.
pub(super) struct Trades;

const PAIR: Column = &["pair"];
const SIDE: Column = &["side"];
const EXECUTED: Column = &["executed"];
const AMOUNT: Column = &["amount"];
const FEE: Column = &["fee", "transactionfee"];

impl Layout for Trades {
    fn name(&self) -> &'static str {
        "binance_trades"
    }

    fn provider(&self) -> &'static str {
        ENTRY.id
    }

    fn columns(&self) -> &'static [Column] {
        &[DATE, PAIR, SIDE, &["price"], EXECUTED, AMOUNT, FEE]
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Self)
    }
}

impl Reader for Trades {
    fn row(&mut self, row: &Row<'_>, found: &mut Found) -> Result<(), Left> {
        let (time, is_buy) = (row.time(DATE)?, row.one_of(SIDE, SIDES)?);
        let pair = row.text(PAIR);
        let split = split(pair, row.text(EXECUTED), row.text(AMOUNT));
        let (base, quote) =
            split.ok_or_else(|| row.wrong(PAIR, "does not go with the units of Executed and Amount"))?;
        let executed = row.glued(EXECUTED, &[base])?;
        let amount = row.glued(AMOUNT, &[quote])?;
        let mut told = Told::trade(time, is_buy, executed, amount);
        if !row.text(FEE).is_empty() {
            told.record.fee = row.glued(FEE, &[base, quote, "BNB"])?;
        }
        found.told.push(told);
        Ok(())
    }
}

/// The pair's two names such that the amounts end with them.
fn split<'a>(pair: &'a str, executed: &str, amount: &str) -> Option<(&'a str, &'a str)> {
    let fits = |base: &str, quote: &str| {
        let ends = |text: &str, unit: &str| {
            let number = text.strip_suffix(unit);
            !unit.is_empty()
                && number.is_some_and(|number| {
                    number.trim_end().ends_with(|letter: char| letter.is_ascii_digit() || letter == '.')
                })
        };
        ends(executed, base) && ends(amount, quote)
    };
    if let Some((base, quote)) = pair.split_once(['/', '-', '_']) {
        return fits(base, quote).then_some((base, quote));
    }
    let places = pair.char_indices().map(|(at, _)| pair.split_at(at));
    places.filter(|(base, quote)| fits(base, quote)).min_by_key(|(base, _)| base.len())
}

/// The trade history as it once was: amounts are bare, and the fee's coin has a column.
pub(super) struct OlderTrades;

const MARKET: Column = &["market"];
const TYPE: Column = &["type"];
const TOTAL: Column = &["total"];
const FEE_COIN: Column = &["fee coin"];

impl Layout for OlderTrades {
    fn name(&self) -> &'static str {
        "binance_trades_older"
    }

    fn provider(&self) -> &'static str {
        ENTRY.id
    }

    fn columns(&self) -> &'static [Column] {
        &[DATE, MARKET, TYPE, &["price"], AMOUNT, TOTAL, FEE, FEE_COIN]
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Self)
    }
}

impl Reader for OlderTrades {
    fn row(&mut self, row: &Row<'_>, found: &mut Found) -> Result<(), Left> {
        let (time, is_buy) = (row.time(DATE)?, row.one_of(TYPE, SIDES)?);
        let pair =
            market(row.text(MARKET)).ok_or_else(|| row.wrong(MARKET, "is not a market whose coins are known"))?;
        let base = Amount::of(row.number(AMOUNT)?, pair.0);
        let quote = Amount::of(row.number(TOTAL)?, pair.1);
        let mut told = Told::trade(time, is_buy, base, quote);
        if let Some(fee) = row.optional_number(FEE)?.filter(|fee| !fee.is_zero()) {
            told.record.fee = Amount::of(fee, row.asset(FEE_COIN)?);
        }
        found.told.push(told);
        Ok(())
    }
}

/// The statement of all changes.
pub(super) struct Statement;

const TIME: Column = &["utc time", "time", "time(utc*"];
const ACCOUNT: Column = &["account"];
const OPERATION: Column = &["operation"];
const CHANGE: Column = &["change"];
const REMARK: Column = &["remark"];

impl Layout for Statement {
    fn name(&self) -> &'static str {
        "binance_statement"
    }

    fn provider(&self) -> &'static str {
        ENTRY.id
    }

    fn columns(&self) -> &'static [Column] {
        &[TIME, ACCOUNT, OPERATION, COIN, CHANGE, REMARK]
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Events::default())
    }
}

/// What one event is told by: the second, the account, and what kind of event it is.
type Place = (Timestamp, String, &'static str);

/// The events of a statement whose rows are put together.
#[derive(Default)]
struct Events(BTreeMap<Place, Event>);

#[derive(Default)]
struct Event {
    changes: Changes,
    /// The lines that tell of it and can be read.
    lines: Vec<u64>,
    /// The first of them that cannot be read.
    broken: Option<u64>,
}

/// What several rows tell together, by the names of the operations.
fn family(operation: &str) -> Option<(&'static str, RecordKind)> {
    const TRADES: &[&str] = &[
        "buy",
        "sell",
        "fee",
        "transaction related",
        "transaction buy",
        "transaction spend",
        "transaction sold",
        "transaction revenue",
        "transaction fee",
    ];
    const CONVERSIONS: &[(&str, &str)] = &[
        ("binance convert", "convert"),
        ("large otc trading", "otc"),
        ("small assets exchange bnb", "dust"),
        ("stablecoins auto-conversion", "stablecoins"),
        ("eth 2.0 staking", "staking"),
        ("leverage token redemption", "redemption"),
        ("buy crypto with card", "card"),
    ];
    let trade = TRADES.contains(&operation).then_some(("trade", RecordKind::Trade));
    let named =
        |(name, family): &(&str, &'static str)| (*name == operation).then_some((*family, RecordKind::Conversion));
    trade.or_else(|| CONVERSIONS.iter().find_map(named))
}

/// What a row by itself tells.
fn kind(operation: &str) -> RecordKind {
    let says = |words: &[&str]| words.iter().any(|word| operation.contains(word));
    const REWARDS: &[&str] = &[
        "interest",
        "reward",
        "distribution",
        "airdrop",
        "rebate",
        "referral",
        "kickback",
        "commission",
        "cashback",
        "voucher",
        "mining",
        "crypto box",
    ];
    if says(REWARDS) {
        RecordKind::Reward
    } else if says(&["transfer", "subscription", "redemption", "purchase", "launchpool", "subscribe"]) {
        RecordKind::Ledger
    } else if says(&["deposit"]) {
        RecordKind::Deposit
    } else if says(&["withdraw"]) || operation == "send" {
        RecordKind::Withdrawal
    } else if says(&["fee"]) {
        RecordKind::Fee
    } else {
        RecordKind::Ledger
    }
}

impl Event {
    fn add(&mut self, row: &Row<'_>, operation: &str) -> Result<(), Problem> {
        let (coin, change) = (row.asset(COIN)?, row.number(CHANGE)?);
        if operation.ends_with("fee") { self.changes.fee(&coin, &change) } else { self.changes.change(&coin, &change) }
    }
}

impl Reader for Events {
    fn row(&mut self, row: &Row<'_>, found: &mut Found) -> Result<(), Left> {
        let (time, account) = (row.time(TIME)?, row.line_of(ACCOUNT)?);
        let operation = row.line_of(OPERATION)?.to_lowercase();
        if let Some((family, _)) = family(&operation) {
            let event = self.0.entry((time, account, family)).or_default();
            return match event.add(row, &operation) {
                Ok(()) => {
                    event.lines.push(row.line);
                    Ok(())
                }
                Err(problem) => {
                    event.broken = event.broken.or(Some(row.line));
                    Err(problem.into())
                }
            };
        }
        let (coin, change) = (row.asset(COIN)?, row.number(CHANGE)?);
        let apart = format!("{account}|{operation}");
        let mut told = Told::change(kind(&operation), time, change, &coin).apart(apart);
        if told.record.kind == RecordKind::Fee {
            told.record.fee = told.record.sent.take();
        }
        found.told.push(told);
        Ok(())
    }

    fn end(&mut self, found: &mut Found) {
        for ((time, account, name), event) in std::mem::take(&mut self.0) {
            if let Some(broken) = event.broken {
                found.reject_others(&event.lines, Some(broken));
                continue;
            }
            let kind = if name == "trade" { RecordKind::Trade } else { RecordKind::Conversion };
            found
                .told
                .extend(event.changes.told(kind, time).into_iter().map(|told| told.apart(format!("{account}|{name}"))));
        }
    }
}

/// Deposits. They have the columns of withdrawals but for the fee.
pub(super) struct Deposits;

/// Withdrawals.
pub(super) struct Withdrawals;

const NETWORK: Column = &["network"];
const ADDRESS: Column = &["address"];
const TXID: Column = &["txid"];

impl Layout for Deposits {
    fn name(&self) -> &'static str {
        "binance_deposits"
    }

    fn provider(&self) -> &'static str {
        ENTRY.id
    }

    fn columns(&self) -> &'static [Column] {
        &[DATE, COIN, NETWORK, AMOUNT, ADDRESS, TXID, STATUS]
    }

    fn lacks(&self) -> &'static [Column] {
        &[FEE]
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Movements { is_out: false })
    }
}

impl Layout for Withdrawals {
    fn name(&self) -> &'static str {
        "binance_withdrawals"
    }

    fn provider(&self) -> &'static str {
        ENTRY.id
    }

    fn columns(&self) -> &'static [Column] {
        &[DATE, COIN, NETWORK, AMOUNT, &["fee"], ADDRESS, TXID, STATUS]
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Movements { is_out: true })
    }
}

struct Movements {
    is_out: bool,
}

impl Reader for Movements {
    fn row(&mut self, row: &Row<'_>, found: &mut Found) -> Result<(), Left> {
        let status = row.text(STATUS).to_lowercase();
        if !["completed", "success", "successful", "credited"].contains(&status.as_str()) {
            return Err(if status.is_empty() { row.problem(STATUS, "is empty").into() } else { Left::Skipped });
        }
        let (time, coin) = (row.time(DATE)?, row.asset(COIN)?);
        let amount = Amount::of(row.number(AMOUNT)?, coin.clone());
        let kind = if self.is_out { RecordKind::Withdrawal } else { RecordKind::Deposit };
        let mut told = Told::new(kind, time).apart(row.optional_line(ADDRESS)?.unwrap_or_default());
        told.record.tx_hash = row.optional_line(TXID)?;
        if self.is_out {
            told.record.sent = amount;
            let fee = row.optional_number(FEE)?.unwrap_or_else(Quantity::zero);
            told.record.fee = Amount::of(fee, coin);
        } else {
            told.record.received = amount;
        }
        found.told.push(told);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{read, shown};

    #[test]
    fn trades_have_their_units_glued_on() {
        let import = read(
            "Date(UTC),Pair,Side,Price,Executed,Amount,Fee\n\
             2024-01-05 10:00:00,BTCUSDT,BUY,\"42,000.5\",0.01000000BTC,420.005USDT,0.00001000BTC\n\
             2024-01-05 10:00:01,1INCHUSDT,SELL,0.5,101INCH,\"5,000.00USDT\",0.0001BNB\n\
             2024-01-05 10:00:02,ETH/EUR,sell,2000,1ETH,2000EUR,0EUR\n",
        );
        assert_eq!(
            shown(&import),
            "2024-01-05T10:00:00Z trade hash | 420.005 USDT | 0.01 BTC | 0.00001 BTC | -\n\
             2024-01-05T10:00:01Z trade hash | 10 1INCH | 5000 USDT | 0.0001 BNB | -\n\
             2024-01-05T10:00:02Z trade hash | 1 ETH | 2000 EUR | - | -\n\
             binance_trades: 3 rows, 0 skipped, 0 repeated\n"
        );
    }

    #[test]
    fn the_same_trade_is_the_same_in_both_trade_layouts() {
        let new = read(
            "Date(UTC),Pair,Side,Price,Executed,Amount,Fee\n\
             2021-01-02 03:04:05,BTCUSDT,BUY,30000,0.1BTC,3000USDT,0.0001BTC\n",
        );
        let old = read(
            "Date(UTC),Market,Type,Price,Amount,Total,Fee,Fee Coin\n\
             2021-01-02 03:04:05,BTCUSDT,BUY,30000.00,0.10000000,3000.00000000,0.00010000,BTC\n",
        );
        assert_eq!(new.records, old.records);
        assert_eq!((new.layout, old.layout), ("binance_trades", "binance_trades_older"));
    }

    #[test]
    fn bad_rows_are_named_and_the_others_are_read() {
        let import = read(
            "Date(UTC),Market,Type,Price,Amount,Total,Fee,Fee Coin\n\
             2021-01-02 03:04:05,NOSUCHPAIR,BUY,1,1,1,0,BNB\n\
             2021-01-02 03:04:05,BTCUSDT,HODL,1,1,1,0,BNB\n\
             2021-01-02,BTCUSDT,BUY,1,lots,1,0,BNB\n\
             yesterday,BTCUSDT,BUY,1,1,1,0,BNB\n\
             2021-01-02 03:04:05,BTCUSDT,BUY,1,1,1,0\n\
             2021-01-02 03:04:05,BTCUSDT,BUY,1,1,,0,BNB\n\
             2021-01-02 03:04:05,BTCUSDT,SELL,3,1,3,0.1,\n\
             2021-01-02 03:04:06,BTCUSDT,SELL,3,1,3,0,\n",
        );
        assert_eq!(
            shown(&import),
            "2021-01-02T03:04:06Z trade hash | 1 BTC | 3 USDT | - | -\n\
             line 2, Market: \"NOSUCHPAIR\" is not a market whose coins are known\n\
             line 3, Type: \"HODL\" is none of BUY, SELL\n\
             line 4, Amount: \"lots\" is not a number\n\
             line 5, Date(UTC): \"yesterday\" is not a date and time, such as 2024-05-31 23:59:59\n\
             line 6, -: the row has 7 columns where the header has 8\n\
             line 7, Total: is empty\n\
             line 8, Fee Coin: is empty\n\
             binance_trades_older: 8 rows, 0 skipped, 0 repeated\n"
        );
    }

    #[test]
    fn a_statement_is_put_together_by_the_second() {
        let import = read(
            "User_ID,UTC_Time,Account,Operation,Coin,Change,Remark\n\
             1,2023-05-01 12:00:00,Spot,Transaction Buy,BTC,0.10000000,\"\"\n\
             1,2023-05-01 12:00:00,Spot,Transaction Spend,USDT,-2800.00000000,\"\"\n\
             1,2023-05-01 12:00:00,Spot,Transaction Fee,BNB,-0.00500000,\"\"\n\
             1,2023-05-01 12:00:00,Spot,Transaction Buy,BTC,0.05,\"\"\n\
             1,2023-05-01 12:00:00,Spot,Transaction Spend,USDT,-1400,\"\"\n\
             1,23-05-02 12:00:00,Spot,Deposit,EUR,500,\"\"\n\
             1,2023-05-03 12:00:00,Spot,Withdraw,BTC,-0.05,Withdraw fee is included\n\
             1,2023-05-04 00:00:00,Earn,Simple Earn Flexible Interest,USDT,0.00001,\"\"\n\
             1,2023-05-04 00:00:00,Earn,Simple Earn Flexible Interest,USDT,0.00001,\"\"\n\
             1,2023-05-05 00:00:00,Spot,Small assets exchange BNB,ADA,-1,\"\"\n\
             1,2023-05-05 00:00:00,Spot,Small assets exchange BNB,XRP,-2,\"\"\n\
             1,2023-05-05 00:00:00,Spot,Small assets exchange BNB,BNB,0.003,\"\"\n",
        );
        assert_eq!(
            shown(&import),
            "2023-05-02T12:00:00Z deposit hash | - | 500 EUR | - | -\n\
             2023-05-03T12:00:00Z withdrawal hash | 0.05 BTC | - | - | -\n\
             2023-05-04T00:00:00Z reward hash | - | 0.00001 USDT | - | -\n\
             2023-05-04T00:00:00Z reward hash:2 | - | 0.00001 USDT | - | -\n\
             2023-05-01T12:00:00Z trade hash | 4200 USDT | 0.15 BTC | 0.005 BNB | -\n\
             2023-05-05T00:00:00Z conversion hash | 1 ADA | - | - | -\n\
             2023-05-05T00:00:00Z conversion hash | 2 XRP | - | - | -\n\
             2023-05-05T00:00:00Z conversion hash | - | 0.003 BNB | - | -\n\
             binance_statement: 12 rows, 0 skipped, 0 repeated\n"
        );
    }

    #[test]
    fn an_event_with_a_row_that_cannot_be_read_is_left_out_whole() {
        let import = read(
            "UTC_Time,Account,Operation,Coin,Change,Remark\n\
             2023-05-01 12:00:00,Spot,Buy,BTC,0.1,\n\
             2023-05-01 12:00:00,Spot,Buy,USDT,much,\n\
             2023-05-01 12:00:01,Spot,Sell,BTC,-0.1,\n\
             2023-05-01 12:00:01,Spot,Sell,USDT,2800,\n",
        );
        assert_eq!(
            shown(&import),
            "2023-05-01T12:00:01Z trade hash | 0.1 BTC | 2800 USDT | - | -\n\
             line 2, -: the row is part of an event whose row on line 3 cannot be read\n\
             line 3, Change: \"much\" is not a number\n\
             binance_statement: 4 rows, 0 skipped, 0 repeated\n"
        );
    }

    #[test]
    fn deposits_and_withdrawals_are_told_apart_by_the_fee() {
        let deposits = read(
            "Date(UTC+0),Coin,Network,Amount,Address,TXID,Status\n\
             2024-02-01 08:00:00,BTC,BTC,0.5,bc1qexample,ab12,Completed\n\
             2024-02-02 08:00:00,BTC,BTC,0.5,bc1qexample,cd34,Pending\n",
        );
        let withdrawals = read(
            "Date(UTC+8),Coin,Network,Amount,Fee,Address,TXID,Status\n\
             2024-02-01 08:00:00,ETH,ETH,1.5,0.001,0xabc,0xdef,Completed\n",
        );
        assert_eq!(
            format!("{}\n{}", shown(&deposits), shown(&withdrawals)),
            "2024-02-01T08:00:00Z deposit hash | - | 0.5 BTC | - | ab12\n\
             binance_deposits: 2 rows, 1 skipped, 0 repeated\n\n\
             2024-02-01T00:00:00Z withdrawal hash | 1.5 ETH | - | 0.001 ETH | 0xdef\n\
             binance_withdrawals: 1 rows, 0 skipped, 0 repeated\n"
        );
    }
}
