#!/usr/bin/env bash
# schemas.sh OUT_DIR [CRD.yaml…]: strict JSON schemas of Kubernetes' own kinds and of the CRDs given, for kubeconform.
# Prints the -schema-location to give it:
#   location=$(tests/cluster/schemas.sh OUT_DIR crds/*.yaml)
#   kubeconform -strict -summary -schema-location "$location" FILE…
set -euo pipefail
# shellcheck source=layout.sh
. "$(dirname "${BASH_SOURCE[0]}")/layout.sh"
[ $# -ge 1 ] || die "usage: schemas.sh OUT_DIR [CRD.yaml…]"
use_tools
out=$(realpath -m -- "$1")
shift
"$bin/schemas" -openapi "${bin%/bin}/openapi" -out "$out" "$@" >&2
# shellcheck disable=SC1083 # a template of kubeconform's, not a list of bash's
printf '%s/{{.ResourceKind}}{{.KindSuffix}}.json\n' "$out"
