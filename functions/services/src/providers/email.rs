//! What the e-mail providers share: who sends a message, who receives it, and its subject.
//!
//! Nobody sees who else received a message: each provider sends one e-mail a recipient.

use std::collections::HashSet;

use crate::model::{Message, Refusal};

use super::{Config, is_email, shortened};

/// RFC 5322's longest line.
const LONGEST_SUBJECT: usize = 998;
/// How much of the text's first line stands in for a subject.
const SUBJECT_FROM_TEXT: usize = 120;

/// `name@domain` or `Name <name@domain>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mailbox<'a> {
    /// As it was written.
    pub(super) text: &'a str,
    /// The name before the address, without quotes around it.
    pub(super) name: Option<&'a str>,
    /// The address itself.
    pub(super) address: &'a str,
}

impl<'a> Mailbox<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        if !is_email(text) || text.contains(char::is_control) {
            return None;
        }
        let Some((name, rest)) = text.split_once('<') else { return Some(Self { text, name: None, address: text }) };
        let name = name.trim().trim_matches('"').trim();
        Some(Self { text, name: (!name.is_empty()).then_some(name), address: rest.trim_end_matches('>') })
    }

    /// What is behind the `@`, in lower case.
    pub(super) fn domain(&self) -> String {
        self.address.rsplit_once('@').map(|(_, domain)| domain.to_ascii_lowercase()).unwrap_or_default()
    }
}

/// The sender that the config names, if it names one.
pub(super) fn sender(config: &Config) -> Option<Mailbox<'_>> {
    config.text("fromEmail").and_then(Mailbox::parse)
}

/// The sender of a message, which an e-mail must have.
pub(super) fn sender_of_message(config: &Config) -> Result<Mailbox<'_>, Refusal> {
    sender(config).ok_or_else(|| {
        Refusal::unusable("config.fromEmail", "is missing: an e-mail needs a sender; save the address to send from")
    })
}

/// Whom a message is for, each address once, at most `most` of them.
pub(super) fn recipients(message: &Message, most: usize) -> Result<Vec<Mailbox<'_>>, Refusal> {
    let given = message.to.as_ref().map(|to| to.0.as_slice()).unwrap_or_default();
    if given.is_empty() {
        let problem = format!("is missing: an e-mail address, or a list of at most {most} of them");
        return Err(Refusal::unusable("to", problem));
    }
    let mut recipients = Vec::new();
    let mut known = HashSet::new();
    for text in given {
        let Some(mailbox) = Mailbox::parse(text) else {
            let problem = format!(
                "must be an e-mail address, as name@example.com or `Name <name@example.com>`, or a list of them; {:?} \
                 is none",
                shortened(text, 100)
            );
            return Err(Refusal::unusable("to", problem));
        };
        if known.insert(mailbox.address.to_ascii_lowercase()) {
            recipients.push(mailbox);
        }
    }
    if recipients.len() > most {
        let problem = format!("has {} addresses; one message takes at most {most}", recipients.len());
        return Err(Refusal::unusable("to", problem));
    }
    Ok(recipients)
}

/// The title, or else the text's first line, or else a word that fits every product. Always one line.
pub(super) fn subject(message: &Message) -> Result<String, Refusal> {
    let title = message.title.as_deref().map(str::trim).filter(|title| !title.is_empty());
    if let Some(title) = title {
        let length = title.chars().count();
        if length > LONGEST_SUBJECT {
            let problem = format!("has {length} characters; an e-mail's subject has at most {LONGEST_SUBJECT}");
            return Err(Refusal::unusable("title", problem));
        }
        return Ok(shortened(title, LONGEST_SUBJECT));
    }
    let first_line = message.text.lines().map(str::trim).find(|line| !line.is_empty());
    Ok(shortened(first_line.unwrap_or("Notification"), SUBJECT_FROM_TEXT))
}

#[cfg(test)]
mod tests {
    use super::super::stand_in::message;
    use super::*;

    #[test]
    fn a_mailbox_has_a_name_or_not() {
        let parsed = |text| Mailbox::parse(text).map(|mailbox| (mailbox.name, mailbox.address));
        assert_eq!(parsed("a@b.example"), Some((None, "a@b.example")));
        assert_eq!(parsed("\"Ops, night\" <a@b.example>"), Some((Some("Ops, night"), "a@b.example")));
        assert_eq!(parsed("<a@b.example>"), Some((None, "a@b.example")));
        assert_eq!(parsed("Ops\r\nBcc: x <a@b.example>"), None);
        assert_eq!(Mailbox::parse("A <a@B.Example>").unwrap().domain(), "b.example");
    }

    #[test]
    fn recipients_are_checked_counted_and_taken_once() {
        let addresses = |to: &[&str], most| {
            recipients(&message("text", to), most)
                .map(|found| found.iter().map(|mailbox| mailbox.text.to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(
            addresses(&["a@b.example", "Ops <A@b.example>", "c@b.example"], 2).unwrap(),
            ["a@b.example", "c@b.example"]
        );
        for (to, most) in [(&[][..], 2), (&["nobody"][..], 2), (&["a@b.example", "c@b.example"][..], 1)] {
            assert!(matches!(addresses(to, most), Err(Refusal::Unusable { field, .. }) if field == "to"), "{to:?}");
        }
    }

    #[test]
    fn a_subject_is_one_line() {
        let subject_of = |text: &str, title: Option<&str>| {
            subject(&Message { title: title.map(str::to_owned), ..message(text, &[]) })
        };
        assert_eq!(subject_of("text", Some(" Head\r\nBcc: x ")).unwrap(), "Head  Bcc: x");
        assert_eq!(subject_of("\n  first line\nsecond", Some(" ")).unwrap(), "first line");
        assert_eq!(subject_of(" \n", None).unwrap(), "Notification");
        assert_eq!(subject_of(&"x".repeat(200), None).unwrap().chars().count(), 120);
        let too_long = subject_of("text", Some(&"x".repeat(999)));
        assert!(matches!(too_long, Err(Refusal::Unusable { field, .. }) if field == "title"));
    }
}
