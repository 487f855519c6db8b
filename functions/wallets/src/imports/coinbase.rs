//! Coinbase's export of all transactions, in its present layout and the older ones without ids.
//!
//! Lines about the account and the period stand before the header. What a trade was paid with and what a conversion gave
//! stand in the notes only; the columns beside tell their worth in the account's own currency.

use super::events::Told;
use super::table::{Column, Problem, Row, asset};
use super::{Found, Layout, Left, Reader};
use crate::model::{Amount, Quantity, RecordKind};
use crate::providers::exchanges::coinbase::ENTRY;

/// All transactions.
pub(super) struct Transactions;

const ID: Column = &["id"];
const TIME: Column = &["timestamp"];
const TYPE: Column = &["transaction type"];
const ASSET: Column = &["asset"];
const QUANTITY: Column = &["quantity transacted"];
const CURRENCY: Column = &["price currency", "spot price currency"];
const SUBTOTAL: Column = &["subtotal"];
const FEES: Column = &["fees and/or spread", "fees"];
const NOTES: Column = &["notes"];

impl Layout for Transactions {
    fn name(&self) -> &'static str {
        "coinbase_transactions"
    }

    fn provider(&self) -> &'static str {
        ENTRY.id
    }

    fn columns(&self) -> &'static [Column] {
        &[TIME, TYPE, ASSET, QUANTITY, CURRENCY, SUBTOTAL, FEES, NOTES]
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Self)
    }
}

impl Reader for Transactions {
    fn row(&mut self, row: &Row<'_>, found: &mut Found) -> Result<(), Left> {
        let (time, name) = (row.time(TIME)?, row.line_of(TYPE)?.to_lowercase());
        let (coin, quantity) = (row.asset(ASSET)?, row.number(QUANTITY)?);
        let kind = kind(&name, &quantity);
        let mut told = match kind {
            RecordKind::Trade => trade(row, Told::new(kind, time), name.ends_with("buy"), Amount::of(quantity, coin))?,
            RecordKind::Conversion => conversion(row, Told::new(kind, time), &quantity, &coin)?,
            _ => {
                // Older exports leave the signs out.
                let is_out = kind == RecordKind::Withdrawal || quantity.is_negative();
                let mut told = Told::new(kind, time);
                let amount = Amount::of(quantity, coin);
                (told.record.sent, told.record.received) = if is_out { (amount, None) } else { (None, amount) };
                told
            }
        };
        match row.optional_line(ID)? {
            Some(id) => told = told.named(id),
            None => told = told.apart(name),
        }
        found.told.push(told);
        Ok(())
    }
}

fn kind(name: &str, quantity: &Quantity) -> RecordKind {
    let says = |words: &[&str]| words.iter().any(|word| name.contains(word));
    match name {
        "buy" | "sell" => RecordKind::Trade,
        _ if name.ends_with("trade buy") || name.ends_with("trade sell") => RecordKind::Trade,
        "convert" => RecordKind::Conversion,
        "send" | "withdrawal" | "donation" => RecordKind::Withdrawal,
        // What goes to the exchange leaves this account.
        "exchange deposit" | "pro deposit" => RecordKind::Withdrawal,
        "receive" | "deposit" | "exchange withdrawal" | "pro withdrawal" if quantity.is_negative() => {
            RecordKind::Withdrawal
        }
        "receive" | "deposit" | "exchange withdrawal" | "pro withdrawal" => RecordKind::Deposit,
        _ if says(&["income", "reward", "interest", "earn", "rebate", "airdrop", "inflation", "payout"]) => {
            RecordKind::Reward
        }
        _ => RecordKind::Ledger,
    }
}

/// What was paid, or came in, is in the account's currency, unless the notes say otherwise:
/// `Bought 0.5 ETH for 1,000 USDC on ETH-USDC at 2000 USDC/ETH`. The fee is known in the account's currency only.
fn trade(row: &Row<'_>, mut told: Told, is_buy: bool, base: Option<Amount>) -> Result<Told, Problem> {
    let currency = row.asset(CURRENCY)?;
    let noted = noted(row, " for ").map(|(_, other)| other);
    let quote = match noted {
        Some((quantity, coin)) if coin != currency => Amount::of(quantity, coin),
        _ => {
            told.record.fee = row.optional_number(FEES)?.and_then(|fee| Amount::of(fee, currency.clone()));
            Amount::of(row.number(SUBTOTAL)?, currency)
        }
    };
    (told.record.sent, told.record.received) = if is_buy { (quote, base) } else { (base, quote) };
    Ok(told)
}

/// `Converted 10 USDC to 0.005 ETH`. The row is of the asset that was given; where there is one of the other asset too, it
/// tells the same once more.
fn conversion(row: &Row<'_>, mut told: Told, quantity: &Quantity, coin: &str) -> Result<Told, Left> {
    let Some(((_, from), (got, into))) = noted(row, " to ") else {
        return Err(row.wrong(NOTES, "does not say what it was converted to").into());
    };
    if coin != from && coin == into {
        return Err(Left::Skipped);
    }
    told.record.sent = Amount::of(quantity.clone(), coin);
    told.record.received = Amount::of(got, into);
    Ok(told)
}

/// So much of an asset, in notes.
type Noted<'a> = (Quantity, &'a str);

/// The two amounts of the notes, on either side of `between`.
fn noted<'a>(row: &'a Row<'_>, between: &str) -> Option<(Noted<'a>, Noted<'a>)> {
    let amount = |number: &str, coin: &'a str| {
        let quantity = super::numbers::parse(number, super::numbers::Style::Dot).ok()?;
        Some((quantity, asset(coin)?))
    };
    let (first, second) = row.text(NOTES).split_once(between)?;
    let mut first = first.split_whitespace().skip(1);
    let mut second = second.split_whitespace();
    Some((amount(first.next()?, first.next()?)?, amount(second.next()?, second.next()?)?))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{read, shown};

    #[test]
    fn the_present_layout_has_a_preamble_signs_and_currency_symbols() {
        let import = read(
            "\n\
             Transactions\n\
             User,Zoe Example,0b1e\n\
             ID,Timestamp,Transaction Type,Asset,Quantity Transacted,Price Currency,Price at Transaction,Subtotal,\
             Total (inclusive of fees and/or spread),Fees and/or Spread,Notes\n\
             a1,2024-03-05 10:00:00 UTC,Buy,BTC,0.01,USD,$60000.00,$600.00,$606.00,$6.00,Bought 0.01 BTC for 606.00 USD\n\
             a2,2024-03-04 10:00:00 UTC,Sell,BTC,-0.01,USD,\"$60,000.00\",\"-$1,600.00\",-$594.00,$6.00,Sold 0.01 BTC for 594 USD\n\
             a3,2024-03-03 10:00:00 UTC,Advanced Trade Buy,ETH,0.5,EUR,€3000,€1500,€1509,€9,\"Bought 0.5 ETH for 1,630.5 USDC on ETH-USDC at 3261 USDC/ETH\"\n\
             a4,2024-03-02 10:00:00 UTC,Convert,USDC,-100,USD,$1,$100,$100,$0,Converted 100 USDC to 0.03 ETH\n\
             a5,2024-03-02 10:00:00 UTC,Convert,ETH,0.03,USD,$1,$100,$100,$0,Converted 100 USDC to 0.03 ETH\n\
             a6,2024-03-01 10:00:00 UTC,Send,BTC,-0.5,USD,$1,$1,$1,$0,\"Sent 0.5 BTC\nto a friend\"\n\
             a7,2024-02-29 10:00:00 UTC,Receive,BTC,0.25,USD,$1,$1,$1,$0,\n\
             a8,2024-02-28 10:00:00 UTC,Staking Income,ETH,0.0001,USD,$1,$0.3,$0.3,$0,\n\
             a9,2024-02-27 10:00:00 UTC,Retail Staking Transfer,ETH,-1,USD,$1,$1,$1,$0,\n\
             b1,2024-02-26 10:00:00 UTC,Convert,USDC,-100,USD,$1,$100,$100,$0,\n",
        );
        assert_eq!(
            shown(&import),
            "2024-03-05T10:00:00Z trade a1 | 600 USD | 0.01 BTC | 6 USD | -\n\
             2024-03-04T10:00:00Z trade a2 | 0.01 BTC | 1600 USD | 6 USD | -\n\
             2024-03-03T10:00:00Z trade a3 | 1630.5 USDC | 0.5 ETH | - | -\n\
             2024-03-02T10:00:00Z conversion a4 | 100 USDC | 0.03 ETH | - | -\n\
             2024-03-01T10:00:00Z withdrawal a6 | 0.5 BTC | - | - | -\n\
             2024-02-29T10:00:00Z deposit a7 | - | 0.25 BTC | - | -\n\
             2024-02-28T10:00:00Z reward a8 | - | 0.0001 ETH | - | -\n\
             2024-02-27T10:00:00Z ledger a9 | 1 ETH | - | - | -\n\
             line 15, Notes: is empty\n\
             coinbase_transactions: 10 rows, 1 skipped, 0 repeated\n"
        );
    }

    #[test]
    fn the_older_layout_has_neither_ids_nor_signs() {
        let import = read(
            "You can use this transaction report to inform your likely tax obligations.\n\n\
             Timestamp,Transaction Type,Asset,Quantity Transacted,Spot Price Currency,Spot Price at Transaction,Subtotal,\
             Total (inclusive of fees and/or spread),Fees and/or Spread,Notes\n\
             2021-01-02T03:04:05Z,Buy,BTC,0.01,USD,30000.00,300.00,304.47,4.47,Bought 0.01 BTC for $304.47 USD\n\
             2021-01-03T03:04:05Z,Send,BTC,0.005,USD,30000.00,\"\",\"\",\"\",Sent 0.005 BTC to bc1q\n",
        );
        assert_eq!(
            shown(&import),
            "2021-01-02T03:04:05Z trade hash | 300 USD | 0.01 BTC | 4.47 USD | -\n\
             2021-01-03T03:04:05Z withdrawal hash | 0.005 BTC | - | - | -\n\
             coinbase_transactions: 2 rows, 0 skipped, 0 repeated\n"
        );
    }
}
