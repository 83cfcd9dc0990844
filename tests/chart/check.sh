#!/usr/bin/env bash
# The chart and the examples without a cluster: lint, rendering of each case against strict schemas of Kubernetes and of
# our CRDs, what must and must not be in it, and values that must be refused.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tests/cluster/tools.sh >/dev/null
PATH=$(tests/cluster/tools.sh --print):$PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chart=charts/hookswitch
passed=0
failed=0
ok() { passed=$((passed + 1)); printf 'ok   %s\n' "$1"; }
no() { failed=$((failed + 1)); printf 'FAIL %s\n' "$1"; [ $# -lt 2 ] || printf '%s\n' "$2" | tail -15; }
# holds SENTENCE COMMAND…: the sentence is true when the command succeeds.
holds() { local sentence=$1 out; shift; if out=$("$@" 2>&1); then ok "$sentence"; else no "$sentence" "$out"; fi; }
refused() { local sentence=$1 out; shift; if out=$("$@" 2>&1); then no "$sentence" "$out"; else ok "$sentence"; fi; }
render() { helm template hookswitch "$chart" --namespace telephony-system --kube-version 1.33.0 "$@"; }

schemas=$(tests/cluster/schemas.sh "$work/schemas" crds/*.yaml)
conform() { kubeconform -strict -summary -schema-location "$schemas" "$@"; }

holds "the chart's CRDs are those of crds/" diff -r crds "$chart/files/crds"
holds "helm lint finds nothing, warnings included" helm lint --strict --kube-version 1.33.0 "$chart"

cat >"$work/values.yaml" <<'V'
installation: prod-eu
image: {repository: "registry.example:5000/team/hookswitch", digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}
imagePullSecrets: [pull]
watchNamespaces: [a, b]
network: {allowedCIDRs: ["10.20.0.0/16", "fd00::/8"], proxy: "http://proxy.internal:3128"}
podLabels: {team: identity}
podAnnotations: {example: "1"}
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{key: spot, operator: Exists}]
V
declare -A cases=([defaults]="" [cluster]="--set rbac.scope=Cluster" [single]="--set replicas=1" [all]="--values $work/values.yaml")
for name in "${!cases[@]}"; do
  # shellcheck disable=SC2086 # arguments of a case
  render ${cases[$name]} >"$work/$name.yaml"
  holds "rendered with $name, every object fits the schemas" conform "$work/$name.yaml"
done

holds "no ClusterRole is made unless asked for" bash -c "! grep -q 'kind: ClusterRole' '$work/defaults.yaml' '$work/all.yaml'"
holds "cluster scope makes one ClusterRole and its binding" test "$(grep -c '^kind: ClusterRole' "$work/cluster.yaml")" = 2
holds "each watched namespace gets a Role of its own" bash -c "grep -q 'namespace: a$' '$work/all.yaml' && grep -q 'namespace: b$' '$work/all.yaml'"
holds "a digest wins over the tag" grep -q 'image: "registry.example:5000/team/hookswitch@sha256:0123' "$work/all.yaml"
holds "the pull secret is used" grep -q 'name: pull' "$work/all.yaml"
holds "one replica has no disruption budget" bash -c "! grep -q PodDisruptionBudget '$work/single.yaml'"
holds "CRDs are kept when the chart goes" test "$(grep -c 'helm.sh/resource-policy: keep' "$work/defaults.yaml")" = 6
for line in 'runAsNonRoot: true' 'readOnlyRootFilesystem: true' 'allowPrivilegeEscalation: false' 'drop: \[ALL\]' 'type: RuntimeDefault'; do
  holds "the operator's pod says ${line//\\/}" grep -q "$line" "$work/defaults.yaml"
done
for bad in nonsense=1 replicas=-1 rbac.scope=Galaxy image.digest=latest 'network.allowedCIDRs={10.0.0.0}' 'watchNamespaces={Upper}' installation=-x; do
  refused "the value $bad is refused" render --set "$bad"
done

kubectl kustomize examples/acme >"$work/acme.yaml"
kubectl kustomize examples/sandbox >"$work/overlay.yaml"
holds "examples/acme fits the schemas" conform "$work/acme.yaml"
kubectl kustomize examples/sandbox-standby >"$work/standby.yaml"
holds "examples/standby over examples/sandbox fits the schemas" conform "$work/standby.yaml"
holds "examples/sandbox fits the schemas" conform "$work/overlay.yaml" examples/sandbox/sandbox.yaml
sed 's/publicURL/publicUrl/' "$work/acme.yaml" >"$work/typo.yaml"
refused "a misspelt field does not fit the schemas" conform "$work/typo.yaml"

printf 'chart: %d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
