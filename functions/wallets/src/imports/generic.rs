//! A layout of our own, for spreadsheets and for exchanges whose exports are not known here.
//!
//! `timestamp, type, sent_amount, sent_asset, received_amount, received_asset, fee_amount, fee_asset, external_id, tx_hash,
//! account, note`, in any order. Needed are the timestamp, and amount and asset of what was sent or of what was received.

use super::events::Told;
use super::table::{Column, Problem, Row};
use super::{Found, Layout, Left, Reader};
use crate::model::{Amount, Category, RecordKind};
use crate::providers::Entry;

/// The provider of files of anybody's making.
pub const ID: &str = "csv";

/// Files of anybody's making in the catalogue.
pub static ENTRY: Entry = Entry {
    id: ID,
    public_name: "CSV file",
    category: Category::Unknown,
    logo_url: "https://cdn.jsdelivr.net/gh/spothq/cryptocurrency-icons@0.18.1/svg/color/generic.svg",
    sources: &[],
    chains: &[],
    takes_csv: true,
    instructions: "Make a table with the columns timestamp (ISO 8601, UTC), type, sent_amount, sent_asset, received_amount, \
        received_asset, fee_amount, fee_asset, external_id, tx_hash, account and note, and save it as CSV. Columns that you \
        have nothing for may be left out.",
};

/// The generic layout.
pub(super) struct Generic;

const TIME: Column = &["timestamp"];
const TYPE: Column = &["type"];
const SENT: [Column; 2] = [&["sent amount"], &["sent asset"]];
const RECEIVED: [Column; 2] = [&["received amount"], &["received asset"]];
const FEE: [Column; 2] = [&["fee amount"], &["fee asset"]];
const ID_COLUMN: Column = &["external id"];
const HASH: Column = &["tx hash"];
const ACCOUNT: Column = &["account"];

/// Other words for kinds.
const WORDS: &[(&str, RecordKind)] = &[
    ("buy", RecordKind::Trade),
    ("sell", RecordKind::Trade),
    ("send", RecordKind::Withdrawal),
    ("receive", RecordKind::Deposit),
    ("convert", RecordKind::Conversion),
    ("swap", RecordKind::Conversion),
    ("staking", RecordKind::Reward),
    ("interest", RecordKind::Reward),
    ("airdrop", RecordKind::Reward),
    ("income", RecordKind::Reward),
];

impl Layout for Generic {
    fn name(&self) -> &'static str {
        "generic"
    }

    fn provider(&self) -> &'static str {
        ID
    }

    fn columns(&self) -> &'static [Column] {
        const AMOUNT: Column = &["sent amount", "received amount"];
        const ASSET: Column = &["sent asset", "received asset"];
        &[TIME, AMOUNT, ASSET]
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Self)
    }
}

impl Reader for Generic {
    fn row(&mut self, row: &Row<'_>, found: &mut Found) -> Result<(), Left> {
        let time = row.time(TIME)?;
        let (sent, received, fee) = (amount(row, SENT)?, amount(row, RECEIVED)?, amount(row, FEE)?);
        let told_kind = match (&sent, &received, &fee) {
            (Some(_), Some(_), _) => RecordKind::Trade,
            (Some(_), None, _) => RecordKind::Withdrawal,
            (None, Some(_), _) => RecordKind::Deposit,
            (None, None, Some(_)) => RecordKind::Fee,
            (None, None, None) => {
                return Err(Problem::row("the row has neither a sent nor a received amount nor a fee").into());
            }
        };
        let mut told = Told::new(kind(row)?.unwrap_or(told_kind), time);
        (told.record.sent, told.record.received, told.record.fee) = (sent, received, fee);
        told.record.tx_hash = row.optional_line(HASH)?;
        let account = row.optional_line(ACCOUNT)?.unwrap_or_default();
        told = match row.optional_line(ID_COLUMN)? {
            Some(id) => told.named(id),
            None => told.apart(account),
        };
        found.told.push(told);
        Ok(())
    }
}

fn kind(row: &Row<'_>) -> Result<Option<RecordKind>, Problem> {
    let text = row.text(TYPE).to_lowercase().replace(' ', "_");
    if text.is_empty() {
        return Ok(None);
    }
    let word = || WORDS.iter().find(|(word, _)| *word == text).map(|(_, kind)| *kind);
    let known = || {
        let kinds = RecordKind::ALL.iter().map(|kind| kind.name());
        let names: Vec<&str> = kinds.chain(WORDS.iter().map(|(word, _)| *word)).collect();
        row.wrong(TYPE, &format!("is none of {}", names.join(", ")))
    };
    RecordKind::named(&text).or_else(word).map(Some).ok_or_else(known)
}

/// An amount and its asset; both or neither.
fn amount(row: &Row<'_>, [number, asset]: [Column; 2]) -> Result<Option<Amount>, Problem> {
    let Some(quantity) = row.optional_number(number)? else {
        let lonely = !row.text(asset).is_empty();
        return if lonely { Err(row.problem(number, "is empty, but the asset beside it is not")) } else { Ok(None) };
    };
    if quantity.is_negative() {
        return Err(row.wrong(number, "is negative: amounts stand without a sign, in the column of their direction"));
    }
    if quantity.is_zero() && row.text(asset).is_empty() {
        return Ok(None);
    }
    Ok(Amount::of(quantity, row.asset(asset)?))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{read, shown};

    #[test]
    fn the_generic_layout_needs_little() {
        let import = read(
            "timestamp,type,sent_amount,sent_asset,received_amount,received_asset,fee_amount,fee_asset,external_id,tx_hash,account,note\n\
             2024-01-01T00:00:00Z,trade,100,USD,0.002,BTC,0.1,USD,t-1,,main,first\n\
             2024-01-02T00:00:00+01:00,,,,5,ETH,,,,0xabc,main,\n\
             2024-01-03,staking,,,0.1,ETH,,,,,,\n\
             2024-01-03,staking,,,0.1,ETH,,,,,,\n\
             2024-01-04 10:00:00,,1,BTC,,,,,,,,\n\
             2024-01-05 10:00:00,gambling,1,BTC,,,,,,,,\n\
             2024-01-05 10:00:00,,-1,BTC,,,,,,,,\n\
             2024-01-05 10:00:00,,1,,,,,,,,,\n\
             2024-01-05 10:00:00,,,BTC,,,,,,,,\n\
             2024-01-05 10:00:00,,,,,,,,,,,\n",
        );
        assert_eq!(
            shown(&import),
            "2024-01-01T00:00:00Z trade t-1 | 100 USD | 0.002 BTC | 0.1 USD | -\n\
             2024-01-01T23:00:00Z deposit hash | - | 5 ETH | - | 0xabc\n\
             2024-01-03T00:00:00Z reward hash | - | 0.1 ETH | - | -\n\
             2024-01-03T00:00:00Z reward hash:2 | - | 0.1 ETH | - | -\n\
             2024-01-04T10:00:00Z withdrawal hash | 1 BTC | - | - | -\n\
             line 7, type: \"gambling\" is none of trade, deposit, withdrawal, conversion, reward, fee, transfer, internal_transfer, token_transfer, nft_transfer, contract_call, ledger, other, buy, sell, send, receive, convert, swap, staking, interest, airdrop, income\n\
             line 8, sent_amount: \"-1\" is negative: amounts stand without a sign, in the column of their direction\n\
             line 9, sent_asset: is empty\n\
             line 10, sent_amount: is empty, but the asset beside it is not\n\
             line 11, -: the row has neither a sent nor a received amount nor a fee\n\
             generic: 10 rows, 0 skipped, 0 repeated\n"
        );
    }

    #[test]
    fn columns_may_be_left_out_and_in_any_order() {
        let import = read("Received Asset;Timestamp;Received Amount\nBTC;31.12.2023 23:59;1.234,5\n");
        assert_eq!(
            shown(&import),
            "2023-12-31T23:59:00Z deposit hash | - | 1234.5 BTC | - | -\n\
             generic: 1 rows, 0 skipped, 0 repeated\n"
        );
    }
}
