#!/usr/bin/env bash
# down.sh RUN_DIR: ends the cluster of RUN_DIR and leaves nothing of it: no process, mount, network, control group or
# folder. With KEEP_LOGS=FOLDER the logs are copied there first. May be called any number of times, at any moment of
# up.sh, and together with another one. Processes are found by their command lines, which name RUN_DIR; no other is ended.
set -euo pipefail
# shellcheck source=layout.sh
. "$(dirname "${BASH_SOURCE[0]}")/layout.sh"
# shellcheck source=cgroup.sh
. "$here/cgroup.sh"
use_run "${1:-}"
[ -d "$run" ] || exit 0
[ -f "$marker" ] || die "$run was not made by up.sh: left alone"
# Read, not written: opening it must not bring it back when another down.sh has just removed it.
exec 8<"$marker" || exit 0
flock 8
[ -f "$marker" ] || exit 0

# ours PID: is it the forwarder, the guard, or the first process (or the one that waits for it) of this cluster?
ours() {
  local -a argv=()
  local i
  mapfile -d '' -t argv 2>/dev/null <"/proc/$1/cmdline" || return 1
  [ "${#argv[@]}" -ge 3 ] || return 1
  [ "$1" != $$ ] || return 1
  for ((i = 0; i + 1 < ${#argv[@]}; i++)); do
    case ${argv[i]} in
      */tests/cluster/init.sh | */tests/cluster/guard.sh)
        [ "${argv[i + 1]}" = "$run" ] && return 0 ;;
      -address-file)
        [[ ${argv[0]} == */nsfwd ]] && [ "${argv[i + 1]}" = "$run/state/address" ] && return 0 ;;
    esac
  done
  return 1
}
owned() {
  local folder
  for folder in /proc/[0-9]*; do
    if ours "${folder#/proc/}"; then printf '%s\n' "${folder#/proc/}"; fi
  done
}

# The logs while they are still there; a failing copy does not stop the rest.
keep=${KEEP_LOGS:-$(cat "$run/state/keep-logs" 2>/dev/null || true)}
for _ in $(seq 200); do
  mapfile -t processes < <(owned)
  [ ${#processes[@]} -gt 0 ] || break
  for pid in "${processes[@]}"; do
    # Looked at again: an id may have passed to another process meanwhile.
    if ours "$pid"; then kill -KILL "$pid" 2>/dev/null || true; fi
  done
  sleep 0.05
done
[ ${#processes[@]} = 0 ] || die "these processes do not end: ${processes[*]}"
if [ -n "$keep" ]; then
  mkdir -p "$keep" && cp -r "$run/log" "$keep/" && { [ ! -f "$run/audit.log" ] || cp "$run/audit.log" "$keep/"; } ||
    echo "down.sh: the logs could not be copied to $keep" >&2
fi
remove_cgroups
# The kernel unmounts what the namespaces held as their last process goes; a busy folder is one that it has not come to.
for _ in $(seq 50); do
  if rm -rf --one-file-system "$run" 2>/dev/null; then break; fi
  sleep 0.1
done
[ ! -e "$run" ] || rm -rf --one-file-system "$run"
