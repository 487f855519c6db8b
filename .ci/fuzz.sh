#!/usr/bin/env bash
# Lets libFuzzer search each target of tests/fuzz for a bounded time, from its corpus on.
#   .ci/fuzz.sh [seconds a target, 10 unless told] [target…]
# Coverage is compiled into the workspace's own crates only, so that third-party crates are not compiled again. What it
# finds is kept in <target folder>/ci/fuzz/<target>; put it into tests/fuzz/corpus/<target> once it is mended.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds="${1:-10}"
[ "$#" -eq 0 ] || shift
TARGET_DIR="${CARGO_TARGET_DIR:-target}"
WORK="$TARGET_DIR/ci/fuzz"
mkdir -p "$WORK"
TARGET_DIR="$(cd "$TARGET_DIR" && pwd)"
WORK="$(cd "$WORK" && pwd)"

RUSTC_WORKSPACE_WRAPPER="$PWD/.ci/rustc-coverage" \
    cargo build --workspace --features causeway-fuzz/libfuzzer --bin fuzz

targets=("$@")
if [ "${#targets[@]}" -eq 0 ]; then
    for folder in tests/fuzz/corpus/*/; do
        targets+=("$(basename "$folder")")
    done
fi
for target in "${targets[@]}"; do
    mkdir -p "$WORK/$target"
    printf '%s: ' "$target"
    if ! CAUSEWAY_FUZZ_TARGET="$target" "$TARGET_DIR/debug/fuzz" "$WORK/$target" "tests/fuzz/corpus/$target" \
        -artifact_prefix="$WORK/$target-" -max_total_time="$seconds" -max_len=8192 -timeout=20 -rss_limit_mb=2048 \
        -print_final_stats=1 >"$WORK/$target.log" 2>&1; then
        tail -n 40 "$WORK/$target.log"
        echo "$target: something was found" >&2
        exit 1
    fi
    awk '/^stat::number_of_executed_units/ { runs = $2 } /cov:/ { for (i = 1; i < NF; i++) if ($i == "cov:") covered = $(i + 1) }
        END { printf "%d inputs, %d places reached\n", runs, covered }' "$WORK/$target.log"
done
