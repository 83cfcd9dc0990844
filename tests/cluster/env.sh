#!/usr/bin/env bash
# env.sh RUN_DIR: prints what a shell needs to work with a cluster, for `eval`: the cluster's own kubectl, helm, kstatus
# and kubeconform first in PATH, its kubeconfig, and their caches inside RUN_DIR, so that nothing is left in the home.
set -euo pipefail
# shellcheck source=layout.sh
. "$(dirname "${BASH_SOURCE[0]}")/layout.sh"
use_run "${1:-}"
path=$PATH
use_tools
cat <<T
export PATH=$(printf %q "$bin:$path")
export KUBECONFIG=$(printf %q "$run/kubeconfig")
export KUBECACHEDIR=$(printf %q "$run/state/kube-cache")
export HELM_CACHE_HOME=$(printf %q "$run/state/helm/cache")
export HELM_CONFIG_HOME=$(printf %q "$run/state/helm/config")
export HELM_DATA_HOME=$(printf %q "$run/state/helm/data")
T
