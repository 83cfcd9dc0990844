#!/usr/bin/env bash
# The chart and the examples without a cluster: lint, rendering of each case against strict schemas of Kubernetes and of
# our CRDs, what must and must not be in it, values that must be refused, and the alerts, judged by promtool.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tests/cluster/tools.sh >/dev/null
promtool=$(tests/cluster/promtool.sh)
PATH=$(tests/cluster/tools.sh --print):$promtool:$PATH
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

each() { # COMMAND…: true when it is for each line of the input, and there is one; says for which it is not
  local line lines=0 wrong=0
  while read -r line; do
    lines=$((lines + 1))
    "$@" "$line" || { printf 'not so: %s\n' "$line"; wrong=$((wrong + 1)); }
  done
  [ $lines -gt 0 ] && [ $wrong = 0 ]
}

schemas=$(tests/cluster/schemas.sh "$work/schemas" crds/*.yaml)
# The Prometheus operator's kinds have no schema here; promtool judges what is in them.
conform() { kubeconform -strict -summary -skip PrometheusRule -schema-location "$schemas" "$@"; }

holds "the chart's CRDs are those of crds/" diff -r crds "$chart/files/crds"
holds "helm lint finds nothing, warnings included" helm lint --strict --kube-version 1.33.0 "$chart"

cat >"$work/values.yaml" <<'V'
installation: prod-eu
image: {repository: "registry.example:5000/team/hookswitch", digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}
imagePullSecrets: [pull]
watchNamespaces: [a, b]
network:
  allowedCIDRs: ["10.20.0.0/16", "fd00::/8"]
  proxy: "http://proxy.internal:3128"
  proxyCredentials: {secretName: proxy, passwordKey: pass}
  noProxy: [sms.corp, .svc, "10.20.0.0/16"]
  caBundle: {configMapName: corp-ca, key: bundle.pem}
priorityClassName: login
podSecurityContext: {runAsUser: 1000700000, fsGroup: 1000700001}
affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: pool, operator: In, values: [login]}]}]}}}
topologySpreadConstraints: [{maxSkew: 1, topologyKey: rack, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app.kubernetes.io/name: hookswitch}}}]
podLabels: {team: identity, app.kubernetes.io/name: other, app.kubernetes.io/component: other}
podAnnotations: {example: "1"}
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{key: spot, operator: Exists}]
networkPolicy: {metricsNamespaces: [monitoring]}
tenancy:
  default: {hosts: [], serviceTypes: [ClusterIP], ingressAnnotations: ["nginx.ingress.kubernetes.io/*"]}
  namespaces: {a: {hosts: [otp.acme.com, "*.a.acme.com"], podAnnotations: ["*"], allowedCIDRs: ["10.30.0.0/16"]}}
alerts: {enabled: true, labels: {release: prometheus}, runbookBase: "https://docs.example/alerts"}
V
declare -A cases=([defaults]="" [secret-ca]="--set network.caBundle.secretName=corp-ca" [cluster]="--set rbac.scope=Cluster" [single]="--set replicas=1" [all]="--values $work/values.yaml")
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
holds "a NetworkPolicy lets everybody read the metrics" grep -q 'kind: NetworkPolicy' "$work/defaults.yaml"
holds "and names no source for that" test "$(grep -c '^    - namespaceSelector:$' "$work/defaults.yaml")" = 0
holds "or those of the namespaces that are named" grep -q 'values: \["monitoring"\]' "$work/all.yaml"
render --set networkPolicy.enabled=false >"$work/open.yaml"
holds "no NetworkPolicy is made when none is wanted, by the operator neither" bash -c "! grep -q 'kind: NetworkPolicy' '$work/open.yaml' && grep -q 'HOOKSWITCH_NETWORK_POLICY, value: \"false\"' '$work/open.yaml'"
for line in 'runAsNonRoot: true' 'readOnlyRootFilesystem: true' 'allowPrivilegeEscalation: false' 'drop: \[ALL\]' 'type: RuntimeDefault'; do
  holds "the operator's pod says ${line//\\/}" grep -q "$line" "$work/defaults.yaml"
done
# What the values say of pods is said of every pod of the chart.
pods() { awk '/^kind: (Deployment|Job)$/ {on = 1; n++; next} /^---/ {on = 0} on {print > out n}' out="$1.pod" "$1"; }
pods "$work/all.yaml"
pods "$work/defaults.yaml"
for line in 'team: identity' 'example: "1"' '- name: pull' 'priorityClassName: login' 'key: spot' 'kubernetes.io/os: linux' 'key: pool' \
  'runAsUser: 1000700000' 'fsGroup: 1000700001' 'runAsNonRoot: true'; do
  holds "the operator's pod says $line" grep -qF -- "$line" "$work/all.yaml.pod1"
  holds "… and the Job's" grep -qF -- "$line" "$work/all.yaml.pod2"
done
holds "labels by which pods are found win over those of the values" bash -c "! grep -q 'app.kubernetes.io/\(name\|component\): other' '$work/all.yaml'"
holds "the Job's pod is no pod of the operator's Service" grep -q 'app.kubernetes.io/component: release' "$work/all.yaml.pod2"
holds "no pod asks for a user unless the values say one" bash -c "! grep -q 'runAs\(User\|Group\)\|fsGroup' '$work/defaults.yaml'"
holds "gateways run as whom the values say" grep -q 'HOOKSWITCH_RUN_AS_USER, value: "1000700000"' "$work/all.yaml"
holds "the proxy's password comes from a Secret" grep -q 'HOOKSWITCH_PROXY_PASSWORD, valueFrom: {secretKeyRef: {name: "proxy", key: "pass"}}' "$work/all.yaml"
holds "exceptions to the proxy reach the operator" grep -q 'HOOKSWITCH_NO_PROXY, value: "sms.corp,.svc,10.20.0.0/16"' "$work/all.yaml"
holds "the CA bundle is mounted where the operator reads it" bash -c "grep -q 'HOOKSWITCH_CA_FILE, value: /etc/hookswitch/ca/bundle.pem' '$work/all.yaml' && grep -q 'configMap: {name: \"corp-ca\"}' '$work/all.yaml'"
holds "… also out of a Secret" grep -q 'secret: {secretName: "corp-ca"}' "$work/secret-ca.yaml"

tenancy_of() { sed -n 's/^ *- {name: HOOKSWITCH_TENANCY, value: "\(.*\)"}$/\1/p' "$1" | sed 's/\\"/"/g'; }
limits='{"default":{"hosts":[],"ingressAnnotations":["nginx.ingress.kubernetes.io/*"],"serviceTypes":["ClusterIP"]},"namespaces":{"a":{"allowedCIDRs":["10.30.0.0/16"],"hosts":["otp.acme.com","*.a.acme.com"],"podAnnotations":["*"]}}}'
holds "what authors of resources may ask for reaches the operator, empty lists too" test "$(tenancy_of "$work/all.yaml")" = "$limits"
holds "… and nothing is said when nothing is limited" bash -c "! grep -q HOOKSWITCH_TENANCY '$work/defaults.yaml'"

# Two releases in one namespace lead apart; the default one keeps the Lease that it had before.
helm template hookswitch-b "$chart" --namespace telephony-system --kube-version 1.33.0 >"$work/second.yaml"
holds "the release hookswitch has the Lease that it always had" test "$(grep -c 'HOOKSWITCH_LEASE, value: hookswitch-operator}' "$work/defaults.yaml")" = 2
holds "… and another one has its own, for the Job as well" test "$(grep -c 'HOOKSWITCH_LEASE, value: hookswitch-b-operator}' "$work/second.yaml")" = 2

# A version may have a build after a plus sign, which neither a label nor a tag can have, and be longer than a label.
cp -r "$chart" "$work/built"
sed -i 's/^version:.*/version: 0.1.0-rc.1+build.20261130.0123456789abcdef0123456789abcdef01234567/; s/^appVersion:.*/appVersion: 0.1.0+g0123/' "$work/built/Chart.yaml"
helm template hookswitch "$work/built" --kube-version 1.33.0 >"$work/built.yaml"
labels() { sed -nE 's/^ +(helm.sh\/chart|app.kubernetes.io\/version): "?([^"]*)"?$/\2/p' "$1" | sort -u; }
is_label() { grep -qxE '[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?' <<<"$1"; }
holds "a version with a build makes labels that Kubernetes takes" each is_label < <(labels "$work/built.yaml")
holds "… and a tag that registries take" grep -q 'image: "hookswitch/hookswitch:0.1.0_g0123"' "$work/built.yaml"

# An upgrade with --reuse-values brings the values of the release before, which had fewer.
holds "values of the release before, which lack the newest ones, still render" render --set network.caBundle=null --set network.proxyCredentials=null \
  --set tenancy=null --set networkPolicy=null --set podSecurityContext=null --set topologySpreadConstraints=null --set priorityClassName=null

# CustomResourceDefinitions that somebody else applied are left to them.
render --set crds.install=false >"$work/without.yaml"
holds "crds.install=false leaves the CRDs to others" bash -c "! grep -q 'kind: CustomResourceDefinition' '$work/without.yaml'"
holds "… and nothing else" diff <(grep -c '^kind: ' "$work/without.yaml") <(grep '^kind: ' "$work/defaults.yaml" | grep -vc CustomResourceDefinition)

# Argo CD renders the chart anew and compares; it maps Helm's hooks only where there is none of its own.
holds "the chart renders the same each time" diff <(render --values "$work/values.yaml") "$work/all.yaml"
holds "no template asks the cluster, which Argo CD's rendering cannot" bash -c "! grep -rq 'lookup \|randAlpha\|genSelfSigned\|now ' '$chart/templates'"
holds "the Job before an uninstall is the one hook, and Helm's" bash -c "[ \$(grep -c 'helm.sh/hook: ' '$work/all.yaml') = 1 ] && grep -q 'helm.sh/hook: pre-delete' '$work/all.yaml' && ! grep -q argocd.argoproj.io '$work/all.yaml'"
holds "… and is made anew each time" grep -q 'helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded' "$work/all.yaml"

# The Dockerfile's context: what cargo needs, and nothing that is large or secret.
mkdir "$work/context"
sed -n 's/^!//p' .dockerignore | xargs -I{} cp -r --parents {} "$work/context"
holds "cargo finds its whole package in the Dockerfile's context" cargo metadata --quiet --locked --offline --no-deps --format-version 1 --manifest-path "$work/context/Cargo.toml"
holds "nothing else is in it" test "$(grep -v '^!' .dockerignore)" = '*'

for bad in nonsense=1 replicas=-1 rbac.scope=Galaxy image.digest=latest 'network.allowedCIDRs={10.0.0.0}' 'watchNamespaces={Upper}' installation=-x \
  'network.proxy=http://user:password@proxy.internal:3128' 'network.noProxy={.corp}' network.proxyCredentials.secretName=proxy \
  'network.allowedCIDRs={10.0.0.0/33}' network.proxy=http://proxy:99999 "installation=$(printf '%064d' 0)" \
  network.proxy=http://proxy:3128,'network.noProxy={sms.corp:8443}' network.proxy=http://proxy:3128,'network.noProxy={*corp}' \
  network.proxy=http://proxy:3128,'network.noProxy={10.0.0.0/99}' podSecurityContext.runAsUser=0 podSecurityContext.privileged=true network.caBundle.key=a/b \
  tenancy.hosts=x 'tenancy.default.hosts={https://otp.acme.com}' 'tenancy.default.hosts={*acme.com}' 'tenancy.default.serviceTypes={ExternalName}' \
  'tenancy.default.podAnnotations={a*b}' 'tenancy.namespaces.a.allowedCIDRs={10.0.0.0}' 'tenancy.namespaces.A.hosts={x}' tenancy.default.host=x \
  alerts.enabled=yes 'alerts.runbookBase=a page'; do
  refused "the value $bad is refused" render --set "$bad"
done

kubectl kustomize examples/acme >"$work/acme.yaml"
kubectl kustomize examples/sandbox >"$work/overlay.yaml"
holds "examples/acme fits the schemas" conform "$work/acme.yaml"
kubectl kustomize examples/sandbox-standby >"$work/standby.yaml"
holds "examples/standby over examples/sandbox fits the schemas" conform "$work/standby.yaml"
holds "examples/sandbox fits the schemas" conform "$work/overlay.yaml" examples/sandbox/sandbox.yaml
kubectl kustomize examples/foreign-standby >"$work/foreign.yaml"
holds "examples/foreign-standby over examples/acme fits the schemas" conform "$work/foreign.yaml"
kubectl kustomize examples/providers >"$work/providers.yaml"
holds "examples/providers fits the schemas" conform "$work/providers.yaml"
kubectl kustomize examples/ingress >"$work/ingress.yaml"
holds "examples/ingress over examples/acme fits the schemas" conform "$work/ingress.yaml"
holds "… and its gateway has no certificate of its own" bash -c "! grep -q 'name: otp-tls' '$work/ingress.yaml' && grep -q 'name: otp-acme-com' '$work/ingress.yaml'"
sed 's/publicURL/publicUrl/' "$work/acme.yaml" >"$work/typo.yaml"
refused "a misspelt field does not fit the schemas" conform "$work/typo.yaml"

alerts=$chart/files/alerts.yaml
alert_names() { sed -n 's/^ *- alert: //p' "$1"; }
# What expressions name, once literals, label lists and the language's own words are taken out.
metric_names() {
  awk '/^    expr:/ {on = 1; sub(/^    expr:( *\|-)?/, "")} /^    (for|labels|annotations):/ {on = 0} on' "$1" |
    sed -E 's/"[^"]*"//g; s/\{[^}]*\}//g; s/\[[^]]*\]//g; s/\<(by|on) *\([^)]*\)//g' |
    grep -oE '\<[a-z_][a-z0-9_]*' | grep -vxE 'absent|sum|min|max|count|increase|and|or|unless|offset' | sort -u
}
is_metric() { grep -qF "\`${1#hookswitch_gateway_}\`" docs/reference/metrics.md; }
has_section() { grep -qx "## $1" docs/runbook.md && grep -qx "      runbook_url: docs/runbook.md#${1,,}" "$alerts"; }
is_tested() { grep -q "ALERTS{alertname=\"$1\", alertstate=\"firing\"" tests/chart/alerts_test.yaml; }
holds "the alerts are rules that Prometheus takes" promtool check rules --lint=all --lint-fatal "$alerts"
holds "each alert fires when it should and not when all is well" promtool test rules tests/chart/alerts_test.yaml
holds "each alert is tested" each is_tested < <(alert_names "$alerts")
holds "each alert has a section in docs/runbook.md, and leads to it" each has_section < <(alert_names "$alerts")
holds "each metric of an alert is in docs/reference/metrics.md" each is_metric < <(metric_names "$alerts")
holds "no PrometheusRule is made unless asked for" bash -c "! grep -q PrometheusRule '$work/defaults.yaml'"
# the rendered rules, as a file that promtool reads, under the same tests
render --set alerts.enabled=true --show-only templates/alerts.yaml >"$work/rule.yaml"
sed '1,/^spec:$/d; s/^  //' "$work/rule.yaml" >"$work/alerts.yaml"
sed 's|^rule_files:.*|rule_files: [alerts.yaml]|' tests/chart/alerts_test.yaml >"$work/alerts_test.yaml"
holds "the PrometheusRule has every alert of the file" diff <(alert_names "$alerts") <(alert_names "$work/alerts.yaml")
holds "and its alerts stand the same tests" promtool test rules "$work/alerts_test.yaml"
holds "the PrometheusRule has the labels asked for" grep -q '^    release: prometheus$' "$work/all.yaml"
holds "each alert leads to the page that the values name" test "$(grep -c 'runbook_url: https://docs.example/alerts#[a-z]' "$work/all.yaml")" = "$(alert_names "$alerts" | wc -l)"

printf 'chart: %d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
