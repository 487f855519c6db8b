//! What a function tells of its work: JSON logs on standard output, one object a line, with whatever looks like a
//! credential struck out; [`metrics`], which [`emf`] writes for CloudWatch; and the [`trace`] that a request belongs to.
//!
//! Secrets are [`SecretString`](secrecy::SecretString)s and print as nothing; striking out is the second line of defence,
//! for what an outside library or a provider's answer might carry.

pub mod emf;
pub mod metrics;
pub mod trace;

use std::io::{self, Write};
use std::sync::LazyLock;
use std::time::Duration;

use regex_lite::Regex;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};

/// Sends the process's logs to standard output as JSON. `CAUSEWAY_LOG` sets what is logged, as a level or as
/// comma-separated `target=level`; `info` unless set. A second call changes nothing. A panic is a line like any other.
pub fn init() {
    init_with(io::stdout, "info");
    std::panic::set_hook(Box::new(|panic| {
        let error = panic.payload_as_str().unwrap_or("no message");
        let location = panic.location().map(ToString::to_string);
        tracing::error!(error, location, "panicked");
    }));
}

/// The same with another place to write to, and another level unless `CAUSEWAY_LOG` sets one.
pub fn init_with(writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static, level: &str) {
    let wanted = std::env::var("CAUSEWAY_LOG").ok().and_then(|wanted| wanted.parse::<Targets>().ok());
    let filter = wanted.or_else(|| level.parse().ok()).unwrap_or_default();
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_writer(Redacting(writer))
        .with_filter(filter);
    // Fails only if a subscriber is set already, and then that one stays.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines));
}

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Whole milliseconds, as logs have them.
pub(crate) fn milliseconds(latency: Duration) -> u64 {
    u64::try_from(latency.as_millis()).unwrap_or(u64::MAX)
}

/// Strikes out of each line what looks like a credential.
#[derive(Debug, Clone)]
pub struct Redacting<M>(pub M);

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Redacting<M> {
    type Writer = RedactingWriter<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        RedactingWriter(self.0.make_writer())
    }
}

/// Writes lines with credentials struck out.
#[derive(Debug)]
pub struct RedactingWriter<W>(W);

impl<W: Write> Write for RedactingWriter<W> {
    /// The formatter writes an event in one piece.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(line) {
            Ok(text) => self.0.write_all(redact(text).as_bytes())?,
            Err(_) => self.0.write_all(b"{\"message\":\"a line that is not text was left out\"}\n")?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// `text` with every credential-shaped part replaced by `[redacted]`.
#[must_use]
pub fn redact(text: &str) -> String {
    SHAPES.as_ref().map_or_else(
        || "[unavailable]\n".to_owned(),
        |shapes| shapes.replace_all(text, "${keep}[redacted]").into_owned(),
    )
}

/// Shapes of credentials. What `keep` catches stays, so that a line still tells where something was.
static SHAPES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?P<keep>[Bb]earer\s+|[Bb]asic\s+|/services/|/webhooks/\d+/|/bot|://[^\s/@:]+:)?",
        r"(?:",
        r"cwy_[A-Za-z0-9_-]{20,}",
        r"|xox[a-z]-[A-Za-z0-9-]{8,}",
        r"|SG\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
        r"|\bre_[A-Za-z0-9_]{12,}",
        r"|whs(?:ec|k)_[A-Za-z0-9+/=]{8,}",
        r"|\bsk-[A-Za-z0-9_-]{12,}",
        r"|\d{6,12}:[A-Za-z0-9_-]{20,}",
        r"|T[A-Z0-9]{4,}/B[A-Z0-9]{4,}/[A-Za-z0-9]{8,}",
        r"|AKIA[A-Z0-9]{16}",
        r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
        r")"
    ))
    .ok()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credential_shapes_are_struck_out() {
        for (line, expected) in [
            ("Authorization: Bearer cwy_abcdefghijklmnopqrstuvwxyz", "Authorization: Bearer [redacted]"),
            (
                "POST https://hooks.slack.com/services/T0000000/B0000000/abcdefghijkl",
                "POST https://hooks.slack.com/services/[redacted]",
            ),
            ("GET /bot123456789:AAFakeFakeFakeFakeFakeFakeFake/getMe", "GET /bot[redacted]/getMe"),
            ("key xoxb-1234567890-abcdef", "key [redacted]"),
            ("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "[redacted]"),
        ] {
            assert_eq!(redact(line), expected);
        }
    }

    #[test]
    fn ordinary_lines_stay() {
        let line = r#"{"level":"INFO","status":200,"route":"/api/integrations/{integrationId}","tenant":"acme"}"#;
        assert_eq!(redact(line), line);
    }
}
