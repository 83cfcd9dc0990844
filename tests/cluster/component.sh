#!/usr/bin/env bash
# component.sh RUN_DIR stop|start|freeze|thaw|status NAME: disturbs one component of a running cluster.
#   stop    ends it (10 s to do so of itself, then by force) and returns when it has ended
#   start   starts it again with its old data and returns when its process runs, not when it serves
#   freeze  keeps the process but stops it from running: its connections stay open and unanswered; thaw undoes that
# Names: etcd kube-apiserver (or apiserver) containerd kube-controller-manager kube-scheduler kubelet kube-proxy clusterdns
# Pods keep running while containerd or kubelet is stopped.
set -euo pipefail
# shellcheck source=layout.sh
. "$(dirname "${BASH_SOURCE[0]}")/layout.sh"
use_run "${1:-}"
verb=${2:-} name=${3:-}
case $name in apiserver | controller-manager | scheduler) name=kube-$name ;; esac
[[ " ${components[*]} " == *" $name "* ]] || die "usage: component.sh RUN_DIR stop|start|freeze|thaw|status NAME, one of: ${components[*]}"
init_pid >/dev/null || die "no cluster runs in $run"

running() { component_pid "$name" >/dev/null; }
signal() {
  local pid
  pid=$(component_pid "$name") || die "$name does not run"
  inside kill "-$1" "$pid"
}
# within TENTHS COMMAND…
within() {
  local n
  for ((n = 0; n < $1; n++)); do
    if "${@:2}"; then return 0; fi
    sleep 0.1
  done
  return 1
}
ended() { ! running; }

case $verb in
  stop)
    running || exit 0
    signal CONT
    signal TERM
    within 100 ended || signal KILL
    within 50 ended || die "$name does not end" ;;
  start)
    ! running || exit 0
    echo "start $name" >"$run/state/control"
    within 50 running || die "$name did not start: see $run/log/$name.log" ;;
  freeze) signal STOP ;;
  thaw) signal CONT ;;
  status) if running; then echo running; else echo stopped; fi ;;
  *) die "unknown verb: $verb" ;;
esac
