#!/usr/bin/env bash
# Shows Hookswitch at work, and checks each thing it shows. See `make help` and the README.
#   CLUSTER=embedded|current   a cluster of the demo's own (default), or the current context of your kubeconfig
#   KEEP=1                     leave everything running and say how to look around
set -uo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CLUSTER=${CLUSTER:-embedded}
case $CLUSTER in embedded | current) ;; *) echo "demo: failed: CLUSTER must be embedded or current, not $CLUSTER"; exit 2 ;; esac
: "${IMAGE:?run make demo}" "${SANDBOX_IMAGE:?run make demo}" "${IMAGES:?run make demo}"
work=$(mktemp -d "${TMPDIR:-/tmp}/hookswitch-demo.XXXXXX")
# shellcheck source=demo/stage.sh
. "$top/demo/stage.sh"

if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; else bold='' dim='' plain=''; fi
begun=$SECONDS
step() { printf '\n%s── %s%s %s(%ds)%s\n' "$bold" "$1" "$plain" "$dim" $((SECONDS - begun)) "$plain"; }
say() { printf '%s\n' "$*"; }

finished=
fail() {
  printf '\ndemo: failed: %s\n' "$*"
  finished=1
  if [ -n "${KUBECONFIG:-}" ] || [ "$CLUSTER" = current ]; then
    kubectl get telephony,pods,events -n "$telephony_namespace" 2>/dev/null | tail -40
    kubectl -n "$release_namespace" logs -l app.kubernetes.io/name=hookswitch --tail 15 2>/dev/null
  fi
  exit 1
}
leave() {
  local code=$?
  trap '' INT TERM HUP
  if [ "$code" != 0 ] && [ -z "$finished" ]; then printf '\ndemo: failed: interrupted (exit code %s)\n' "$code"; fi
  if [ -n "${KEEP:-}" ] && [ "$code" = 0 ]; then
    exit 0
  fi
  say "${dim}cleaning up${plain}"
  stage_down
  rm -rf "$work"
  exit "$code"
}
leave_by leave
# A cluster that is kept must outlive this script.
[ -z "${KEEP:-}" ] || export OWNER_PID=1

# show COMMAND…: prints and runs it.
show() {
  printf '%s$ %s%s\n' "$dim" "$*" "$plain"
  "$@" || fail "this command failed: $*"
}

# look: the resources as an on-call engineer sees them.
look() { show kubectl get -n "$telephony_namespace" "$1"; }

# send NUMBER [ARGUMENT…]: a passcode by Okta; the answer as JSON in $sent.
send() {
  printf '%s$ hookswitch-sandbox send --to %s%s\n' "$dim" "$*" "$plain"
  sent=$(sandbox send --json --to "$@") || fail "Okta could not send: $sent"
  say "$sent" | python3 -c '
import json, sys
r = json.load(sys.stdin)
h = r.get("hook") or {}
print("  Okta: %s by %s after %s ms" % (h.get("status"), h.get("provider") or r["delivery"], h.get("durationMs")))'
}
# field NAME: of what the hook answered; `delivery` is Okta's own word.
field() {
  say "$sent" | python3 -c '
import json, sys
r = json.load(sys.stdin)
value = r["delivery"] if sys.argv[1] == "delivery" else (r.get("hook") or {}).get(sys.argv[1])
print("" if value is None else value)' "$1"
}
expect() { [ "$(field "$1")" = "$2" ] || fail "$3: $1 is $(field "$1"), not $2"; }

# inbox NUMBER COUNT: what the handset got, one message a line; there must be so many.
inbox() {
  local messages got
  messages=$(sandbox inbox --to "$1" --json) || fail "the inbox cannot be read"
  got=$(say "$messages" | python3 -c 'import json,sys; print(len(json.load(sys.stdin)))')
  say "$messages" | python3 -c '
import json, sys
for m in json.load(sys.stdin):
    print("  handset: %s by %s: “%s”" % (m["channel"], m["carrier"], m["text"]))'
  [ "$got" = "$2" ] || fail "the handset got $got messages, not $2"
}

# until_so SECONDS SENTENCE COMMAND…: waits until the command succeeds; sets $took to the seconds it took.
until_so() {
  local most=$1 sentence=$2 from=$EPOCHREALTIME
  shift 2
  until "$@"; do
    awk "BEGIN{exit !($EPOCHREALTIME - $from < $most)}" || fail "not within $most s: $sentence"
    sleep 0.3
  done
  took=$(awk "BEGIN{printf \"%.1f\", $EPOCHREALTIME - $from}")
}
# healthy PROVIDER FIELD: of its condition Healthy.
healthy() { kubectl get -n "$telephony_namespace" telephonyprovider "$1" -o "jsonpath={.status.conditions[?(@.type==\"Healthy\")].$2}"; }
is_healthy() { [ "$(healthy "$1" status)" = "$2" ]; }

say "${bold}Hookswitch demo${plain}: Okta, providers and handsets are simulated, Kubernetes and Hookswitch are real."

step "Preparing: images and, the first time, the test cluster's programs (some 20 minutes once, then cached)"
stage_tools --cluster || fail "preparing"

step "Starting a cluster"
stage_cluster || fail "the cluster did not start"

step "Starting the sandbox: an Okta org and four providers"
stage_sandbox || fail "the sandbox did not start"

step "Installing the chart"
say "${dim}\$ helm install hookswitch charts/hookswitch --set watchNamespaces={$telephony_namespace} …${plain}"
stage_install || fail "the chart was not installed"
show kubectl get pods -n "$release_namespace"

step "Applying examples/sandbox"
applied=$(date +%s%N)
show kubectl apply -k "$top/examples/sandbox"
say "${dim}waiting for the hook to be Ready${plain}"
first=
for _ in $(seq 300); do
  if answer=$(sandbox send --json --to +12025550142 2>/dev/null) && [ "$(sent=$answer field delivery)" = hook ]; then
    first=$((($(date +%s%N) - applied) / 1000000))
    break
  fi
  sleep 0.2
done
[ -n "$first" ] || fail "no passcode was delivered within a minute of applying the manifests"
show kubectl wait -n "$telephony_namespace" --for=condition=Ready --timeout=60s oktaorgs,telephonyproviders,routingpolicies,telephonygateways,telephonyhooks --all
look telephony
sandbox inbox --clear >/dev/null

step "An SMS and a voice call, by the primary provider"
send +12025550143
expect status SUCCESSFUL "SMS"
expect provider twilio "SMS"
inbox +12025550143 1
direct=$(field durationMs)
send +12025550144 --channel voice
expect provider twilio "voice call"
inbox +12025550144 1

step "The primary provider is down: the next passcode goes by the secondary, in the same request"
show sandbox fault twilio down
send +12025550145
expect status SUCCESSFUL "failover"
expect provider backup "failover"
inbox +12025550145 1
failover=$(field durationMs)
until_so 30 "the dead provider shows as unhealthy" is_healthy twilio False
look telephonyproviders
show sandbox fault twilio clear

step "A country that is routed elsewhere"
send +46701234567
expect provider nordic "Swedish number"
inbox +46701234567 1

step "A denied country: nothing is sent, and Okta is told not to send it either"
send +9607712345
expect status SUCCESSFUL "denied country"
expect provider HOOKSWITCH-BLOCKED "denied country"
inbox +9607712345 0
look telephonyhooks

# hook FIELD: of the hook in Okta that has our mark and is active.
active_hook() {
  sandbox hooks --json | python3 -c '
import json, sys
active = [h for h in json.load(sys.stdin) if h["status"] == "ACTIVE" and h["type"] == "com.okta.telephony.provider"]
print(active[0][sys.argv[1]] if len(active) == 1 else "%d hooks are active" % len(active))' "$1"
}
told_drift() { kubectl get -n "$telephony_namespace" telephonyhook acme -o jsonpath='{.status.lastDrift.fields}' | grep -q "$1"; }
is_active() { [ "$(active_hook name)" = "$1" ]; }
hook_ready() { kubectl wait -n "$telephony_namespace" --for=condition=Ready --timeout=1s "telephonyhook/$1" >/dev/null 2>&1; }

step "Somebody deactivates the hook in Okta's console: found at the next poll (15 s here), named, mended"
show sandbox admin POST "/api/v1/inlineHooks/$(active_hook id)/lifecycle/deactivate" >/dev/null
until_so 60 "the drift is named" told_drift "state INACTIVE"
mended=$took
until_so 60 "the hook is active again" is_active "Acme passcodes"
until_so 60 "the hook is Ready" hook_ready acme
show kubectl get -n "$telephony_namespace" telephonyhook acme -o 'jsonpath={.status.lastDrift}{"\n"}'
until_so 90 "the primary provider is healthy again" is_healthy twilio True
send +12025550146
expect provider twilio "after the drift was mended, and with the primary provider back"

step "Handing over to another hook of the org, by kubectl apply"
handover() { # state of acme, state of second
  cat <<Y
apiVersion: hookswitch.dev/v1alpha1
kind: TelephonyHook
metadata: {name: acme, namespace: $telephony_namespace}
spec: {target: {gatewayRef: {name: otp}}, okta: {orgRef: {name: acme}, name: Acme passcodes}, state: $1}
---
apiVersion: hookswitch.dev/v1alpha1
kind: TelephonyHook
metadata: {name: second, namespace: $telephony_namespace}
spec: {target: {gatewayRef: {name: otp}}, okta: {orgRef: {name: acme}, name: Second passcodes}, state: $2, deletion: Delete}
Y
}
say "${dim}\$ kubectl apply -f - # acme: state Inactive; second: state Active${plain}"
handover Inactive Active | kubectl apply -f - || fail "the hooks were not applied"
until_so 60 "the second hook is active" is_active "Second passcodes"
handed=$took
until_so 60 "both hooks are Ready" hook_ready second
until_so 60 "both hooks are Ready" hook_ready acme
look telephonyhooks
send +12025550147
expect status SUCCESSFUL "by the second hook"
say "${dim}what was changed in Okta, from the org's status (this Okta refuses a hook beside an active one, so the second is made in its turn):${plain}"
kubectl get -n "$telephony_namespace" oktaorg acme -o jsonpath='{range .status.history[*]}  {.at}  {.verb}{"\t"}{.object}{"\t"}{.outcome}{"\n"}{end}' | tail -5
handover Active Inactive | kubectl apply -f - >/dev/null || fail "the hooks were not applied"
until_so 60 "the first hook is active again" is_active "Acme passcodes"
show kubectl delete -n "$telephony_namespace" telephonyhook second --timeout=60s

# the gateway's pods, one a line; those that are to end are among them
gateway_pods() { kubectl get pods -n "$telephony_namespace" -l hookswitch.dev/gateway=otp -o name | sort; }
secret_mark() { kubectl get -n "$telephony_namespace" telephonyhook acme -o 'jsonpath={.status.appliedSecretMark}'; }
has_another_secret() {
  local mark
  mark=$(secret_mark)
  [ -n "$mark" ] && [ "$mark" != "$old_mark" ]
}
# as many pods are there as before, and none of them is one of those
rolled() {
  local now
  now=$(gateway_pods)
  [ "$(wc -l <<<"$now")" = "$(wc -l <<<"$old_pods")" ] && [ -z "$(comm -12 <(printf '%s\n' "$now") <(printf '%s\n' "$old_pods"))" ]
}

step "A rolling update of the gateway, and a new secret of the hook, while ten people a second log in"
old_pods=$(gateway_pods) old_mark=$(secret_mark)
show sandbox traffic begin --per-second 10
show kubectl patch -n "$telephony_namespace" telephonygateway otp --type=merge -p '{"spec": {"podAnnotations": {"acme.com/rolled": "yes"}}}'
show kubectl delete secret -n "$telephony_namespace" acme-hook-auth
until_so 60 "Okta has the new secret" has_another_secret
say "${dim}Okta has the new secret after $took s; each of the old pods serves until nobody is sent to it${plain}"
until_so 90 "all pods are new" rolled
printf '%s$ sandbox traffic end%s\n' "$dim" "$plain"
traffic=$(sandbox traffic end 2>&1) || fail "passcodes were lost: $traffic"
say "$traffic"
asked=$(sed -n 's/^0 lost of //p' <<<"$traffic")
[ "${asked:-0}" -gt 0 ] || fail "nobody logged in"

# switch_says FIELD: of the switch's status.
switch_says() { kubectl get -n "$telephony_namespace" hookswitch acme -o "jsonpath={.status.$1}"; }
switch_is() { [ "$(switch_says "$1")" = "$2" ]; }
standby_proven() { kubectl wait -n "$telephony_namespace" --for=condition=FailoverReady --timeout=1s hookswitch/acme >/dev/null 2>&1; }

step "A standby hook with a gateway and a provider of its own, and a switch over both"
show kubectl apply -k "$top/examples/sandbox-standby"
until_so 90 "the standby is proven" standby_proven
look hookswitches

step "Every provider of the first hook fails: the standby hook takes over by itself"
show sandbox fault twilio down
show sandbox fault backup down
outage=$EPOCHREALTIME
meanwhile=0 lost=0
until is_active "Acme passcodes, standby"; do
  awk "BEGIN{exit !($EPOCHREALTIME - $outage < 90)}" || fail "the standby hook is not active 90 s after the outage"
  answer=$(sandbox send --json --to +12025550148) || fail "Okta could not be asked to send"
  case $(sent=$answer field delivery) in
    hook | hook-pending) ;;
    okta | okta-fallback) meanwhile=$((meanwhile + 1)) ;;
    *) lost=$((lost + 1)) ;;
  esac
done
switched=$(awk "BEGIN{printf \"%.1f\", $EPOCHREALTIME - $outage}")
say "  until then Okta's own sender carried $meanwhile passcodes, and $lost were not sent at all"
until_so 30 "the switch says so" switch_is active acme-standby
look hookswitches
send +12025550149
expect status SUCCESSFUL "by the standby"
expect provider reserve "by the standby"
inbox +12025550149 1
# by Okta's own record: between the one hook's end and the other's beginning, and what was asked of Okta from the look before to
# the look after
gap=$(sandbox turns --json | python3 -c '
import datetime, json, sys
turns = json.load(sys.stdin)
at = lambda turn: datetime.datetime.fromisoformat(turn["at"][:26].rstrip("Z") + "+00:00")
on = max(i for i, turn in enumerate(turns) if turn["active"] == ["Acme passcodes, standby"])
print(round((at(turns[on]) - at(turns[on - 1])).total_seconds() * 1000))') || fail "the standby is not in the record"
calls=$(sandbox calls --json | python3 -c '
import json, sys
looks = ["list", "create", "get", "replace", "activate", "deactivate"]
calls = [call["call"] for call in json.load(sys.stdin)["okta"] if call["call"] in looks]
off = len(calls) - 1 - calls[::-1].index("deactivate")
print(", ".join(calls[off - 1 : calls.index("list", off) + 1]))') || fail "the switch is not among the calls"

step "The providers are back: the first hook is well again, and a person brings it back"
show sandbox fault twilio clear
show sandbox fault backup clear
by_all() { [ "$(healthy twilio reason)" = Usable ]; }
until_so 60 "the primary provider is usable by every replica" by_all
until_so 90 "the first hook is well again" switch_is phase Recovering
show kubectl annotate --overwrite -n "$telephony_namespace" hookswitch acme hookswitch.dev/failback=demo
until_so 30 "the first hook is active again" is_active "Acme passcodes"
until_so 30 "the switch says so" switch_is phase Healthy
send +12025550149
expect provider twilio "by the first hook again"
say "${dim}the switch's history, with the steps of each:${plain}"
kubectl get -n "$telephony_namespace" hookswitch acme -o jsonpath='{range .status.history[*]}  {.at}  {.from} → {.to}{"\t"}{.cause}{"\t"}{.outcome} in {.tookMs} ms{"\n"}   {range .steps[*]} {.step} {.tookMs} ms{end}{"\n"}{end}'

step "Measured"
memory() { # namespace selector: the largest resident memory of these pods, in MB
  local pod most=0 bytes
  for pod in $(kubectl get pods -n "$1" -l "$2" -o name); do
    bytes=$(kubectl get --raw "/api/v1/namespaces/$1/pods/${pod#pod/}:9090/proxy/metrics" | awk '$1=="process_resident_memory_bytes"{printf "%d", $2}')
    [ "${bytes:-0}" -le "$most" ] || most=$bytes
  done
  awk "BEGIN{printf \"%.1f\", $most/1000000}"
}
operator_memory=$(memory "$release_namespace" app.kubernetes.io/component=operator)
gateway_memory=$(memory "$telephony_namespace" app.kubernetes.io/component=gateway)
[ "$operator_memory" != 0.0 ] && [ "$gateway_memory" != 0.0 ] || fail "no memory figure from the pods' metrics"
figure() { # label value unit: in columns of characters, whatever the locale
  local LC_ALL=C.UTF-8
  printf '  %s%*s %s\n' "$1" $((66 - ${#1})) "$2" "$3"
}
figure "manifest applied → first passcode on the phone" "$first" ms
figure "a passcode by the primary provider" "$direct" ms
figure "a passcode after failover within the request" "$failover" ms
figure "drift made in Okta → named in status (poll 15 s)" "$mended" s
figure "kubectl apply → the other hook active (5 s of stillness)" "$handed" s
figure "lost in a rolling update and a rotation" 0 "of $asked"
figure "every provider down → the standby hook active" "$switched" s
figure "no hook active during the switch" "$gap" ms
figure "calls to Okta for it" "$(wc -w <<<"$calls")" "  $calls"
figure "operator, resident memory" "$operator_memory" MB
figure "gateway, resident memory" "$gateway_memory" MB

if [ -n "${KEEP:-}" ]; then
  step "Left running (KEEP=1)"
  [ "$CLUSTER" = current ] || say "  export KUBECONFIG=$KUBECONFIG PATH=$bin:\$PATH"
  say "  kubectl get telephony -n $telephony_namespace"
  say "  kubectl exec -n $sandbox_namespace deployment/sandbox -- /hookswitch-sandbox send --to +12025550199"
  say "  kubectl exec -n $sandbox_namespace deployment/sandbox -- /hookswitch-sandbox inbox"
  if [ "$CLUSTER" = embedded ]; then say "  to end it: tests/cluster/down.sh $work/cluster; rm -r $work"; else say "  to end it: helm uninstall hookswitch -n $release_namespace; kubectl delete namespace $telephony_namespace $sandbox_namespace $release_namespace"; fi
fi
printf '\ndemo: passed (%ds)\n' $((SECONDS - begun))
finished=1
