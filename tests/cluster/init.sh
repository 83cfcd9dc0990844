#!/usr/bin/env bash
# init.sh RUN_DIR: PID 1 of a cluster's namespaces (mount, network, process, IPC, host name, cgroup); started by up.sh.
# It makes the namespaces look like a node, then starts the components it is told to by lines in RUN_DIR/state/control,
# and takes in the orphans of the containers. Ending it ends everything: processes, mounts, network.
set -euo pipefail
# shellcheck source=layout.sh
. "$(dirname "${BASH_SOURCE[0]}")/layout.sh"
[ $$ = 1 ] || die "only up.sh starts this"
use_run "${1:-}"
use_tools
# shellcheck source=cgroup.sh
. "$here/cgroup.sh"
sync_frequency=$KUBELET_SYNC
snapshotter=overlayfs
# shellcheck source=components.sh
. "$here/components.sh"

hostname "$node_name"
mount --make-rshared /
mount -t sysfs sysfs /sys
mount_cgroups
# The standard folders, but private: the container runtime's sockets are always below /run.
mount -t tmpfs -o mode=755 run /run
mount --bind "$run/varlib" /var/lib
mount --bind "$run/varlog" /var/log
mkdir -p /run/containerd /run/lock /var/lib/kubelet/volumeplugins
mkdir -m 700 /var/lib/etcd
# Kubelet would set these for the whole machine: it is shown files that already hold the values it wants.
for setting in vm/overcommit_memory=1 kernel/panic=10 kernel/panic_on_oops=1; do
  shown=$run/etc/sysctl-$(basename "${setting%%=*}")
  echo "${setting#*=}" >"$shown"
  mount --bind "$shown" "/proc/sys/${setting%%=*}"
done
# Images unpack as layers of an overlay; where the file system under RUN_DIR cannot carry one, they are copied.
mkdir -p "$run/varlib/overlay-try"/{lower,upper,work,merged}
if mount -t overlay overlay -o "lowerdir=$run/varlib/overlay-try/lower,upperdir=$run/varlib/overlay-try/upper,workdir=$run/varlib/overlay-try/work" \
  "$run/varlib/overlay-try/merged" 2>/dev/null; then
  umount "$run/varlib/overlay-try/merged"
else
  snapshotter=native
fi
rm -rf "$run/varlib/overlay-try"

# A node with an address, and no way out: what is not a pod or a Service is "network unreachable".
ip link set lo up
ip link add node0 type dummy 2>/dev/null || { ip link add node0 type veth peer name node0p && ip link set node0p up; }
ip addr add "$node_ip/32" dev node0
ip addr add "$dns_ip/32" dev node0
ip link set node0 up
ip route add "$service_range" dev node0 src "$node_ip"
sysctl -qw net.ipv4.ip_forward=1
write_configs

start() {
  (
    exec 3>&- </dev/null >>"$run/log/$1.log" 2>&1
    become "$1"
  ) &
  echo $! >"$run/state/$1.nspid"
}

exec 3<>"$run/state/control"
: >"$run/state/ready"
while :; do
  # Woken at least this often; bash takes in ended children as their signals arrive.
  if read -r -t 10 -u 3 verb name; then
    case $verb in start) start "$name" ;; *) echo "unknown: $verb $name" ;; esac
  fi
done
