//! Cursors: opaque, and worth nothing when tampered with or shown to another list.
//!
//! A cursor is base64url of a 16-byte tag and the position. The tag is HMAC-SHA256 over the list's scope (tenant, group,
//! operation and filter) and the position, under the stack's signing key.

use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const TAG: usize = 16;
const LONGEST: usize = 2048;

/// A position in a list, as its client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(String);

impl Cursor {
    /// Seals `position` for the list `scope`.
    #[must_use]
    pub fn seal(key: &hmac::Key, scope: &[&str], position: &str) -> Self {
        let mut bytes = tag(key, scope, position);
        bytes.extend_from_slice(position.as_bytes());
        Self(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The position in `text`, if it was sealed for the list `scope` with this key.
    #[must_use]
    pub fn open(key: &hmac::Key, scope: &[&str], text: &str) -> Option<String> {
        if text.len() > LONGEST {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (shown, position) = bytes.split_at_checked(TAG)?;
        let position = std::str::from_utf8(position).ok()?;
        constant_time::verify_slices_are_equal(shown, &tag(key, scope, position)).ok()?;
        Some(position.to_owned())
    }

    /// As the client is given it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Every part is preceded by its length, so that parts cannot run into one another.
fn tag(key: &hmac::Key, scope: &[&str], position: &str) -> Vec<u8> {
    let mut context = hmac::Context::with_key(key);
    for part in scope.iter().copied().chain([position]) {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    context.sign().as_ref().iter().copied().take(TAG).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, b"a key of a test")
    }

    proptest! {
        #[test]
        fn a_cursor_opens_for_its_own_list_only(position in ".{0,80}", scope in "[a-z#]{1,20}", other in "[a-z#]{1,20}") {
            let cursor = Cursor::seal(&key(), &[&scope, "list"], &position);
            prop_assert_eq!(Cursor::open(&key(), &[&scope, "list"], cursor.as_str()), Some(position));
            if scope != other {
                prop_assert_eq!(Cursor::open(&key(), &[&other, "list"], cursor.as_str()), None);
            }
        }

        #[test]
        fn a_changed_cursor_does_not_open(position in "[a-z0-9]{1,40}", at in 0usize..40, to in "[A-Za-z0-9_-]") {
            let cursor = Cursor::seal(&key(), &["scope"], &position);
            let mut changed: Vec<char> = cursor.as_str().chars().collect();
            let at = at % changed.len();
            changed[at] = to.chars().next().unwrap();
            let changed: String = changed.into_iter().collect();
            // Two spellings of the last character can decode to the same bytes only if the decoder is lax; it is not.
            if changed != cursor.as_str() {
                prop_assert_eq!(Cursor::open(&key(), &["scope"], &changed), None);
            }
        }

        #[test]
        fn rubbish_does_not_open(text in ".{0,120}") {
            prop_assert_eq!(Cursor::open(&key(), &["scope"], &text), None);
        }
    }

    #[test]
    fn parts_of_a_scope_do_not_run_into_one_another() {
        let cursor = Cursor::seal(&key(), &["ab", "c"], "x");
        assert_eq!(Cursor::open(&key(), &["a", "bc"], cursor.as_str()), None);
    }
}
