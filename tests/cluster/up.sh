#!/usr/bin/env bash
# up.sh RUN_DIR: brings a one-node Kubernetes cluster up; everything of it is under one process and in one folder.
# RUN_DIR must not exist or be empty. Afterwards it holds kubeconfig (for use from this machine), audit.log (who asked
# the API server for what, without contents), log/ (one file a component) and etc/names (fixed names for pods to
# resolve, a NAME and an address or cluster name a line; may be edited at any time).
#
# Environment:
#   OWNER_PID      the process that wants the cluster: when it ends, however it does, the cluster is taken down
#   KUBELET_SYNC   how often kubelet looks at its pods anew, which bounds how soon a Secret reaches a volume (1s)
#   KEEP_LOGS      a folder to which down.sh copies the logs
#
# Interrupted or failed, it takes down what it has made.
set -euo pipefail
# shellcheck source=layout.sh
. "$(dirname "${BASH_SOURCE[0]}")/layout.sh"
# shellcheck source=cgroup.sh
. "$here/cgroup.sh"
use_run "${1:-}"
[ "$(id -u)" = 0 ] || die "needs root to make namespaces (try sudo). $elsewhere"
if [ -e "$run" ] && [ -n "$(ls -A "$run")" ]; then die "$run is not empty: is a cluster running there? down.sh removes it"; fi
# kubelet puts pods off a node whose disk is nearly full, which looks like anything but that
free=$(df --output=avail -m "$(dirname "$run")" | tail -1)
[ "$free" -ge 1024 ] || die "only $free MiB are free where $run is to be: a cluster with its images and logs needs 1 GiB"
use_tools
[ -n "${cni_bin:-}" ] || die "no CNI plugins: run tests/cluster/tools.sh"

begun=$EPOCHREALTIME
phase() { printf 'cluster: %6.2fs %s\n' "$(awk "BEGIN{print $EPOCHREALTIME - $begun}")" "$1"; }

settled=
undo() {
  local code=$?
  trap '' INT TERM HUP
  trap - EXIT
  [ -n "$settled" ] && exit 0
  [ "$code" != 0 ] || code=1
  echo "up.sh: taking down what was begun" >&2
  "$here/down.sh" "$run" || true
  exit "$code"
}
trap undo EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# fail COMPONENT MESSAGE: with the end of the log that tells why.
fail() {
  {
    printf 'up.sh: %s\n' "$2"
    if [ -f "$run/log/$1.log" ]; then
      printf -- '--- end of %s\n' "$run/log/$1.log"
      tail -n 40 "$run/log/$1.log"
      printf -- '---\n'
    fi
    printf '%s\n' "$elsewhere"
  } >&2
  exit 1
}

# await SECONDS COMPONENT WHAT COMMAND…: until the command succeeds; fails at once when the component has ended.
await() {
  local until=$((SECONDS + $1)) component=$2 what=$3
  shift 3
  until "$@" >/dev/null 2>&1; do
    if [ "$component" = init ]; then
      [ -d "/proc/$outer" ] || fail init "the cluster's first process ended before $what"
    elif ! component_pid "$component" >/dev/null; then
      sleep 0.3 # between the order to start and the start
      component_pid "$component" >/dev/null || fail "$component" "$component ended before $what"
    fi
    [ "$SECONDS" -lt "$until" ] || fail "$component" "$what took too long"
    sleep 0.1
  done
}

mkdir -p "$run"
: >"$marker"
mkdir "$run"/{state,etc,log,cni,varlib,varlog}
chmod 700 "$run"
printf '%s\n' "${KEEP_LOGS:-}" >"$run/state/keep-logs"
write_owner $$
setsid "$here/guard.sh" "$run" </dev/null >"$run/log/guard.log" 2>&1 &
disown
"$here/pki.sh" "$run/pki"
phase "certificates made"

mkfifo -m 600 "$run/state/control"
plan_cgroups >"$run/state/cgroups"
[ -s "$run/state/cgroups" ] || die "no control groups are mounted below /sys/fs/cgroup. $elsewhere"
make_cgroups || die "control groups cannot be made below /sys/fs/cgroup (in a container?). $elsewhere"
export KUBELET_SYNC=${KUBELET_SYNC:-1s}
(
  enter_cgroups "$BASHPID"
  exec setsid unshare --cgroup --mount --propagation private --net --pid --ipc --uts --fork --kill-child --mount-proc \
    bash "$here/init.sh" "$run"
) </dev/null >"$run/log/init.log" 2>&1 &
outer=$!
disown
await 60 init "the namespaces were ready" test -e "$run/state/ready" &
awaiting=$!
if [ "$(cgroup_version)" = 2 ]; then
  # The process that waits for PID 1 leaves the groups' root, which under v2 may then hand out controllers.
  for _ in $(seq 100); do [ -n "$(cat "/proc/$outer/task/$outer/children")" ] && break; sleep 0.05; done
  echo "$outer" >"/sys/fs/cgroup/$cgroup_name/init/cgroup.procs"
fi
wait "$awaiting" || exit 1
tr -d ' ' <"/proc/$outer/task/$outer/children" >"$run/state/init.pid"
init=$(init_pid) || fail init "the cluster's first process is not the one expected"
phase "namespaces ready"

order() { echo "start $1" >"$run/state/control"; }
order etcd
order kube-apiserver
order containerd
setsid "$bin/nsfwd" -netns "/proc/$init/ns/net" -target 127.0.0.1:6443 -address-file "$run/state/address" \
  </dev/null >"$run/log/nsfwd.log" 2>&1 &
forwarder=$!
disown
for _ in $(seq 100); do [ -s "$run/state/address" ] || ! kill -0 "$forwarder" && break; sleep 0.05; done
[ -s "$run/state/address" ] || fail nsfwd "the API server's loopback port could not be opened"
sed "s/127\.0\.0\.1:6443/$(cat "$run/state/address")/" "$run/pki/admin.kubeconfig" >"$run/kubeconfig"
chmod 600 "$run/kubeconfig"
kubectl() { "$bin/kubectl" --kubeconfig "$run/kubeconfig" --request-timeout=5s "$@"; }

# The sandbox image first, so that no pod is begun before it is there.
await 60 containerd "containerd answered" inside env LD_LIBRARY_PATH="$libs" ctr version
"$here/load.sh" "$run" "${bin%/bin}/pause.tar" >"$run/log/import.log" 2>&1 || fail import "the pause image was not imported"
phase "container runtime ready"
await 120 kube-apiserver "the API server was ready" kubectl get --raw /readyz
phase "API server ready"
for component in kube-controller-manager kube-scheduler kubelet kube-proxy clusterdns; do order "$component"; done
await 60 kubelet "the node was registered" kubectl get node "$node_name"
await 120 kubelet "the node was ready" kubectl wait --for=condition=Ready "node/$node_name" --timeout=4s
phase "node ready"
await 60 kube-controller-manager "the default ServiceAccount was made" kubectl get serviceaccount default
await 60 clusterdns "cluster DNS served" grep -q '^.*serving on' "$run/log/clusterdns.log"
await 60 kube-proxy "kube-proxy ran" inside env LD_LIBRARY_PATH="$libs" nft list table ip kube-proxy
phase "names and Services ready"
write_owner "${OWNER_PID:-}"
settled=1
