#!/usr/bin/env bash
# Licences, sources and bans of what is depended on, by deny.toml; advisories too where their database can be fetched.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

CARGO_DENY=0.20.2
TOOLS="${CARGO_TARGET_DIR:-target}/ci/cargo-deny-$CARGO_DENY"
if [ ! -x "$TOOLS/bin/cargo-deny" ]; then
    # It is run once: quick to build counts for more than quick to run.
    CARGO_TARGET_DIR="$TOOLS/build" CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off \
        CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_STRIP=true \
        cargo install --quiet --locked --root "$TOOLS" "cargo-deny@$CARGO_DENY"
    rm -rf "$TOOLS/build"
fi
"$TOOLS/bin/cargo-deny" --version
"$TOOLS/bin/cargo-deny" --all-features check licenses sources bans
if "$TOOLS/bin/cargo-deny" --all-features fetch db >/dev/null 2>&1; then
    "$TOOLS/bin/cargo-deny" --all-features check --disable-fetch advisories
else
    echo "advisories were not checked: their database cannot be fetched from here"
fi
