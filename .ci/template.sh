#!/usr/bin/env bash
# Checks what is deployed: cfn-lint, SAM's own validation with its linter, and checkov, on the template and the nested one.
# Exceptions stand with their reasons in .ci/checkov.yaml, and beside what they concern in the templates.
# Usage: .ci/template.sh <folder for the tools>
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
TOOLS="${1:?a folder for the tools}"

CFN_LINT=1.51.0
SAM=1.170.0
CHECKOV=3.3.30
TEMPLATES=(template.yaml infra/observability.yaml)

# tool <package> <version> <program>: puts it into an environment of its own, once, and sets `program`.
tool() {
    local venv="$TOOLS/$1-$2"
    program="$venv/bin/$3"
    if [ ! -x "$program" ]; then
        rm -rf "$venv"
        python3 -m venv "$venv"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$1==$2"
    fi
    echo "-- $1 $2"
}

# SAM wants a region, though it asks nothing of it; nothing is reported to anybody.
export AWS_DEFAULT_REGION=eu-central-1 SAM_CLI_TELEMETRY=0

tool cfn-lint "$CFN_LINT" cfn-lint
"$program" "${TEMPLATES[@]}"

tool aws-sam-cli "$SAM" sam
for template in "${TEMPLATES[@]}"; do
    "$program" validate --lint --template "$template"
done

tool checkov "$CHECKOV" checkov
"$program" --config-file .ci/checkov.yaml

echo "-- the costs in docs/OPERATIONS.md"
python3 infra/costs.py --check docs/OPERATIONS.md
