//! KuCoin's exports: filled orders of the spot account, one row an order or, where they are split, one row a fill.
//!
//! Fills of one order share its id, so a record's name is a hash of what it tells, the order's id included. The zone of the
//! times stands in the column's own name.

use super::events::{Told, market};
use super::table::{Column, Row};
use super::{Found, Layout, Left, Reader};
use crate::model::Amount;
use crate::providers::exchanges::kucoin::ENTRY;

/// Filled orders.
pub(super) struct Trades;

const ORDER: Column = &["order id"];
const SYMBOL: Column = &["symbol"];
const SIDE: Column = &["side"];
const AMOUNT: Column = &["filled amount"];
const VOLUME: Column = &["filled volume"];
const TIME: Column = &["filled time*"];
const FEE: Column = &["fee"];
const FEE_CURRENCY: Column = &["fee currency"];

impl Layout for Trades {
    fn name(&self) -> &'static str {
        "kucoin_trades"
    }

    fn provider(&self) -> &'static str {
        ENTRY.id
    }

    fn columns(&self) -> &'static [Column] {
        &[ORDER, SYMBOL, SIDE, AMOUNT, VOLUME, TIME, FEE, FEE_CURRENCY]
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Self)
    }
}

impl Reader for Trades {
    fn row(&mut self, row: &Row<'_>, found: &mut Found) -> Result<(), Left> {
        let (order, time) = (row.line_of(ORDER)?, row.time(TIME)?);
        let is_buy = row.one_of(SIDE, &[("BUY", true), ("SELL", false)])?;
        let (base, quote) =
            market(row.text(SYMBOL)).ok_or_else(|| row.wrong(SYMBOL, "is not a market, such as BTC-USDT"))?;
        let (base, quote) = (Amount::of(row.number(AMOUNT)?, base), Amount::of(row.number(VOLUME)?, quote));
        let mut told = Told::trade(time, is_buy, base, quote).apart(order);
        if let Some(fee) = row.optional_number(FEE)?.filter(|fee| !fee.is_zero()) {
            told.record.fee = Amount::of(fee, row.asset(FEE_CURRENCY)?);
        }
        found.told.push(told);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{read, shown};

    #[test]
    fn the_zone_stands_in_the_header_and_fills_share_an_order() {
        let import = read(
            "UID,Account Type,Order ID,Symbol,Side,Order Type,Avg. Filled Price,Filled Amount,Filled Volume,Filled Volume (USDT),\
             Filled Time(UTC+08:00),Fee,Tax,Maker/Taker,Fee Currency\n\
             77,mainAccount,65a1,BTC-USDT,BUY,LIMIT,40000,0.01,400,400,2024-01-10 08:00:00,0.4,,TAKER,USDT\n\
             77,mainAccount,65a1,BTC-USDT,BUY,LIMIT,40000,0.01,400,400,2024-01-10 08:00:00,0.4,,TAKER,USDT\n\
             77,mainAccount,65a2,KCS-BTC,SELL,MARKET,0.0002,10,0.002,80,2024-01-10 07:59:59,0,,MAKER,\n\
             77,mainAccount,65a3,KCSBTC?,SELL,MARKET,0.0002,10,0.002,80,2024-01-10 07:59:59,0,,MAKER,\n",
        );
        assert_eq!(
            shown(&import),
            "2024-01-10T00:00:00Z trade hash | 400 USDT | 0.01 BTC | 0.4 USDT | -\n\
             2024-01-10T00:00:00Z trade hash:2 | 400 USDT | 0.01 BTC | 0.4 USDT | -\n\
             2024-01-09T23:59:59Z trade hash | 10 KCS | 0.002 BTC | - | -\n\
             line 5, Symbol: \"KCSBTC?\" is not a market, such as BTC-USDT\n\
             kucoin_trades: 4 rows, 0 skipped, 0 repeated\n"
        );
    }
}
