#!/usr/bin/env bash
# Builds every function as `sam build` does for a deployment, and runs the tests of the real binaries on what it built.
# Link-time optimisation is left out: it takes minutes and changes nothing that these tests look at. tests/benches/run
# measures the binaries with it.
#   .ci/deployable.sh <folder for the tools>
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
TOOLS="${1:?a folder for the tools}"

SAM=1.170.0
CARGO_LAMBDA=1.9.2
ZIGLANG=0.17.1

sam="$TOOLS/aws-sam-cli-$SAM"
if [ ! -x "$sam/bin/sam" ]; then
    rm -rf "$sam"
    python3 -m venv "$sam"
    "$sam/bin/python" -m pip install --quiet --disable-pip-version-check "aws-sam-cli==$SAM"
fi
lambda="$TOOLS/cargo-lambda-$CARGO_LAMBDA"
if [ ! -x "$lambda/bin/cargo-lambda" ]; then
    rm -rf "$lambda"
    python3 -m venv "$lambda"
    "$lambda/bin/python" -m pip install --quiet --disable-pip-version-check "cargo-lambda==$CARGO_LAMBDA" "ziglang==$ZIGLANG"
fi

target="${CARGO_TARGET_DIR:-target}"
mkdir -p "$target"
target="$(cd "$target" && pwd)"
built="$target/ci/sam"
rm -rf "$built"
PATH="$lambda/bin:$PATH" CARGO_TARGET_DIR="$target" SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=eu-central-1 \
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    "$sam/bin/sam" build --build-dir "$built" --no-cached

# By the binaries' names: each function's folder has a `bootstrap`.
binaries="$target/ci/binaries"
rm -rf "$binaries"
mkdir -p "$binaries"
for binary in functions/*/src/bin/*.rs; do
    name="$(basename "$binary" .rs)"
    resource="$(grep -B3 "Binary: $name }" template.yaml | sed -n 's/^  \([A-Za-z]*\):$/\1/p')"
    cp "$built/$resource/bootstrap" "$binaries/$name"
done
ls -l "$binaries"

CAUSEWAY_BINARIES="$binaries" cargo test --workspace --test lambda
