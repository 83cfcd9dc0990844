# The stage that the demo and the cluster suite play on: a cluster, the sandbox, the chart. Sourced, not run.
#
# Sets nothing up by itself. Expects: $top (the checkout), $work (a folder of this run, removed by the caller),
# CLUSTER (embedded or current), and for the images IMAGE, SANDBOX_IMAGE, IMAGES as the Makefile exports them.
# shellcheck shell=bash

release_namespace=hookswitch-system
telephony_namespace=telephony
sandbox_namespace=hookswitch-sandbox
# How the images' programs are built: see Cargo.toml.
export PROFILE=${PROFILE:-stage}

stage_fail() {
  echo "stage: $*" >&2
  return 1
}

# leave_by FUNCTION: the script ends by it, whatever ends the script.
leave_by() {
  # shellcheck disable=SC2064 # which function is known now
  trap "$1" EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
}

# stage_create ARGUMENT…: what kubectl would create by these arguments is made, or made so again.
stage_create() {
  kubectl "$@" --dry-run=client -o yaml | kubectl apply -f - >/dev/null
}

# stage_namespace NAMESPACE: one that takes pods of the restricted standard alone.
stage_namespace() {
  stage_create create namespace "$1" || return 1
  kubectl label namespace "$1" --overwrite pod-security.kubernetes.io/enforce=restricted >/dev/null
}

# stage_images: the images, with a word each 15 seconds on how far their build is.
stage_images() {
  local crates
  crates=$(cd "$top" && cargo tree --locked --package hookswitch --package hookswitch-sandbox --edges normal,build \
    --prefix none --format '{p}' 2>/dev/null | sed 's/ (.*//' | sort -u | wc -l)
  CARGO_TERM_COLOR=never make -C "$top" images 2>&1 | (
    begun=0 next_word=$((SECONDS + 15))
    while IFS= read -r line; do
      printf '%s\n' "$line" >>"$work/images.log"
      case $line in *' Compiling '*) begun=$((begun + 1)) ;; *) continue ;; esac
      [ $SECONDS -ge $next_word ] || continue
      read -r _ what _ <<<"$line"
      echo "images: compiling $what, the ${begun}th crate (a first build has some $crates)" >&2
      next_word=$((SECONDS + 15))
    done
  )
  [ "${PIPESTATUS[0]}" = 0 ] || { tail -40 "$work/images.log" >&2; stage_fail "the images were not built"; return 1; }
}

# stage_tools [--cluster]: images and programs, of these with --cluster only what a cluster needs; sets $bin.
stage_tools() {
  local fetching=
  if [ "$CLUSTER" = embedded ]; then
    # One waits for the network while the other computes.
    "$top/tests/cluster/tools.sh" --fetch &
    fetching=$!
  fi
  stage_images || { [ -z "$fetching" ] || kill "$fetching" 2>/dev/null; return 1; }
  if [ "$CLUSTER" = embedded ]; then
    wait "$fetching"
    "$top/tests/cluster/tools.sh" "$@" >/dev/null || return 1
    bin=$("$top/tests/cluster/tools.sh" --print)
    PATH=$bin:$PATH
  else
    local tool
    for tool in kubectl helm; do
      command -v "$tool" >/dev/null || { stage_fail "$tool is missing; CLUSTER=current uses the one in PATH"; return 1; }
    done
  fi
}

# stage_load IMAGE.tar…: gives images to the embedded cluster.
stage_load() {
  "$top/tests/cluster/load.sh" "$work/cluster" "$@" >"$work/load.log" 2>&1 || {
    tail -20 "$work/load.log" >&2
    return 1
  }
}

# stage_cluster: a cluster with our images in it; sets KUBECONFIG for the embedded one, and $service_range.
stage_cluster() {
  if [ "$CLUSTER" = embedded ]; then
    OWNER_PID=${OWNER_PID:-$$} "$top/tests/cluster/up.sh" "$work/cluster" || return 1
    export KUBECONFIG=$work/cluster/kubeconfig
    stage_load "$IMAGES/hookswitch.tar" "$IMAGES/sandbox.tar" || return 1
  else
    local context namespace
    # What was there before is not ours to change, and would go with what we remove at the end.
    for namespace in "$telephony_namespace" "$sandbox_namespace" "$release_namespace"; do
      if kubectl get namespace "$namespace" >/dev/null 2>&1; then
        stage_fail "namespace $namespace exists already in your cluster: remove it, or use another cluster"
        return 1
      fi
    done
    stage_made=1
    context=$(kubectl config current-context) || { stage_fail "kubectl has no current context"; return 1; }
    echo "cluster: your context $context"
    case $context in
      kind-*) kind load image-archive --name "${context#kind-}" "$IMAGES/hookswitch.tar" "$IMAGES/sandbox.tar" || return 1 ;;
      minikube) minikube image load "$IMAGES/hookswitch.tar" && minikube image load "$IMAGES/sandbox.tar" || return 1 ;;
      *) echo "cluster: its nodes must be able to pull $IMAGE and $SANDBOX_IMAGE (archives: $IMAGES; other names: IMAGE=… SANDBOX_IMAGE=…)" ;;
    esac
  fi
  local address
  address=$(kubectl get service kubernetes -n default -o jsonpath='{.spec.clusterIP}') || return 1
  case $address in
    *:*) service_range=${ALLOWED_CIDRS:-$address/108} ;;
    *) service_range=${ALLOWED_CIDRS:-${address%.*.*}.0.0/16} ;;
  esac
}

# stage_sandbox: the simulated Okta and providers, with a certificate authority of their own.
stage_sandbox() {
  local certs=$work/certs sandbox=${CARGO_TARGET_DIR:-$top/target}/x86_64-unknown-linux-gnu/$PROFILE/hookswitch-sandbox
  "$sandbox" certs --dir "$certs" --host "okta.$sandbox_namespace.svc" "twilio.$sandbox_namespace.svc" "backup.$sandbox_namespace.svc" "nordic.$sandbox_namespace.svc" "reserve.$sandbox_namespace.svc" "elsewhere.$sandbox_namespace.svc" >/dev/null || return 1
  "$sandbox" certs --dir "$certs" --name gateway --host "otp-gateway.$telephony_namespace.svc" "otp-public.$telephony_namespace.svc" >/dev/null || return 1
  "$sandbox" certs --dir "$certs" --name reserve --host "reserve-gateway.$telephony_namespace.svc" >/dev/null || return 1
  local namespace
  for namespace in "$sandbox_namespace" "$telephony_namespace"; do
    stage_namespace "$namespace" || return 1
  done
  stage_create -n "$sandbox_namespace" create secret generic sandbox-tls --from-file=ca.crt="$certs/ca.crt" \
    --from-file=tls.crt="$certs/tls.crt" --from-file=tls.key="$certs/tls.key" || return 1
  stage_create -n "$telephony_namespace" create configmap sandbox-ca --from-file=ca.crt="$certs/ca.crt" || return 1
  stage_create -n "$telephony_namespace" create secret tls reserve-tls --cert="$certs/reserve.crt" --key="$certs/reserve.key" || return 1
  stage_create -n "$telephony_namespace" create secret tls otp-tls --cert="$certs/gateway.crt" --key="$certs/gateway.key" || return 1
  sed "s|image: hookswitch/sandbox:.*|image: $SANDBOX_IMAGE|" "$top/examples/sandbox/sandbox.yaml" | kubectl apply -f - >/dev/null || return 1
  kubectl -n "$sandbox_namespace" rollout status deployment/sandbox --timeout=120s >/dev/null || {
    kubectl -n "$sandbox_namespace" describe pods >&2
    stage_fail "the sandbox did not start"
  }
}

# stage_install [HELM ARGUMENT…]: the chart (CHART, else the checkout's), watching the namespace of the examples.
stage_install() {
  stage_namespace "$release_namespace" || return 1
  helm upgrade --install hookswitch "${CHART:-$top/charts/hookswitch}" --namespace "$release_namespace" \
    --set "image.repository=${IMAGE%:*}" --set-string "image.tag=${IMAGE##*:}" \
    --set "watchNamespaces={$telephony_namespace}" --set "network.allowedCIDRs={$service_range}" \
    --set installation=sandbox "$@" --wait --timeout 120s >"$work/helm.log" 2>&1 || {
    cat "$work/helm.log" >&2
    kubectl -n "$release_namespace" get pods -o wide >&2
    kubectl -n "$release_namespace" logs -l app.kubernetes.io/name=hookswitch --tail 20 >&2
    stage_fail "the chart was not installed"
  }
}

# sandbox ARGUMENT…: the sandbox's command line, run in its pod.
sandbox() {
  kubectl -n "$sandbox_namespace" exec deployment/sandbox -- /hookswitch-sandbox "$@"
}

# stage_down: everything the stage made.
stage_down() {
  if [ "$CLUSTER" = embedded ]; then
    [ ! -e "$work/cluster" ] || "$top/tests/cluster/down.sh" "$work/cluster"
  elif [ -n "${stage_made:-}" ]; then
    kubectl delete -k "$top/examples/sandbox" --ignore-not-found --wait=false >/dev/null 2>&1 || true
    helm uninstall hookswitch --namespace "$release_namespace" --wait >/dev/null 2>&1 || true
    kubectl delete namespace "$telephony_namespace" "$sandbox_namespace" "$release_namespace" --ignore-not-found --wait=false >/dev/null 2>&1 || true
  fi
}
