#!/usr/bin/env bash
# pki.sh FOLDER: a certificate authority, certificates and kubeconfigs for one run of the cluster (ECDSA P-256, a day).
# kubeconfigs reach the API server at 127.0.0.1:6443 inside the cluster's namespaces; up.sh makes the outer one of
# admin.kubeconfig.
set -euo pipefail
# shellcheck source=layout.sh
. "$(dirname "${BASH_SOURCE[0]}")/layout.sh"
[ $# = 1 ] || die "usage: pki.sh FOLDER"
mkdir -m 700 "$1"
cd "$1"
umask 077

quiet() {
  local said
  said=$("$@" 2>&1) || die "$* failed: $said"
}
key() { quiet openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }
authority() {
  key "$1"
  quiet openssl req -x509 -new -key "$1.key" -subj "/CN=$1" -days 2 -out "$1.crt" -addext keyUsage=critical,keyCertSign,cRLSign
}
# certificate NAME AUTHORITY SUBJECT EXTENDED-KEY-USAGE [ALTERNATIVE-NAMES]
certificate() {
  key "$1"
  quiet openssl req -new -key "$1.key" -subj "$3" -out "$1.csr"
  {
    printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=%s\n' "$4"
    [ -z "${5:-}" ] || printf 'subjectAltName=%s\n' "$5"
  } >"$1.ext"
  quiet openssl x509 -req -in "$1.csr" -CA "$2.crt" -CAkey "$2.key" -CAcreateserial -days 2 -extfile "$1.ext" -out "$1.crt"
  rm "$1.csr" "$1.ext"
}
kubeconfig() { # NAME SUBJECT
  certificate "$1" ca "$2" clientAuth
  cat >"$1.kubeconfig" <<T
apiVersion: v1
kind: Config
clusters: [{name: hookswitch-test, cluster: {server: "https://127.0.0.1:6443", certificate-authority-data: $(base64 -w0 <ca.crt)}}]
users: [{name: $1, user: {client-certificate-data: $(base64 -w0 <"$1.crt"), client-key-data: $(base64 -w0 <"$1.key")}}]
contexts: [{name: hookswitch-test, context: {cluster: hookswitch-test, user: $1}}]
current-context: hookswitch-test
T
}

authority ca
authority front-proxy-ca
key sa
quiet openssl ec -in sa.key -pubout -out sa.pub
certificate apiserver ca /CN=kube-apiserver serverAuth \
  "IP:127.0.0.1,IP:$node_ip,IP:10.96.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"
certificate kubelet-server ca "/O=system:nodes/CN=system:node:$node_name" serverAuth "IP:$node_ip,IP:127.0.0.1,DNS:$node_name"

certificate apiserver-kubelet-client ca /O=system:masters/CN=kube-apiserver-kubelet-client clientAuth
certificate front-proxy-client front-proxy-ca /CN=front-proxy-client clientAuth
kubeconfig admin /O=system:masters/CN=admin
kubeconfig kube-controller-manager /CN=system:kube-controller-manager
kubeconfig kube-scheduler /CN=system:kube-scheduler
kubeconfig kubelet "/O=system:nodes/CN=system:node:$node_name"
kubeconfig kube-proxy /CN=system:kube-proxy
# system:kube-proxy may list Services and EndpointSlices, which is all that clusterdns reads.
cp kube-proxy.kubeconfig clusterdns.kubeconfig
