//! Histories from files that exchanges export, and from spreadsheets: one file a layout, behind one trait.
//!
//! # Theory of operation
//! A file is read once, row by row. Its bytes become text (`text`); one of its first lines is the header of a `Layout`,
//! which tells what separates the columns too, for each separator is tried; how numbers are written is told by those that
//! can be read in one way only (`numbers`). A layout's `Reader` takes rows and tells what happened; where several rows
//! are one event it tells at the end. A row that cannot be read is reported with its line and column, and the others are
//! read all the same; but an event of which one row cannot be read is left out as a whole, for half an event would be
//! wrong and stay.
//!
//! Each record has a name within its wallet, so that a file that is imported again adds nothing, and files that overlap
//! add what is new: the export's own name for it, or else a hash of what it tells and, where the file tells the very same
//! several times, its number among them. The hash is of the meaning, not of the bytes: a file that went through a
//! spreadsheet tells the same.
//!
//! [`store`] writes what was read.

mod binance;
mod coinbase;
mod events;
pub mod generic;
mod kraken;
pub mod kucoin;
mod numbers;
pub mod store;
mod table;
mod text;
mod times;

use std::collections::{HashMap, HashSet};
use std::io::Cursor;

use serde::Serialize;
use shared::digest::sha256_hex;

use self::events::Told;
use self::numbers::Evidence;
use self::table::{Column, Header, Problem, Row};
use crate::model::Record;
use crate::store::sort_of;

/// The largest body that is taken. A function is given 6 MiB at most, in which a form is written as base64, four bytes for
/// three, beside its headers: so that what is too large is refused by us, who say what to do, and not by the gateway.
pub const LARGEST: usize = 4_500_000;
/// So many rejected rows are shown; all are counted.
pub const SHOWN: usize = 100;
/// The most rows that are taken: as many as fit into the function's memory with room to spare.
pub const MOST_ROWS: u64 = 50_000;
/// The header stands among so many lines.
const PREAMBLE: usize = 50;
/// What may separate the columns.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// After a quotation mark that is never closed the next line is tried. Once so much was read in vain, each line counts as a
/// row by itself.
const READ_IN_VAIN: u64 = 4 * 1024 * 1024;
/// No row of an export is longer, in bytes.
const LONGEST_ROW: u64 = 16 * 1024;
const LONGEST_REASON: usize = 300;

/// One layout of files. Implementations hold no state.
trait Layout: Sync {
    /// What the API calls it.
    fn name(&self) -> &'static str;

    /// The provider that makes such files; [`generic::ID`] for files of anybody's making.
    fn provider(&self) -> &'static str;

    /// Starts to read a file.
    fn reader(&self) -> Box<dyn Reader>;

    /// What a file of it cannot do without, by names that columns have had.
    fn columns(&self) -> &'static [&'static [&'static str]];

    /// Columns of a like layout that this one does not have.
    fn lacks(&self) -> &'static [&'static [&'static str]] {
        &[]
    }
}

/// Takes the rows of one file and tells what happened.
trait Reader {
    /// Takes a row.
    fn row(&mut self, row: &Row<'_>, found: &mut Found) -> Result<(), Left>;

    /// Tells what only the last row shows to be whole.
    fn end(&mut self, _found: &mut Found) {}
}

/// Why a row made no record.
#[derive(Debug)]
enum Left {
    /// It tells of nothing that happened: something that is still under way, or failed.
    Skipped,
    /// It cannot be read.
    Rejected(Problem),
}

impl From<Problem> for Left {
    fn from(problem: Problem) -> Self {
        Self::Rejected(problem)
    }
}

/// What readers have told.
#[derive(Debug, Default)]
struct Found {
    told: Vec<Told>,
    rejected: Rejected,
}

impl Found {
    /// Rejects the good lines of an event that is left out; those that cannot be read are rejected already.
    fn reject_others(&mut self, lines: &[u64], broken: Option<u64>) {
        let reason = match broken {
            Some(line) => format!("the row is part of an event whose row on line {line} cannot be read"),
            None => "the row is part of an event whose amounts cannot be added up".to_owned(),
        };
        for line in lines {
            self.rejected.add(*line, Problem::row(reason.clone()));
        }
    }
}

/// A row that was not imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Rejection {
    /// Where it stands in the file, from 1.
    pub line: u64,
    /// The column that is to blame, as the file names it.
    #[schema(required = true)]
    pub column: Option<String>,
    /// What is wrong.
    pub reason: String,
}

/// The rows that were not imported.
#[derive(Debug, Default)]
pub struct Rejected {
    /// The first [`SHOWN`] of them.
    pub first: Vec<Rejection>,
    /// How many there are.
    pub count: u64,
}

impl Rejected {
    fn add(&mut self, line: u64, problem: Problem) {
        self.count += 1;
        if self.first.len() < SHOWN {
            let cut = |text: String| text.chars().take(LONGEST_REASON).collect();
            let (column, reason) = (problem.column.map(cut), cut(problem.reason));
            self.first.push(Rejection { line, column, reason });
        }
    }
}

/// What a file holds.
#[derive(Debug)]
pub struct Import {
    /// The layout's name.
    pub layout: &'static str,
    /// The provider that makes such files.
    pub provider: &'static str,
    /// Tells this file from every other.
    pub digest: String,
    /// The records by their sort keys, each once, in the order of the file.
    pub records: Vec<(String, Record)>,
    /// How many records the file holds once more.
    pub repeated: u64,
    /// How many rows there are.
    pub rows: u64,
    /// How many of them tell of nothing that happened.
    pub skipped: u64,
    /// Those that cannot be read.
    pub rejected: Rejected,
}

/// Every layout.
static LAYOUTS: &[&dyn Layout] = &[
    &binance::Trades,
    &binance::OlderTrades,
    &binance::Statement,
    &binance::Withdrawals,
    &binance::Deposits,
    &coinbase::Transactions,
    &kraken::Ledgers,
    &kraken::Trades,
    &kucoin::Trades,
    &generic::Generic,
];

/// The layouts in which a provider's files may be: its own, and the generic one.
fn layouts_of(provider: Option<&str>) -> impl Iterator<Item = &'static dyn Layout> {
    let may_be = move |layout: &&dyn Layout| {
        provider.is_none_or(|provider| {
            layout.provider() == provider || layout.provider() == generic::ID || provider == generic::ID
        })
    };
    LAYOUTS.iter().copied().filter(may_be)
}

/// Reads a file. `charset` is what the request calls its encoding; `provider` is whose it should be.
///
/// # Errors
/// Why it is no file that can be imported: the rest of a sentence about it.
pub fn read(bytes: &[u8], charset: Option<&str>, provider: Option<&str>) -> Result<Import, String> {
    let text = text::decode(bytes, charset)?;
    let File { layout, header, body, line, delimiter } = File::find(&text, provider)?;
    let mut evidence = Evidence::default();
    let mut plain = rows(body, delimiter);
    let mut cells = csv::StringRecord::new();
    while plain.read_record(&mut cells).unwrap_or(false) {
        cells.iter().for_each(|cell| evidence.look(cell));
    }
    let style = evidence.style(delimiter);

    let mut reader = layout.reader();
    let mut found = Found::default();
    let (mut count, mut skipped) = (0, 0);
    let mut walk = Walk { rows: rows(body, delimiter), body, line, delimiter, vain: 0 };
    while let Some((line, is_runaway)) = walk.next(&header, &mut cells) {
        count += 1;
        if count > MOST_ROWS {
            return Err(format!(
                "has more than {MOST_ROWS} rows. Split it: give each part the header line, import the first part, and import \
                 the others with the walletId of its answer"
            ));
        }
        let row = Row { header: &header, cells: &cells, style, line };
        let taken = match whole(&row, is_runaway) {
            Ok(()) => reader.row(&row, &mut found),
            Err(problem) => Err(problem.into()),
        };
        match taken {
            Ok(()) => {}
            Err(Left::Skipped) => skipped += 1,
            Err(Left::Rejected(problem)) => found.rejected.add(line, problem),
        }
    }
    reader.end(&mut found);
    found.rejected.first.sort_by_key(|rejection| rejection.line);
    let (records, repeated) = named(layout.name(), found.told);
    let digest = sha256_hex(format!("{}\n{text}", layout.name()).as_bytes());
    Ok(Import {
        layout: layout.name(),
        provider: layout.provider(),
        digest,
        records,
        repeated,
        rows: count,
        skipped,
        rejected: found.rejected,
    })
}

/// A row has as many cells as the header, but for empty ones at its end.
fn whole(row: &Row<'_>, is_runaway: bool) -> Result<(), Problem> {
    if is_runaway {
        return Err(Problem::row("the row is too long: it may open a quotation mark that is not closed"));
    }
    let (has, wanted) = (row.cells.len(), row.header.len());
    if has < wanted || row.cells.iter().skip(wanted).any(|cell| !cell.trim().is_empty()) {
        let columns = if has == 1 { "column" } else { "columns" };
        return Err(Problem::row(format!("the row has {has} {columns} where the header has {wanted}")));
    }
    Ok(())
}

/// Gives each record its name, and leaves out what the file holds once more.
fn named(layout: &str, told: Vec<Told>) -> (Vec<(String, Record)>, u64) {
    let mut same: HashMap<String, u64> = HashMap::new();
    let mut seen = HashSet::new();
    let mut records = Vec::with_capacity(told.len());
    let mut repeated = 0;
    for Told { mut record, apart } in told {
        if record.provider_id.is_empty() {
            // Trades of one exchange are the same ones in whichever of its layouts they are told.
            let family = layout.split('_').next().unwrap_or_default();
            let meaning = serde_json::to_string(&(family, &record, &apart)).unwrap_or_default();
            let hash: String = sha256_hex(meaning.as_bytes()).chars().take(32).collect();
            let number = same.entry(hash.clone()).and_modify(|number| *number += 1).or_insert(1);
            record.provider_id = if *number == 1 { format!("csv:{hash}") } else { format!("csv:{hash}:{number}") };
        }
        let sort = sort_of(&record);
        if seen.insert(sort.clone()) {
            records.push((sort, record));
        } else {
            repeated += 1;
        }
    }
    (records, repeated)
}

/// A file whose header is found.
struct File<'a> {
    layout: &'static dyn Layout,
    header: Header,
    /// What follows the header.
    body: &'a str,
    /// The line on which that begins.
    line: u64,
    delimiter: u8,
}

impl<'a> File<'a> {
    fn find(text: &'a str, provider: Option<&str>) -> Result<Self, String> {
        let mut nearest: Option<(usize, String)> = None;
        let mut rest = text;
        for number in 1..=PREAMBLE {
            let (line, body) = rest.split_once('\n').unwrap_or((rest, ""));
            for delimiter in DELIMITERS {
                let Some(header) = header_of(line, delimiter) else { continue };
                if let Some(layout) = best(layouts_of(provider), &header) {
                    let line = u64::try_from(number).unwrap_or_default() + 1;
                    return Ok(Self { layout, header, body, line, delimiter });
                }
                if let Some(layout) = best(LAYOUTS.iter().copied(), &header) {
                    let whose = layout.provider();
                    return Err(format!("is a file of {whose} ({}), by its header on line {number}", layout.name()));
                }
                let near = layouts_of(provider).filter_map(|layout| almost(layout, &header, number));
                nearest = nearest.into_iter().chain(near).max_by_key(|(there, _)| *there);
            }
            if body.is_empty() {
                break;
            }
            rest = body;
        }
        let known: Vec<&str> = layouts_of(provider).map(|layout| layout.name()).collect();
        let near = nearest.map(|(_, near)| format!(" {near}")).unwrap_or_default();
        Err(format!(
            "has no header of a known layout among its first {PREAMBLE} lines; the layouts are {}.{near}",
            known.join(", ")
        ))
    }
}

/// A line as a header, if it may be one.
fn header_of(line: &str, delimiter: u8) -> Option<Header> {
    const LONGEST: usize = 8_192;
    if line.len() > LONGEST {
        return None;
    }
    let mut cells = csv::StringRecord::new();
    let read = rows(line, delimiter).read_record(&mut cells).unwrap_or(false);
    (read && cells.len() > 1).then(|| Header::of(&cells))
}

fn fits(layout: &dyn Layout, header: &Header) -> bool {
    layout.columns().iter().all(|column| header.has(column)) && !layout.lacks().iter().any(|column| header.has(column))
}

/// The layout that this is the header of: of several, the one that asks for most.
fn best(layouts: impl Iterator<Item = &'static dyn Layout>, header: &Header) -> Option<&'static dyn Layout> {
    layouts.filter(|layout| fits(*layout, header)).max_by_key(|layout| layout.columns().len())
}

/// Of a header that is not quite a layout's: how near it is, and what it lacks.
fn almost(layout: &'static dyn Layout, header: &Header, line: usize) -> Option<(usize, String)> {
    let missing: Vec<&str> =
        layout.columns().iter().filter(|column| !header.has(column)).map(|column| title(column)).collect();
    let there = layout.columns().len().saturating_sub(missing.len());
    // A layout of which nothing is missing has a column too many.
    if missing.is_empty() {
        return None;
    }
    let message = || format!("Line {line} is nearly {}, but lacks {}.", layout.name(), missing.join(", "));
    (there >= 2 && there > missing.len()).then(|| (there, message()))
}

fn title(column: Column) -> &'static str {
    column.first().map_or("", |name| name.trim_end_matches('*'))
}

fn rows(body: &str, delimiter: u8) -> csv::Reader<Cursor<&[u8]>> {
    let mut builder = csv::ReaderBuilder::new();
    builder.delimiter(delimiter).has_headers(false).flexible(true).from_reader(Cursor::new(body.as_bytes()))
}

/// A walk through the rows of a body.
struct Walk<'a> {
    rows: csv::Reader<Cursor<&'a [u8]>>,
    body: &'a str,
    /// The line on which the body begins.
    line: u64,
    delimiter: u8,
    /// How many bytes were read in vain.
    vain: u64,
}

impl Walk<'_> {
    /// Reads the next row: its line, and whether it goes on for too long. Empty rows and the header once more are passed
    /// over.
    fn next(&mut self, header: &Header, cells: &mut csv::StringRecord) -> Option<(u64, bool)> {
        loop {
            let (mut start, mut line) = (self.rows.position().byte(), self.rows.position().line());
            // Empty lines before a row are passed over by the reader, and counted only with it.
            let rest = self.body.as_bytes().get(place(start)..).unwrap_or_default();
            for byte in rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')) {
                start += 1;
                line += u64::from(*byte == b'\n');
            }
            let is_runaway = if self.vain > READ_IN_VAIN {
                self.read_line(start, line, cells)?;
                false
            } else {
                if !self.rows.read_record(cells).unwrap_or(false) {
                    return None;
                }
                let is_runaway = self.rows.position().byte().saturating_sub(start) > LONGEST_ROW;
                if is_runaway || cells.len() != header.len() {
                    self.step_back(start, line);
                }
                is_runaway
            };
            let is_empty = cells.iter().all(|cell| cell.trim().is_empty());
            if is_runaway || !(is_empty || header.is(cells)) {
                return Some((self.line + line - 1, is_runaway));
            }
        }
    }

    /// Reads one line as a row.
    fn read_line(&mut self, start: u64, line: u64, cells: &mut csv::StringRecord) -> Option<()> {
        let rest = self.body.get(place(start)..).filter(|rest| !rest.is_empty())?;
        let end = rest.find('\n').map_or(rest.len(), |end| end + 1);
        if !rows(rest.get(..end)?, self.delimiter).read_record(cells).unwrap_or(false) {
            cells.clear();
        }
        self.go_to(start.saturating_add(u64::try_from(end).unwrap_or(u64::MAX)), line + 1)
    }

    /// A row of the wrong length that spans several lines began with a quotation mark that was not meant: its first line
    /// alone is bad, and the next one is read by itself.
    fn step_back(&mut self, start: u64, line: u64) {
        let read = self.body.get(place(start)..place(self.rows.position().byte())).unwrap_or_default();
        let Some(end) = read.find('\n').map(|end| end + 1).filter(|end| *end < read.trim_end().len()) else { return };
        self.vain = self.vain.saturating_add(u64::try_from(read.len()).unwrap_or(u64::MAX));
        let _ = self.go_to(start.saturating_add(u64::try_from(end).unwrap_or(u64::MAX)), line + 1);
    }

    /// Goes on reading at a byte of the body, which is on this line of it. Nothing if it cannot: it is in memory.
    fn go_to(&mut self, byte: u64, line: u64) -> Option<()> {
        let mut position = csv::Position::new();
        position.set_byte(byte).set_line(line);
        self.rows.seek(position).ok()
    }
}

fn place(byte: u64) -> usize {
    usize::try_from(byte).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod testing {
    //! What the layouts' tests share.

    use std::fmt::Write;

    use super::Import;
    use crate::model::Amount;

    pub(super) fn read(text: &str) -> Import {
        super::read(text.as_bytes(), None, None).unwrap()
    }

    /// A file's records and rejected rows, a line each. Hashes are left out.
    pub(super) fn shown(import: &Import) -> String {
        let amount = |amount: &Option<Amount>| {
            amount.as_ref().map_or("-".to_owned(), |amount| format!("{} {}", amount.quantity, amount.asset))
        };
        let mut text = String::new();
        for (_, record) in &import.records {
            let id = match record.provider_id.strip_prefix("csv:") {
                Some(hash) => hash.split_once(':').map_or("hash".to_owned(), |(_, number)| format!("hash:{number}")),
                None => record.provider_id.clone(),
            };
            let (sent, received, fee) = (amount(&record.sent), amount(&record.received), amount(&record.fee));
            let hash = record.tx_hash.as_deref().unwrap_or("-");
            writeln!(text, "{} {} {id} | {sent} | {received} | {fee} | {hash}", record.time, record.kind.name())
                .unwrap();
        }
        for rejection in &import.rejected.first {
            let column = rejection.column.as_deref().unwrap_or("-");
            writeln!(text, "line {}, {column}: {}", rejection.line, rejection.reason).unwrap();
        }
        let (rows, skipped, repeated) = (import.rows, import.skipped, import.repeated);
        writeln!(text, "{}: {rows} rows, {skipped} skipped, {repeated} repeated", import.layout).unwrap();
        text
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::testing::{read, shown};
    use super::*;

    const HEADER: &str = "timestamp,received_amount,received_asset,note\n";

    fn refused(bytes: &[u8], provider: Option<&str>) -> String {
        super::read(bytes, None, provider).unwrap_err()
    }

    fn keys(import: &Import) -> BTreeSet<String> {
        import.records.iter().map(|(sort, _)| sort.clone()).collect()
    }

    #[test]
    fn what_has_no_known_header_is_refused_with_the_nearest() {
        let unknown = refused(b"a,b,c\n1,2,3\n", None);
        assert!(unknown.contains("binance_trades, binance_trades_older"), "{unknown}");
        assert!(!unknown.contains("nearly"), "{unknown}");
        let near = refused(b"Report\n\"txid\",\"refid\",\"time\",\"type\",\"asset\",\"amount\"\n", None);
        assert!(near.ends_with("Line 2 is nearly kraken_ledgers, but lacks fee."), "{near}");
        let other = refused(HEADER.replace("timestamp", "Received Time").as_bytes(), Some("binance"));
        assert!(!other.contains("kraken"), "{other}");
        let trades = b"Date(UTC),Pair,Side,Price,Executed,Amount,Fee\n";
        assert_eq!(refused(trades, Some("kraken")), "is a file of binance (binance_trades), by its header on line 1");
        assert_eq!(
            super::read(trades, None, Some("binance")).unwrap().rows,
            0,
            "nothing happened, and that is all right"
        );
        assert!(refused(b"", None).contains("empty"));
    }

    #[test]
    fn separators_ends_of_lines_and_encodings_do_not_matter() {
        let plain = format!("{HEADER}2024-01-01 10:00:00,1234.5,BTC,\"für, Zoë\"\n2024-01-02 10:00:00,0.25,ETH,\n");
        let expected = read(&plain).records;
        let semicolons = "sep=;\ntimestamp;received_amount;received_asset;note\n\
                          2024-01-01 10:00:00;1.234,5;BTC;für, Zoë\n2024-01-02 10:00:00;0,25;ETH;\n";
        let latin: Vec<u8> = plain.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect();
        let wide: Vec<u8> = plain.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [
            semicolons.as_bytes().to_vec(),
            semicolons.replace(';', "\t").replace("sep=\t", "").into_bytes(),
            plain.replace('\n', "\r\n").into_bytes(),
            plain.replace('\n', "\r").into_bytes(),
            [b"\xEF\xBB\xBF", plain.as_bytes()].concat(),
            [b"\xFF\xFE", wide.as_slice()].concat(),
            latin,
        ] {
            assert_eq!(
                super::read(&bytes, None, None).unwrap().records,
                expected,
                "{}",
                String::from_utf8_lossy(&bytes)
            );
        }
    }

    #[test]
    fn a_quotation_mark_that_is_never_closed_costs_its_own_line() {
        let text = format!(
            "{HEADER}\n\n2024-01-01,1,BTC,\"a note\nof two lines\"\n2024-01-02,2,BTC,\"open\n2024-01-03,3,BTC,fine\n\
             \"2024-01-04,4,BTC,open\n{HEADER},,,\n2024-01-05,5,BTC,also fine,\n2024-01-06,6,BTC,too,many\n"
        );
        assert_eq!(
            shown(&read(&text)),
            "2024-01-01T00:00:00Z deposit hash | - | 1 BTC | - | -\n\
             2024-01-03T00:00:00Z deposit hash | - | 3 BTC | - | -\n\
             2024-01-05T00:00:00Z deposit hash | - | 5 BTC | - | -\n\
             line 6, -: the row has 7 columns where the header has 4\n\
             line 8, -: the row has 1 column where the header has 4\n\
             line 12, -: the row has 5 columns where the header has 4\n\
             generic: 6 rows, 0 skipped, 0 repeated\n"
        );
        let long = format!("{HEADER}2024-01-01,1,BTC,\"open\n{}", "2024-01-02,2,BTC,\n".repeat(2_000));
        let import = read(&long);
        assert_eq!((import.records.len(), import.rejected.count), (2_000, 1));
        assert_eq!(import.rejected.first[0].line, 2);
        // However many there are, and however long the file is, they cost no other line.
        let row = |number: usize| match number % 500 {
            0 => format!("{number},1,BTC,\"open\n"),
            _ => format!("2024-01-02,{number},BTC,{}\n", "x".repeat(60)),
        };
        let import = read(&(1..10_000).map(row).fold(HEADER.to_owned(), |text, row| text + &row));
        assert_eq!((import.rows, import.rejected.count, import.records.len()), (9_999, 19, 9_980));
        let lines: Vec<u64> = import.rejected.first.iter().map(|rejection| rejection.line).collect();
        assert_eq!(lines, (1..20).map(|number| number * 500 + 1).collect::<Vec<u64>>());
    }

    #[test]
    fn all_bad_rows_are_counted_and_the_first_are_shown() {
        let import = read(&format!("{HEADER}{}2024-01-01,1,BTC,\n", "2024-01-01,none of it,BTC,\n".repeat(250)));
        assert_eq!((import.rows, import.rejected.count, import.rejected.first.len()), (251, 250, SHOWN));
        assert_eq!(import.records.len(), 1);
        let rows = |count: u64| format!("{HEADER}{}", "2024-01-01,1,BTC,\n".repeat(usize::try_from(count).unwrap()));
        assert!(refused(rows(MOST_ROWS + 1).as_bytes(), None).contains("Split it"));
        assert_eq!(read(&rows(MOST_ROWS)).records.len(), 50_000);
        let long = read(&format!("{HEADER}2024-01-01,{},BTC,\n", "9".repeat(10_000)));
        assert!(long.rejected.first[0].reason.chars().count() <= LONGEST_REASON);
    }

    /// Cells that are hard on parsers.
    fn cell() -> impl Strategy<Value = String> {
        prop_oneof![
            Just(String::new()),
            "[-+(]?[0-9]{1,12}[.,]?[0-9]{0,12}(e-?[0-9]{1,4})?[A-Z1-9]{0,6}\\)?",
            "20[0-9]{2}-[01][0-9]-[0-3][0-9][ T][0-2][0-9]:[0-5][0-9]:[0-5][0-9]",
            "(BUY|SELL|buy|sell|trade|deposit|Convert|Buy|Fee|Transaction Buy|Completed|BTCUSDT|BTC-USDT|XXBTZUSD)",
            "(Bought|Converted) [0-9.,$]{1,9} [A-Z]{0,4} (for|to) [0-9.,$]{1,9} [A-Z]{0,4}",
            "[\"',;\t\r\n|]{1,3}",
            "[^\x00]{0,12}",
        ]
    }

    fn header() -> impl Strategy<Value = Vec<&'static str>> {
        (0..LAYOUTS.len()).prop_map(|number| LAYOUTS[number].columns().iter().map(|column| title(column)).collect())
    }

    proptest! {
        // A case is a whole file.
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn nothing_that_is_sent_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), charset in ".{0,8}") {
            let _ = super::read(&bytes, None, None);
            let _ = super::read(&bytes, Some(&charset), Some("binance"));
        }

        #[test]
        fn no_row_panics_and_a_file_twice_is_the_file_once(
            header in header(),
            rows in proptest::collection::vec(proptest::collection::vec(cell(), 6..15), 0..12),
            delimiter in prop_oneof![Just(","), Just(";"), Just("\t")],
            quoted in any::<bool>(),
        ) {
            let write = |cell: &str| if quoted { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() };
            let line = |cells: Vec<String>| cells.join(delimiter) + "\n";
            let mut text = line(header.iter().map(|name| write(name)).collect());
            for row in rows {
                text += &line(row.iter().cycle().take(header.len()).map(|cell| write(cell)).collect());
            }
            let (once, twice) = (read(&text), read(&text));
            prop_assert_eq!(&once.records, &twice.records);
            prop_assert_eq!(keys(&once).len(), once.records.len());
            prop_assert!(once.rejected.count + once.skipped <= once.rows);
            for (_, record) in &once.records {
                prop_assert!(serde_json::to_vec(record).unwrap().len() < 4_000);
            }
        }

        #[test]
        fn files_that_overlap_tell_together_what_one_file_tells(
            times in proptest::collection::vec(1usize..4, 1..20),
            cuts in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        ) {
            let rows = |from: usize, to: usize| {
                let row = |second: usize| format!("2024-01-01 10:00:{second:02},1,BTC,\n");
                let rows = times.iter().enumerate().skip(from).take(to - from);
                format!("{HEADER}{}", rows.map(|(second, times)| row(second).repeat(*times)).collect::<String>())
            };
            let (one, other) = (cuts.0.index(times.len()), cuts.1.index(times.len()));
            let (first, last) = (one.max(other), one.min(other));
            let whole = read(&rows(0, times.len()));
            prop_assert_eq!(whole.records.len(), times.iter().sum::<usize>());
            let both: BTreeSet<String> = [read(&rows(0, first)), read(&rows(last, times.len()))].iter().flat_map(keys).collect();
            prop_assert_eq!(both, keys(&whole));
        }
    }
}
