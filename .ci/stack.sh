# How the scripts here start and stop the local stack. Sourced, at the root of the tree and with `set -e`.

# The stack's process while it runs.
stack=""

# start_stack <folder> <file>: starts what `cargo run` starts, on a free port and with its data in the folder, and waits until
# it is ready. What it prints is in the file, and its log in <file>.log.
start_stack() {
    local data="$1" said="$2" waited=0
    # With the features of the whole workspace: `cargo run` alone has fewer, and would compile a third of it anew.
    cargo build --workspace --bin causeway
    : >"$said"
    "${CARGO_TARGET_DIR:-target}/debug/causeway" dev --sandbox --port 0 --data-dir "$data" --fresh >"$said" 2>"$said.log" &
    stack=$!
    until grep -q '^Ctrl-C stops it' "$said"; do
        if ! kill -0 "$stack" 2>/dev/null || [ "$waited" -ge 300 ]; then
            cat "$said" "$said.log"
            echo "the stack did not become ready" >&2
            return 1
        fi
        sleep 0.2
        waited=$((waited + 1))
    done
}

# Stops it, and fails if it does not end well.
stop_stack() {
    local process="$stack"
    stack=""
    kill "$process"
    wait "$process"
}

# For a script's end, however it comes about.
abandon_stack() {
    [ -z "$stack" ] || kill "$stack" 2>/dev/null || true
}
