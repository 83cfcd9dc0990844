# Names and places shared by the scripts of this folder; sourced, never run.
# Each cluster lives in one RUN_DIR, and everything that must not clash between two of them is derived from its path.
# shellcheck shell=bash disable=SC2034

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Fixed inside a cluster's own network namespace, so the same for every run.
node_name=node1
node_ip=10.244.255.1
pod_range=10.244.0.0/24
service_range=10.96.0.0/16
dns_ip=10.96.0.10
pause_image=hookswitch.local/pause:1
components=(etcd kube-apiserver containerd kube-controller-manager kube-scheduler kubelet kube-proxy clusterdns)

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

elsewhere="To use a cluster of your own instead: CLUSTER=current make demo"

# Makes RUN_DIR absolute and sets the names that follow from it.
use_run() {
  [ -n "${1:-}" ] || die "usage: ${0##*/} RUN_DIR …"
  run=$(realpath -m -- "$1")
  case $run in
    /run | /run/* | /var/run/* | /var/lib | /var/lib/* | /var/log | /var/log/* | /proc/* | /sys/* | /)
      die "RUN_DIR $run would be hidden by the cluster's own mounts: choose another folder" ;;
    *[!A-Za-z0-9._/+@:-]* | *:*) die "RUN_DIR $run: only letters, digits and . _ / + @ - are allowed" ;;
  esac
  marker=$run/.hookswitch-cluster
  cgroup_name=hookswitch-$(printf %s "$run" | sha256sum | cut -c1-12)
  export KUBECACHEDIR=$run/state/kube-cache # else kubectl leaves one in the home
}

# The programs of tools.sh, and the unpacked Debian packages beside them, for this process and what it starts.
use_tools() {
  bin=${HOOKSWITCH_CLUSTER_BIN:-$("$here/tools.sh" --print)} || die "run tests/cluster/tools.sh first"
  [ -x "$bin/kube-apiserver" ] || die "$bin holds no kube-apiserver: run tests/cluster/tools.sh first"
  HOOKSWITCH_CLUSTER_BIN=$bin
  export HOOKSWITCH_CLUSTER_BIN
  debian_root=${bin%/bin}/debian
  PATH=$bin:$debian_root/usr/sbin:$debian_root/usr/bin:$PATH:/usr/sbin:/sbin
  libs=$debian_root/usr/lib/x86_64-linux-gnu:$debian_root/lib/x86_64-linux-gnu
  for d in "$debian_root/usr/lib/cni" /usr/lib/cni /opt/cni/bin; do
    if [ -x "$d/ptp" ] && [ -x "$d/host-local" ]; then cni_bin=$d; break; fi
  done
}

# Runs one of the programs that may come from an unpacked Debian package, with the libraries unpacked beside it.
with_libs() {
  LD_LIBRARY_PATH=$libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} "$@"
}

# The outer process id of the cluster's PID 1; fails when it is not running.
# The id is believed only when that process's command line is this folder's init.sh with this RUN_DIR.
init_pid() {
  local pid
  pid=$(cat "$run/state/init.pid" 2>/dev/null) || return 1
  [ -n "$pid" ] && is_init "$pid" || return 1
  printf '%s\n' "$pid"
}

is_init() {
  local -a argv=()
  mapfile -d '' -t argv 2>/dev/null <"/proc/$1/cmdline" || return 1
  [ "${#argv[@]}" = 3 ] && [[ ${argv[1]} == */tests/cluster/init.sh ]] && [ "${argv[2]}" = "$run" ]
}

# The process id, inside the namespaces, of a running component; fails when it is not running.
component_pid() {
  local init nspid exe
  init=$(init_pid) || return 1
  nspid=$(cat "$run/state/$1.nspid" 2>/dev/null) || return 1
  exe=$(readlink "/proc/$init/root/proc/$nspid/exe" 2>/dev/null) || return 1
  [ "${exe##*/}" = "$1" ] || return 1
  printf '%s\n' "$nspid"
}

inside() {
  local init
  init=$(init_pid) || die "no cluster runs in $run"
  nsenter -t "$init" -m -n -p -i -u -C -- "$@"
}

# When a process was started, in clock ticks since boot; empty when there is none, or only its remains.
process_start() {
  local stat
  local -a field
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
  read -r -a field <<<"${stat##*) }" # from the third field on: the state; the start is the 22nd
  [ "${field[0]}" = Z ] || printf '%s\n' "${field[19]}"
}

# Owners are written whole or not at all.
write_owner() {
  { [ -z "${1:-}" ] || printf '%s %s\n' "$1" "$(process_start "$1")"; } >"$run/state/owner.tmp"
  mv "$run/state/owner.tmp" "$run/state/owner"
}
