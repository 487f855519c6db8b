#!/usr/bin/env bash
# Checks what is deployed: cfn-lint, SAM's own validation with its linter, and checkov, on the template and the nested one.
# Exceptions stand with their reasons in .ci/checkov.yaml, and beside what they concern in the templates.
# Usage: .ci/template.sh <folder for the tools>
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
TOOLS="${1:?a folder for the tools}"

. .ci/tools.sh

TEMPLATES=(template.yaml infra/observability.yaml)

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
