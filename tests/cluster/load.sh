#!/usr/bin/env bash
# load.sh RUN_DIR IMAGE.tar…: gives images to the node (docker-archive or OCI archive). Pods use them with
# imagePullPolicy IfNotPresent or Never, under the full reference they were made with.
set -euo pipefail
# shellcheck source=layout.sh
. "$(dirname "${BASH_SOURCE[0]}")/layout.sh"
use_run "${1:-}"
shift
[ $# -gt 0 ] || die "usage: load.sh RUN_DIR IMAGE.tar…"
use_tools
for image in "$@"; do
  # Read from outside: the archive may lie in a folder that the namespaces hide.
  inside env LD_LIBRARY_PATH="$libs" ctr -n k8s.io images import - <"$image" ||
    die "$image was not imported"
done
