#!/usr/bin/env bash
# check.sh: shows that the cluster works and leaves nothing behind. Two clusters are brought up at the same time; in each
# a Deployment becomes Ready, a name resolves and a Service answers from another pod, logs, exec and port-forward work,
# PodSecurity refuses, and each component is stopped or frozen and comes back; then both go down. After that up.sh is
# interrupted and killed half way, and an owner is killed. Prints a line with seconds for each; ends with `check: passed`.
# `check.sh quick` does one cluster only.
set -euo pipefail
# shellcheck source=layout.sh
. "$(dirname "${BASH_SOURCE[0]}")/layout.sh"
quick=${1:-}
[ "$(id -u)" = 0 ] || die "needs root. $elsewhere"
HOOKSWITCH_CLUSTER_BIN=$("$here/tools.sh" | tail -1)
export HOOKSWITCH_CLUSTER_BIN
use_tools

base=$(mktemp -d)
mkdir "$base/clusters"
export KUBECACHEDIR=$base/kube-cache
finish() {
  local code=$?
  trap '' INT TERM
  shopt -s nullglob
  for run in "$base"/clusters/*/; do "$here/down.sh" "$run" || code=1; done
  rm -rf "$base"
  [ "$code" = 0 ] || echo "check: failed" >&2
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

tell() { printf 'check: %-6s %6.2fs %s\n' "$1" "$(awk "BEGIN{print $EPOCHREALTIME - $2}")" "$3"; }

# What is left of RUN_DIR on the machine, a line each.
remains() {
  local name
  name=hookswitch-$(printf %s "$1" | sha256sum | cut -c1-12)
  [ ! -e "$1" ] || echo "folder $1"
  grep -F "$1" /proc/self/mounts | sed 's/^/mount /' || true
  find /sys/fs/cgroup -maxdepth 6 -type d -name "$name" 2>/dev/null | sed 's/^/cgroup /'
  local folder command
  for folder in /proc/[0-9]*; do
    [ "${folder#/proc/}" != $$ ] || continue
    command=$(tr '\0' ' ' 2>/dev/null <"$folder/cmdline") || continue
    if [[ $command == *"$1/"* ]]; then echo "process ${folder#/proc/} $command"; fi
  done
}
nothing_left() { # RUN_DIR WHAT
  local left
  for _ in $(seq 100); do
    left=$(remains "$1")
    [ -n "$left" ] || return 0
    sleep 0.1
  done
  die "after $2 there is left: $left"
}

manifests() {
  cat <<'T'
apiVersion: v1
kind: Namespace
metadata: {name: check, labels: {pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: idle, namespace: check}
spec:
  selector: {matchLabels: {app: idle}}
  template:
    metadata: {labels: {app: idle}}
    spec:
      automountServiceAccountToken: false
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
      - {name: pause, image: "hookswitch.local/pause:1", imagePullPolicy: Never, securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: server, namespace: check}
spec:
  replicas: 2
  selector: {matchLabels: {app: server}}
  template:
    metadata: {labels: {app: server}}
    spec:
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: server
        image: hookswitch.local/netcheck:1
        imagePullPolicy: Never
        args: [serve, ":8080"]
        ports: [{containerPort: 8080, name: http}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
        securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
---
apiVersion: v1
kind: Service
metadata: {name: server, namespace: check}
spec: {selector: {app: server}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: servers, namespace: check}
spec: {clusterIP: None, selector: {app: server}, ports: [{port: 8080}]}
T
}

# equals GOT WANTED WHAT
equals() { [ "$1" = "$2" ] || die "$3: got '$1', wanted '$2'"; }

try_cluster() { # NAME
  local run=$base/clusters/$1 from address pod forward port
  from=$EPOCHREALTIME
  OWNER_PID=$$ "$here/up.sh" "$run" >"$base/$1.up" || { cat "$base/$1.up"; die "up.sh failed"; }
  tell "$1" "$from" "up ($(sed 's/cluster: *//' "$base/$1.up" | paste -sd, | sed 's/,/, /g'))"
  k() { kubectl --kubeconfig "$run/kubeconfig" -n check "$@"; }

  from=$EPOCHREALTIME
  "$here/load.sh" "$run" "$base/netcheck.tar" >/dev/null
  manifests | k apply -f - >/dev/null
  k rollout status deployment/idle --timeout=60s >/dev/null
  tell "$1" "$from" "image loaded, Deployment of the pause image Ready"
  k rollout status deployment/server --timeout=60s >/dev/null
  tell "$1" "$from" "Deployment of two servers Ready"

  from=$EPOCHREALTIME
  pod=$(k get pods -l app=server -o jsonpath='{.items[0].metadata.name}')
  address=$(k get service server -o jsonpath='{.spec.clusterIP}')
  for name in server server.check server.check.svc server.check.svc.cluster.local; do
    equals "$(k exec "$pod" -- /netcheck lookup "$name")" "$address" "lookup of $name in a pod"
  done
  equals "$(k exec "$pod" -- /netcheck lookup servers | tr ' ' '\n' | sort | paste -sd' ')" \
    "$(k get pods -l app=server -o jsonpath='{range .items[*]}{.status.podIP}{"\n"}{end}' | sort | paste -sd' ')" "lookup of a headless Service"
  ! k exec "$pod" -- /netcheck lookup nobody.example.com >/dev/null 2>&1 || die "a name that does not exist resolved"
  echo "api.provider.example server.check.svc.cluster.local" >"$run/etc/names"
  equals "$(k exec "$pod" -- /netcheck lookup api.provider.example)" "$address" "lookup of a fixed name"
  tell "$1" "$from" "names resolve in a pod (Service, headless, fixed, absent)"

  from=$EPOCHREALTIME
  local seen=
  for _ in $(seq 12); do seen+=$(k exec "$pod" -- /netcheck get http://api.provider.example/)$'\n'; done
  equals "$(printf %s "$seen" | sort -u | grep -c ^server-)" 2 "pods that a Service reaches (the caller itself among them)"
  grep -q '^serving :8080' <<<"$(k logs "$pod")" || die "kubectl logs showed nothing"
  k port-forward "pod/$pod" :8080 >"$base/$1.forward" 2>&1 &
  forward=$!
  for _ in $(seq 100); do grep -q Forwarding "$base/$1.forward" && break; sleep 0.05; done
  port=$(sed -n 's/.*127.0.0.1:\([0-9]*\) .*/\1/p' "$base/$1.forward" | head -1)
  equals "$(curl -s --max-time 5 "http://127.0.0.1:$port/")" "$pod" "port-forward"
  kill "$forward"
  wait "$forward" 2>/dev/null || true
  tell "$1" "$from" "Service, logs, exec, port-forward work from outside"

  from=$EPOCHREALTIME
  if k run root --image=hookswitch.local/netcheck:1 --image-pull-policy=Never --restart=Never >"$base/$1.refused" 2>&1; then
    die "a pod against its namespace's PodSecurity level was admitted"
  fi
  grep -q 'violates PodSecurity "restricted' "$base/$1.refused" || die "refused for another reason: $(cat "$base/$1.refused")"
  equals "$(k get --raw "/api/v1/namespaces/check/services/server:80/proxy/" | grep -c ^server-)" 1 "a Service through the API server"
  grep -q '"verb":"create".*"deployments"' "$run/audit.log" || die "the audit log does not show the creation"
  ! grep -q '"requestObject"' "$run/audit.log" || die "the audit log holds contents"
  tell "$1" "$from" "PodSecurity refuses, audit log tells who did what"

  disturb "$1"
  from=$EPOCHREALTIME
  "$here/down.sh" "$run"
  "$here/down.sh" "$run"
  nothing_left "$run" "down.sh"
  tell "$1" "$from" "down, nothing left"
}

# Each component away and back; the cluster must work again after it.
disturb() {
  local run=$base/clusters/$1 from name
  from=$EPOCHREALTIME
  local init
  init=$(cd "$base" && use_run "$run" && init_pid)
  for name in kube-apiserver etcd kube-controller-manager kube-scheduler kubelet kube-proxy containerd clusterdns; do
    "$here/component.sh" "$run" stop "$name"
    equals "$("$here/component.sh" "$run" status "$name")" stopped "$name after stop"
    case $name in
      kube-apiserver) ! k get --raw /readyz --request-timeout=2s >/dev/null 2>&1 || die "the API server answers though stopped" ;;
    esac
    "$here/component.sh" "$run" start "$name"
    equals "$("$here/component.sh" "$run" status "$name")" running "$name after start"
  done
  within 60 k get --raw /readyz
  "$here/component.sh" "$run" freeze apiserver
  ! k get --raw /readyz --request-timeout=2s >/dev/null 2>&1 || die "the API server answers though frozen"
  "$here/component.sh" "$run" thaw apiserver
  within 60 k get --raw /readyz
  kill -0 "$init"
  within 60 k create configmap after --from-literal=a=b
  within 60 k rollout restart deployment/server
  within 60 k rollout status deployment/server --timeout=10s
  local pod
  pod=$(k get pods -l app=server --field-selector status.phase=Running -o jsonpath='{.items[0].metadata.name}')
  within 60 k exec "$pod" -- /netcheck get http://server/
  tell "$1" "$from" "every component stopped and started, API server frozen and thawed, a rollout done after it"
}
within() { # SECONDS COMMAND…
  local until=$((SECONDS + $1))
  until "${@:2}" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$until" ] || die "not within $1 s: ${*:2}"
    sleep 0.2
  done
}

# Ends up.sh by SIGNAL once it has printed PHASE, and expects nothing left.
break_off() { # SIGNAL PHASE
  local run=$base/clusters/broken from up
  from=$EPOCHREALTIME
  # Job control gives it a process group of its own, and signals as a terminal's Ctrl-C gives them.
  set -m
  env --default-signal=INT "$here/up.sh" "$run" >"$base/broken.up" 2>"$base/broken.err" &
  up=$!
  set +m
  until grep -q "$2" "$base/broken.up" 2>/dev/null; do
    kill -0 "$up" 2>/dev/null || die "up.sh ended before: $(cat "$base/broken.err")"
    sleep 0.02
  done
  if [ "$1" = KILL ]; then kill -KILL "$up"; else kill "-$1" -- "-$up"; fi
  wait "$up" 2>/dev/null && die "up.sh reports success though ended by $1"
  nothing_left "$run" "SIG$1 at '$2'"
  tell broken "$from" "up.sh ended by SIG$1 at '$2': nothing left"
}

# The judges accept what is right and refuse what is wrong.
try_judges() {
  local from=$EPOCHREALTIME location
  cat >"$base/crd.yaml" <<'T'
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.hookswitch.dev}
spec:
  group: hookswitch.dev
  names: {kind: Widget, plural: widgets}
  scope: Namespaced
  versions:
  - name: v1alpha1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {size: {type: integer, minimum: 1}, port: {x-kubernetes-int-or-string: true}}}
T
  location=$("$here/schemas.sh" "$base/schemas" "$base/crd.yaml" 2>/dev/null)
  judge() { kubeconform -strict -schema-location "$location" "$@"; }
  widget() { printf '{apiVersion: hookswitch.dev/v1alpha1, kind: Widget, metadata: {name: a}, spec: %s}' "$1"; }
  judge "$base/crd.yaml" || die "a right CustomResourceDefinition was refused"
  manifests | judge || die "right manifests were refused"
  widget '{size: 1, port: http}' | judge || die "a right custom object was refused"
  ! manifests | sed 's/readinessProbe/readynessProbe/' | judge >/dev/null || die "an unknown field was accepted"
  ! manifests | sed 's/replicas: 2/replicas: two/' | judge >/dev/null || die "a wrong type was accepted"
  ! widget '{size: 0}' | judge >/dev/null || die "a custom value out of its range was accepted"
  ! widget '{sise: 1}' | judge >/dev/null || die "an unknown custom field was accepted"
  equals "$(echo '[{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "b"}}]' | kstatus | cut -d' ' -f1,2)" \
    "ConfigMap/b/a Current" "kstatus of a ConfigMap"
  ! echo '{"apiVersion": "hookswitch.dev/v1alpha1", "kind": "Widget", "metadata": {"name": "a", "generation": 2}, "status": {"observedGeneration": 1}}' |
    kstatus >/dev/null || die "kstatus calls an object Current whose status is of an older generation"
  ! kstatus </dev/null 2>/dev/null || die "kstatus calls nothing Current"
  tell judges "$from" "kubeconform and kstatus accept what is right and refuse what is wrong"
}
try_judges

"$here/image.sh" "$base/netcheck.tar" hookswitch.local/netcheck:1 '["/netcheck"]' "$bin/netcheck=/netcheck" >/dev/null
if [ "$quick" = quick ]; then
  try_cluster one
  echo "check: passed"
  exit 0
fi

(try_cluster one) &
first=$!
(try_cluster two) &
second=$!
failed=0
wait "$first" || failed=1
wait "$second" || failed=1
[ $failed = 0 ] || die "one of the two clusters failed"

break_off INT "certificates made"
break_off INT "container runtime ready"
break_off TERM "API server ready"
break_off KILL "namespaces ready"
break_off KILL "API server ready"

from=$EPOCHREALTIME
sleep 1000 &
owner=$!
OWNER_PID=$owner "$here/up.sh" "$base/clusters/owned" >/dev/null
kill -KILL "$owner"
wait "$owner" 2>/dev/null || true
nothing_left "$base/clusters/owned" "the end of its owner"
tell owned "$from" "cluster up, its owner killed: taken down, nothing left"
echo "check: passed"
