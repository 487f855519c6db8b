//! libFuzzer's entry point: one binary for every target; `CAUSEWAY_FUZZ_TARGET` names the one to run.

#![no_main]

use std::sync::LazyLock;

use fuzz::{Target, target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("CAUSEWAY_FUZZ_TARGET").unwrap_or_default();
    target(&name).unwrap_or_else(|| panic!("CAUSEWAY_FUZZ_TARGET is {name:?}, which names no target"))
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET(data));
