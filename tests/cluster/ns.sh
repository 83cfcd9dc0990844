#!/usr/bin/env bash
# ns.sh RUN_DIR COMMAND…: runs a command on the cluster's node, in all its namespaces, with the cluster's programs found.
set -euo pipefail
# shellcheck source=layout.sh
. "$(dirname "${BASH_SOURCE[0]}")/layout.sh"
use_run "${1:-}"
shift
[ $# -gt 0 ] || die "usage: ns.sh RUN_DIR COMMAND…"
use_tools
inside env KUBECONFIG="$run/pki/admin.kubeconfig" LD_LIBRARY_PATH="$libs" "$@"
