//! A file's bytes as text: whichever encoding it was saved in, and a clear word where it is no text at all.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// What other kinds of file begin with, and what to do about them.
const NO_TEXT: &[(&[u8], &str)] = &[
    (b"PK\x03\x04", "is a ZIP archive or an Excel workbook: unpack it, or save its sheet as CSV"),
    (b"\xD0\xCF\x11\xE0", "is an old Excel workbook: save its sheet as CSV"),
    (b"%PDF-", "is a PDF: export the history as CSV instead"),
    (b"\x1F\x8B", "is compressed with gzip: unpack it first"),
];

/// How much of the beginning tells UTF-16 without a byte-order mark, and NUL bytes that no text has.
const LOOKED_AT: usize = 1_024;

/// The text of a file. `charset` is what the request calls its encoding; a byte-order mark counts for more. Without
/// either it is UTF-8 if it can be, and otherwise Windows-1252, which Latin-1 is a part of.
///
/// # Errors
/// Why it is no text: the rest of a sentence about the file.
pub(super) fn decode<'a>(bytes: &'a [u8], charset: Option<&str>) -> Result<Cow<'a, str>, String> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err("is empty".into());
    }
    if let Some((_, what)) = NO_TEXT.iter().find(|(start, _)| bytes.starts_with(start)) {
        return Err((*what).into());
    }
    let named = match charset {
        Some(name) => Encoding::for_label(name.as_bytes()).ok_or("is in an encoding that is not known here")?,
        None => UTF_8,
    };
    let (encoding, marked) = match Encoding::for_bom(bytes) {
        Some((encoding, _)) => (encoding, true),
        None => (unmarked_utf_16(bytes).unwrap_or(named), false),
    };
    let (text, _, has_errors) = encoding.decode(bytes);
    let text = match has_errors {
        false => text,
        true if encoding == UTF_8 && !marked => WINDOWS_1252.decode(bytes).0,
        true => return Err(format!("is not the {} that it begins as", encoding.name())),
    };
    let end = text.char_indices().nth(LOOKED_AT).map_or(text.len(), |(at, _)| at);
    if text.get(..end).is_some_and(|start| start.contains('\0')) {
        return Err("is no text: it has NUL bytes".into());
    }
    // Old Macs ended lines with a carriage return alone.
    Ok(if text.contains('\r') && !text.contains('\n') { text.replace('\r', "\n").into() } else { text })
}

/// UTF-16 that says nothing of itself: of what is mostly ASCII every other byte is NUL.
fn unmarked_utf_16(bytes: &[u8]) -> Option<&'static Encoding> {
    let (mut even, mut odd, mut pairs) = (0_usize, 0_usize, 0_usize);
    for pair in bytes.chunks_exact(2).take(LOOKED_AT) {
        let [first, second] = pair else { break };
        pairs += 1;
        even += usize::from(*first == 0);
        odd += usize::from(*second == 0);
    }
    let mostly = |zeros: usize| pairs > 4 && zeros * 10 > pairs * 7;
    match (mostly(even), mostly(odd)) {
        (false, true) => Some(UTF_16LE),
        (true, false) => Some(UTF_16BE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Date(UTC),Pair,Notes\n2021-01-02 03:04:05,BTCUSDT,für Zoë\n";

    fn utf_16(text: &str, little: bool, mark: bool) -> Vec<u8> {
        let start = mark.then_some(0xFEFF);
        let units = start.into_iter().chain(text.encode_utf16());
        units.flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
    }

    #[test]
    fn every_usual_encoding_is_the_same_text() {
        let latin: Vec<u8> = TEXT.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect();
        let marked = [b"\xEF\xBB\xBF", TEXT.as_bytes()].concat();
        for bytes in [
            TEXT.as_bytes().to_vec(),
            marked,
            latin.clone(),
            utf_16(TEXT, true, true),
            utf_16(TEXT, false, true),
            utf_16(TEXT, true, false),
            utf_16(TEXT, false, false),
        ] {
            assert_eq!(decode(&bytes, None).unwrap(), TEXT);
        }
        assert_eq!(decode(&latin, Some("iso-8859-1")).unwrap(), TEXT);
        assert_eq!(decode(b"a,b\rc,d\r", None).unwrap(), "a,b\nc,d\n");
    }

    #[test]
    fn what_is_no_text_is_refused_with_what_to_do() {
        for (bytes, reason) in [
            (&b""[..], "is empty"),
            (b" \r\n ", "is empty"),
            (b"PK\x03\x04\x14\x00", "Excel workbook"),
            (b"\xD0\xCF\x11\xE0\xA1", "old Excel workbook"),
            (b"%PDF-1.7", "PDF"),
            (b"\x1F\x8B\x08", "gzip"),
            (b"a,b\n\0\x01\x02,c", "NUL"),
            (b"\xEF\xBB\xBFa\xFF\xFF", "UTF-8"),
            (b"\xFF\xFEa\0b", "UTF-16LE"),
        ] {
            let refused = decode(bytes, None).unwrap_err();
            assert!(refused.contains(reason), "{bytes:?}: {refused}");
        }
        assert!(decode(b"a,b", Some("klingon")).unwrap_err().contains("not known"));
    }
}
