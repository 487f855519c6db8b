//! Numbers as exports and spreadsheets write them: signs, currency symbols, thousands, decimal commas, units glued on.

use crate::model::Quantity;

/// What stands before a number's decimals throughout a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// `1,234.56`.
    Dot,
    /// `1.234,56`.
    Comma,
    /// Nothing in the file tells.
    Unknown,
}

/// Looks at cells for numbers that can be read in one way only.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    dots: u64,
    commas: u64,
}

impl Evidence {
    /// Takes a cell into account.
    pub(super) fn look(&mut self, cell: &str) {
        match decimal_mark(bare(cell)) {
            Some('.') => self.dots += 1,
            Some(_) => self.commas += 1,
            None => {}
        }
    }

    /// The style of the file. Where there is no evidence, or there are both, a file that is itself separated by commas is
    /// of English make.
    pub(super) fn style(&self, delimiter: u8) -> Style {
        match (self.dots, self.commas) {
            (1.., 0) => Style::Dot,
            (0, 1..) => Style::Comma,
            _ if delimiter == b',' => Style::Dot,
            _ => Style::Unknown,
        }
    }
}

/// A cell without what stands around its digits.
fn bare(cell: &str) -> &str {
    cell.trim_matches(|letter: char| !letter.is_ascii_digit() && !matches!(letter, '.' | ','))
}

/// The sign that must stand before the decimals of this number, if there is but one way to read it.
fn decimal_mark(number: &str) -> Option<char> {
    if !number.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b',')) {
        return None;
    }
    let (dots, commas) = (number.matches('.').count(), number.matches(',').count());
    match (dots, commas) {
        (0, 0) => None,
        (1, 0) => (!may_be_thousands(number, '.')).then_some('.'),
        (0, 1) => (!may_be_thousands(number, ',')).then_some(','),
        (0, _) => may_be_thousands(number, ',').then_some('.'),
        (_, 0) => may_be_thousands(number, '.').then_some(','),
        (1, _) if number.rfind('.') > number.rfind(',') => Some('.'),
        (_, 1) if number.rfind(',') > number.rfind('.') => Some(','),
        _ => None,
    }
}

/// True for `1,234` and `12,345,678`: one to three digits, then groups of three.
fn may_be_thousands(number: &str, mark: char) -> bool {
    let mut groups = number.split(mark);
    let first = groups.next().unwrap_or_default();
    let digits = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
    (1..=3).contains(&first.len())
        && !first.starts_with('0')
        && digits(first)
        && groups.all(|group| group.len() == 3 && digits(group))
}

/// Reads a number.
///
/// # Errors
/// What is wrong with it: the rest of a sentence about it.
pub(super) fn parse(text: &str, style: Style) -> Result<Quantity, &'static str> {
    const NO_NUMBER: &str = "is not a number";
    let text = text.trim();
    // Accountants put what goes out in brackets.
    let (text, in_brackets) = match text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        Some(inner) => (inner, true),
        None => (text, false),
    };
    let is_padding =
        |letter: char| letter.is_whitespace() || matches!(letter, '$' | '€' | '£' | '¥' | '₿' | '\'' | '’');
    let mut clean: String = text.chars().filter(|letter| !is_padding(*letter)).collect();
    if clean.starts_with('\u{2212}') {
        clean = clean.replacen('\u{2212}', "-", 1);
    }
    if in_brackets {
        clean.insert(0, '-');
    }
    let exponent_at = clean.find(['e', 'E']).unwrap_or(clean.len());
    let (mantissa, exponent) = clean.split_at(exponent_at);
    let unsigned = mantissa.trim_start_matches(['-', '+']);
    let ambiguous = |mark| may_be_thousands(unsigned, mark) && unsigned.matches(mark).count() == 1;
    let mark = match (decimal_mark(unsigned), style) {
        (Some(mark), _) => Some(mark),
        (None, Style::Dot) => Some('.'),
        (None, Style::Comma) => Some(','),
        (None, Style::Unknown) if ambiguous('.') || ambiguous(',') => {
            return Err("may be thousands or decimals: nothing in the file tells which");
        }
        (None, Style::Unknown) => None,
    };
    let thousands = match mark {
        Some('.') => ',',
        Some(_) => '.',
        None => return Quantity::parse(&clean).ok_or(NO_NUMBER),
    };
    let whole = unsigned.split(mark.unwrap_or('.')).next().unwrap_or_default();
    if whole.contains(thousands) && !may_be_thousands(whole, thousands) {
        return Err(NO_NUMBER);
    }
    let plain: String = mantissa.chars().filter(|letter| *letter != thousands).collect();
    let plain = if mark == Some(',') { plain.replace(',', ".") } else { plain };
    Quantity::parse(&format!("{plain}{exponent}")).ok_or(NO_NUMBER)
}

/// Splits `0.5BTC` into its number and its unit. `units` are tried first, because the names of some coins begin with
/// digits: `101INCH` may be 10 of 1INCH.
pub(super) fn unglue<'a>(text: &'a str, units: &[&'a str]) -> (&'a str, &'a str) {
    let text = text.trim();
    let fits = |unit: &&&str| {
        let number = text.strip_suffix(**unit);
        !unit.is_empty() && number.is_some_and(|number| parse(number, Style::Dot).is_ok())
    };
    if let Some(unit) = units.iter().filter(fits).max_by_key(|unit| unit.len()) {
        return (text.strip_suffix(unit).unwrap_or(text).trim_end(), unit);
    }
    let bytes = text.as_bytes();
    let digit_at = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut end = 0;
    while let Some(byte) = bytes.get(end) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'-' | b'+')));
        match byte {
            b'0'..=b'9' | b'.' | b',' | b' ' | b'-' | b'+' => end += 1,
            b'e' | b'E' if sign == 1 && digit_at(end + 2) => end += 2,
            _ => break,
        }
    }
    let (number, unit) = text.split_at(end);
    (number.trim_end(), unit.trim())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str, style: Style) -> String {
        parse(text, style).map_or_else(str::to_owned, String::from)
    }

    #[test]
    fn numbers_are_read_in_the_style_of_their_file() {
        use Style::{Comma, Dot, Unknown};
        for (text, style, expected) in [
            ("0.5", Dot, "0.5"),
            ("1,234.56", Dot, "1234.56"),
            ("1,234", Dot, "1234"),
            ("0,123", Dot, "0.123"),
            ("1.234,56", Dot, "1234.56"),
            ("1.234", Comma, "1234"),
            ("1,234", Comma, "1.234"),
            ("0.5", Comma, "0.5"),
            ("1.234.567,8", Comma, "1234567.8"),
            ("1.5", Unknown, "1.5"),
            ("1,5", Unknown, "1.5"),
            ("12", Unknown, "12"),
            ("1,234,567", Unknown, "1234567"),
            ("-$1,000.10", Dot, "-1000.1"),
            ("$-1.5", Dot, "-1.5"),
            ("(1.5)", Dot, "-1.5"),
            ("\u{2212}1.5", Dot, "-1.5"),
            ("1 234,5", Unknown, "1234.5"),
            ("1\u{a0}234.5", Dot, "1234.5"),
            ("1.2E-7", Dot, "0.00000012"),
            ("1,2e-7", Comma, "0.00000012"),
            ("+3", Dot, "3"),
        ] {
            assert_eq!(read(text, style), expected, "{text} {style:?}");
        }
        for (text, style) in
            [("", Dot), ("abc", Dot), ("1,23,456.7", Dot), ("1.2.3", Dot), ("--1", Dot), ("1e9999", Dot)]
        {
            assert_eq!(read(text, style), "is not a number", "{text}");
        }
        for text in ["1.234", "1,234", "-12,345"] {
            assert!(read(text, Unknown).contains("thousands or decimals"), "{text}");
        }
    }

    #[test]
    fn a_files_style_is_what_its_clear_numbers_say() {
        let style = |cells: &[&str], delimiter| {
            let mut evidence = Evidence::default();
            cells.iter().for_each(|cell| evidence.look(cell));
            evidence.style(delimiter)
        };
        assert_eq!(style(&["1,5", "1.234", "01.02.2024 10:00"], b';'), Style::Comma);
        assert_eq!(style(&["0.50000000BTC", "1,234"], b';'), Style::Dot);
        assert_eq!(style(&["12", "2024-01-02"], b';'), Style::Unknown);
        assert_eq!(style(&["0.5", "0,5"], b'\t'), Style::Unknown);
        assert_eq!(style(&["1,234"], b','), Style::Dot);
        assert_eq!(style(&["$1.234.567"], b','), Style::Comma);
    }

    #[test]
    fn units_come_off() {
        for (text, units, expected) in [
            ("0.01000000BTC", &[][..], ("0.01000000", "BTC")),
            ("1,234.5 USDT", &[], ("1,234.5", "USDT")),
            ("101INCH", &["1INCH", "USDT"], ("10", "1INCH")),
            ("10.000000001INCH", &["1INCH"], ("10.00000000", "1INCH")),
            ("1E-7BTC", &[], ("1E-7", "BTC")),
            ("2ETH", &[], ("2", "ETH")),
            ("5", &["BTC"], ("5", "")),
            ("", &[], ("", "")),
        ] {
            assert_eq!(unglue(text, units), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in ".{0,30}", unit in ".{0,6}") {
            for style in [Style::Dot, Style::Comma, Style::Unknown] {
                let _ = parse(&text, style);
            }
            let (number, rest) = unglue(&text, &[&unit]);
            prop_assert!(number.len() + rest.len() <= text.len());
            Evidence::default().look(&text);
        }

        #[test]
        fn what_is_written_in_a_style_is_read_in_it(units in any::<u64>(), decimals in 0u32..12) {
            let number = Quantity::of_units(i128::from(units), decimals);
            prop_assert_eq!(parse(number.as_str(), Style::Dot).unwrap(), number.clone());
            prop_assert_eq!(parse(&number.as_str().replace('.', ","), Style::Comma).unwrap(), number);
        }
    }
}
