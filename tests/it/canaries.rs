//! Canaries: secrets that are random, in the shape of no credential (what looks like one is struck out of logs anyway), and
//! looked for afterwards in everything that was answered, logged and stored, as they are and encoded.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use kit::{TestApp, logs};

/// What every canary begins with.
pub(crate) const MARK: &str = "c4n4ry";

/// What was planted in one test, and how far the log was before.
pub(crate) struct Canaries(pub(crate) Vec<String>, usize);

impl Default for Canaries {
    fn default() -> Self {
        Self(Vec::new(), logs::now())
    }
}

type Forms = Vec<(&'static str, String)>;

impl Canaries {
    /// A new one. Lower-case letters and digits stay themselves in a URL, in JSON, and in a host's name.
    pub(crate) fn plant(&mut self, app: &TestApp) -> String {
        let canary = format!("{MARK}{}", app.platform.ids.reserve().sortable());
        self.0.push(canary.clone());
        canary
    }

    /// No canary is in `text`, be it as it is, in base64, in hexadecimal or as a list of bytes.
    #[track_caller]
    pub(crate) fn assert_absent(&self, text: &str, from: &str) {
        static MARKS: LazyLock<Forms> = LazyLock::new(|| forms(MARK));
        let lower = text.to_ascii_lowercase();
        let found = |forms: &Forms| {
            forms.iter().find_map(|(form, encoded)| {
                let haystack = if *form == "base64" { text } else { &lower };
                let at = haystack.find(encoded)?;
                let around = haystack.get(at.saturating_sub(300)..at + encoded.len()).unwrap_or_default();
                Some(format!("{form} in …{around}"))
            })
        };
        // Logs are long, and canaries many: one look tells that there is none at all.
        if self.0.iter().all(|canary| canary.starts_with(MARK)) && found(&MARKS).is_none() {
            return;
        }
        for canary in &self.0 {
            if let Some(place) = found(&forms(canary)) {
                panic!("{from}: {canary} as {place}");
            }
        }
    }
}

/// The forms in which a text could still be had: of base64 the part that does not depend on what stands around it.
fn forms(text: &str) -> Forms {
    let bytes: Vec<String> = text.bytes().map(|byte| byte.to_string()).collect();
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![("the text", text.to_owned()), ("hexadecimal", hex), ("bytes", bytes.join(", "))];
    for alphabet in [alphabet::STANDARD, alphabet::URL_SAFE] {
        let engine = GeneralPurpose::new(&alphabet, NO_PAD);
        for before in 0..3 {
            let encoded = engine.encode(format!("{}{text}", "x".repeat(before)));
            let (first, rest) = (if before == 0 { 0 } else { before + 1 }, (before + text.len()) % 3);
            let last = encoded.len() - if rest == 0 { 0 } else { 1 };
            forms.push(("base64", encoded[first..last].to_owned()));
        }
    }
    forms
}

/// Nothing of what was planted is in the table, in what Secrets Manager shows of itself, or in the logs.
pub(crate) async fn assert_kept(app: &TestApp, canaries: &Canaries) {
    canaries.assert_absent(&app.all_items().await, "the table");
    let listed = app.secrets.list_secrets().include_planned_deletion(true).max_results(100).send().await.unwrap();
    canaries.assert_absent(&format!("{:?}", listed.secret_list()), "the secrets' names and descriptions");
    let logs = logs::since(canaries.1);
    assert!(logs.contains("answered"), "nothing is logged");
    canaries.assert_absent(&logs, "the logs");
}

#[test]
fn a_canary_is_found_in_every_form() {
    let canaries = Canaries(vec!["c4n4ry0123456789abcdef".into()], 0);
    let engine = base64::engine::general_purpose::STANDARD;
    let canary = &canaries.0[0];
    let mut found: Vec<String> = vec![
        format!("https://x/{canary}?"),
        format!("https://{}.example", canary.to_uppercase()),
        format!("{:?}", canary.as_bytes()),
        canary.bytes().map(|byte| format!("{byte:02X}")).collect(),
    ];
    for before in 0..6 {
        for after in 0..4 {
            found.push(engine.encode(format!("{}{canary}{}", "é".repeat(before), "!".repeat(after))));
        }
    }
    for text in found {
        let caught = std::panic::catch_unwind(|| canaries.assert_absent(&text, "here"));
        assert!(caught.is_err(), "{text}");
    }
    canaries.assert_absent("c4n4ry0123456789abcdee", "here");
}
