# The cluster's own control groups; sourced by up.sh, init.sh and down.sh.
# RUN_DIR/state/cgroups holds a line for each: HIERARCHY FOLDER, where HIERARCHY is `v2`, or under v1 the controllers
# mounted together (`memory`, `cpu,cpuacct`, `systemd`).
# shellcheck shell=bash disable=SC2154

cgroup_version() {
  if [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ]; then echo 2; else echo 1; fi
}

# Under v1, below the group this process is in, in every hierarchy. Under v2, below the root: a group that holds
# processes, as ours does, cannot hand controllers to a child.
plan_cgroups() {
  if [ "$(cgroup_version)" = 2 ]; then
    printf 'v2 /sys/fs/cgroup/%s\n' "$cgroup_name"
    return
  fi
  local _ controllers path
  while IFS=: read -r _ controllers path; do
    controllers=${controllers#name=}
    if [ -z "$controllers" ] || [ ! -d "/sys/fs/cgroup/$controllers" ]; then continue; fi
    printf '%s %s\n' "$controllers" "/sys/fs/cgroup/$controllers${path%/}/$cgroup_name"
  done </proc/self/cgroup
}

make_cgroups() {
  local hierarchy folder file
  while read -r hierarchy folder; do
    mkdir -p "$folder" || return 1
    case ,$hierarchy, in
      ,v2,)
        enable_controllers "$(dirname "$folder")" || return 1
        mkdir -p "$folder/init" || return 1 ;;
      *,cpuset,*)
        for file in cpuset.cpus cpuset.mems; do cat "$folder/../$file" >"$folder/$file" || return 1; done ;;
    esac
  done <"$run/state/cgroups"
}

# Moves a process into the cluster's groups. Under v2 it becomes the root of the cluster's cgroup namespace only if it
# is in that very folder when the namespace is made; leave_cgroup_root then empties it.
enter_cgroups() {
  local hierarchy folder
  while read -r hierarchy folder; do
    echo "$1" >"$folder/cgroup.procs" || return 1
  done <"$run/state/cgroups"
}

enable_controllers() {
  local controller
  local -a offered
  read -r -a offered <"$1/cgroup.controllers"
  for controller in "${offered[@]}"; do
    case $controller in
      cpu | cpuset | io | memory | pids | hugetlb) echo "+$controller" >"$1/cgroup.subtree_control" || return 1 ;;
    esac
  done
}

# Inside the namespaces: /sys/fs/cgroup shows our groups as if they were the machine's.
mount_cgroups() {
  local hierarchy folder options
  if [ "$(cut -d' ' -f1 "$run/state/cgroups" | head -1)" = v2 ]; then
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    echo $$ >/sys/fs/cgroup/init/cgroup.procs
    # up.sh moves the process outside that waits for this one; until then the kernel answers "busy".
    for _ in $(seq 100); do
      if enable_controllers /sys/fs/cgroup 2>/dev/null; then return 0; fi
      sleep 0.05
    done
    enable_controllers /sys/fs/cgroup
    return
  fi
  mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
  while read -r hierarchy folder; do
    mkdir -p "/sys/fs/cgroup/$hierarchy"
    case $hierarchy in systemd) options=none,name=systemd ;; *) options=$hierarchy ;; esac
    mount -t cgroup -o "$options" cgroup "/sys/fs/cgroup/$hierarchy"
  done <"$run/state/cgroups"
}

# Nothing runs in them any more when this is called, but the kernel may need a moment to notice.
remove_cgroups() {
  local hierarchy folder left
  [ -f "$run/state/cgroups" ] || return 0
  for _ in $(seq 100); do
    left=
    while read -r hierarchy folder; do
      [ -d "$folder" ] || continue
      find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || true
      [ ! -d "$folder" ] || left=$folder
    done <"$run/state/cgroups"
    [ -n "$left" ] || return 0
    sleep 0.1
  done
  echo "cgroup left: $left" >&2
  return 1
}
