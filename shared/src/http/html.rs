//! Text in HTML, where a page is made by hand.

/// The text as it may stand in an element or in a quoted attribute: nothing in it begins a tag, a reference or ends the
/// attribute. Not for scripts, style sheets and unquoted attributes, where other rules hold.
#[must_use]
pub fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::escape_html;

    /// What a browser shows of it.
    fn read(escaped: &str) -> String {
        let references = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
        references.iter().fold(escaped.to_owned(), |text, (reference, character)| text.replace(reference, character))
    }

    #[test]
    fn what_means_something_in_html_is_escaped_and_all_else_stays() {
        let escaped = escape_html("<a href=\"x\" title='y'>Tom & Jerry &lt; €é\n</a>");
        assert_eq!(escaped, "&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;Tom &amp; Jerry &amp;lt; €é\n&lt;/a&gt;");
        assert_eq!(escape_html(""), "");
    }

    proptest! {
        #[test]
        fn a_reader_sees_the_text_and_a_parser_no_tag(text in "[&<>\"'a-z;#39 €]{0,40}|.{0,40}") {
            let escaped = escape_html(&text);
            prop_assert!(!escaped.contains(['<', '>', '"', '\'']), "{}", escaped);
            prop_assert_eq!(read(&escaped), text);
        }
    }
}
