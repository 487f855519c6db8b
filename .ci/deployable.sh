#!/usr/bin/env bash
# Builds every function as a deployment does, with `sam build`, and runs the tests of the real binaries on what it built.
# All is as in a deployment but for optimisation: it takes minutes for each function, and changes nothing that these tests
# look at. tests/benches/run measures the functions as they are deployed.
# Usage: .ci/deployable.sh <folder for the tools>
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
TOOLS="${1:?a folder for the tools}"
. .ci/tools.sh

mkdir -p "${CARGO_TARGET_DIR:-target}"
TARGET="$(cd "${CARGO_TARGET_DIR:-target}" && pwd)"
BUILT="$TARGET/ci/sam"
BINARIES="$TARGET/ci/binaries"
rm -rf "$BUILT" "$BINARIES"
mkdir -p "$BINARIES"

tool cargo-lambda "$CARGO_LAMBDA" cargo-lambda "ziglang==$ZIGLANG"
PATH="$(cd "$(dirname "$program")" && pwd):$PATH"
tool aws-sam-cli "$SAM" sam
CARGO_TARGET_DIR="$TARGET" CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off \
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 "$program" build --build-dir "$BUILT"

# SAM calls each of them `bootstrap`, in a folder with the function's logical name.
python3 - "$BUILT" "$BINARIES" <<'PYTHON'
import pathlib, re, shutil, sys
built, binaries = map(pathlib.Path, sys.argv[1:])
resource = None
for line in pathlib.Path("template.yaml").read_text().splitlines():
    if found := re.match(r"  (\w+):$", line):
        resource = found[1]
    if found := re.search(r"BuildProperties: \{ Binary: ([\w-]+) \}", line):
        shutil.copy2(built / resource / "bootstrap", binaries / found[1])
PYTHON
missing=0
for source in functions/*/src/bin/*.rs; do
    binary="$(basename "$source" .rs)"
    [ -x "$BINARIES/$binary" ] || { echo "sam build made no $binary" >&2; missing=1; }
done
[ "$missing" -eq 0 ]
ls -l "$BINARIES"

CAUSEWAY_BINARIES="$BINARIES" cargo test --workspace --test lambda
