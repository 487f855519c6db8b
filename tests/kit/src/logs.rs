//! Every line logged by the test process, as it would go out: redacted JSON.

use std::io::{self, Write};
use std::sync::{Mutex, Once, PoisonError};

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static STARTED: Once = Once::new();

struct Collect;

impl Write for Collect {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts collecting, once in a process: our own lines at every level, others' from `info`.
pub fn collect() {
    STARTED.call_once(|| {
        shared::telemetry::init_with(
            || Collect,
            "info,shared=trace,services=trace,wallets=trace,vaults=trace,sweep=trace,local=trace",
        );
    });
}

/// Everything logged so far.
#[must_use]
pub fn all() -> String {
    since(0)
}

/// How far the log is: where what is logged next begins.
#[must_use]
pub fn now() -> usize {
    LINES.lock().unwrap_or_else(PoisonError::into_inner).len()
}

/// What was logged since the log was so far, by whichever test.
#[must_use]
pub fn since(position: usize) -> String {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(lines.get(position..).unwrap_or_default()).into_owned()
}
