# Tools from the Python package index, by exact version, each in an environment of its own. Sourced; TOOLS is their folder.

CFN_LINT=1.51.0
SAM=1.170.0
CHECKOV=3.3.30
CARGO_LAMBDA=1.9.2
# The linker that cargo-lambda works with.
ZIGLANG=0.17.1

# SAM wants a region, though it asks nothing of it; nothing is reported to anybody.
export AWS_DEFAULT_REGION=eu-central-1 SAM_CLI_TELEMETRY=0

# tool <package> <version> <program> [<package>==<version> …]: makes the environment, once, and sets `program`.
tool() {
    local name="$1" version="$2" venv="$TOOLS/$1-$2"
    program="$venv/bin/$3"
    shift 3
    if [ ! -x "$program" ]; then
        rm -rf "$venv"
        python3 -m venv "$venv"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$name==$version" "$@"
    fi
    echo "-- $name $version"
}
