//! Moments before which a provider is not to be asked again, remembered with the credential.

use std::time::Duration;

use crate::providers::{Outside, Trouble};

/// What is remembered where a provider wants no question at all.
const PAUSED: &str = "paused_until";

/// Asks to wait if `until` is still to come, in milliseconds by our clock.
///
/// # Errors
/// [`Trouble::Wait`].
pub fn wait_until(provider: &'static str, until: i64, outside: &Outside<'_>) -> Result<(), Trouble> {
    match u64::try_from(until.saturating_sub(outside.now().as_millisecond())) {
        Ok(left) if left > 0 => Err(Trouble::Wait { provider, for_: Duration::from_millis(left) }),
        _ => Ok(()),
    }
}

/// Asks to wait if the provider has said so.
///
/// # Errors
/// [`Trouble::Wait`].
pub fn wait_if_paused(provider: &'static str, outside: &Outside<'_>) -> Result<(), Trouble> {
    let until = outside.note(PAUSED).and_then(|at| at.parse().ok()).unwrap_or_default();
    wait_until(provider, until, outside)
}

/// Remembers that the provider wants no question for so many milliseconds.
pub fn pause_for(milliseconds: i64, outside: &Outside<'_>) {
    outside.set_note(PAUSED, outside.now().as_millisecond().saturating_add(milliseconds).to_string());
}
