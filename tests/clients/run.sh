#!/usr/bin/env bash
# Lets Okta's own clients, in pinned versions, manage a hook of the sandbox's org. Needs Go, Node, Python and their registries,
# and 127.0.0.1:443 (the Go client drops the port of the org's address). No part of the suite: it tells whether the sandbox is
# still what those clients expect.
set -euo pipefail
cd "$(dirname "$0")"
here=$PWD root=$(git rev-parse --show-toplevel)
work=${CARGO_TARGET_DIR:-$root/target}/foreign-clients
mkdir -p "$work"
(cd "$root" && cargo build --quiet --locked --bin hookswitch-sandbox)
export ORG=https://localhost TOKEN=token-of-the-org CA=$work/tls/ca.crt
"${CARGO_TARGET_DIR:-$root/target}/debug/hookswitch-sandbox" serve --org "acme:$TOKEN" --okta-listen 127.0.0.1:443 \
  --org-url "acme=$ORG" --control-listen 127.0.0.1:0 --tls-dir "$work/tls" >"$work/sandbox.log" 2>&1 &
sandbox=$!
trap 'kill $sandbox 2>/dev/null' EXIT
for _ in {1..100}; do
  curl --silent --fail --output /dev/null --cacert "$CA" "$ORG/.well-known/okta-organization" && break
  kill -0 $sandbox 2>/dev/null || { cat "$work/sandbox.log" >&2; echo "the sandbox did not start: is port 443 of loopback free?" >&2; exit 1; }
  sleep 0.1
done
unset HTTP_PROXY HTTPS_PROXY http_proxy https_proxy

echo "Go: okta-sdk-golang v5.0.2"
(cd "$here" && GOFLAGS=-mod=readonly go build -o "$work/client-go" . && "$work/client-go")

echo "Node: @okta/okta-sdk-nodejs 8.1.0"
npm install --silent --no-audit --no-fund --prefix "$work/node" @okta/okta-sdk-nodejs@8.1.0
NODE_PATH=$work/node/node_modules NODE_EXTRA_CA_CERTS=$CA node client.js

echo "Python: okta 3.4.6"
[ -x "$work/python/bin/python" ] || python3 -m venv "$work/python"
"$work/python/bin/pip" --quiet install okta==3.4.6
SSL_CERT_FILE=$CA "$work/python/bin/python" client.py
echo "all of them created, listed, read, replaced, deactivated, activated and deleted a hook, and read the System Log"
