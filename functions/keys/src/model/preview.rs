//! What is shown of a credential: enough to tell two keys apart, never enough to use one.

/// A value that is no longer than this shows nothing of itself.
const TOO_SHORT: usize = 11;

/// The first four characters without a trailing separator, three dots, the last three.
#[must_use]
pub fn preview(value: &str) -> String {
    let characters: Vec<char> = value.chars().collect();
    if characters.len() <= TOO_SHORT {
        return "...".into();
    }
    let head: String = characters.iter().take(4).collect();
    let head = head.trim_end_matches(|last: char| !last.is_alphanumeric());
    let tail: String = characters.iter().skip(characters.len().saturating_sub(3)).collect();
    format!("{head}...{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_documented_previews_come_out() {
        assert_eq!(preview("sk-or-v1-0123456789abcdef123"), "sk-o...123");
        assert_eq!(preview("gsk_0123456789abcdefxyz"), "gsk...xyz");
        assert_eq!(preview("12345678901"), "...");
        assert_eq!(preview("123456789012"), "1234...012");
        assert_eq!(preview(""), "...");
    }

    proptest! {
        #[test]
        fn a_preview_shows_seven_characters_at_most(value in ".{0,80}") {
            let shown = preview(&value);
            let length = value.chars().count();
            if length <= TOO_SHORT {
                prop_assert_eq!(shown, "...");
            } else {
                let tail: String = value.chars().skip(length - 3).collect();
                let head = shown.strip_suffix(&format!("...{tail}")).unwrap();
                prop_assert!(head.chars().count() <= 4);
                prop_assert!(value.starts_with(head));
                prop_assert!(head.chars().last().is_none_or(char::is_alphanumeric));
            }
        }
    }
}
