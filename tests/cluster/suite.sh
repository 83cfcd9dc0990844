#!/usr/bin/env bash
# The cluster suite: brings up the stage of the demo and runs the scenarios of tests/cluster/suite against it.
#   suite.sh [FILTER]   only scenarios whose name has FILTER
set -uo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$top" || exit 1
if [ -z "${IMAGE:-}" ] || [ -z "${SANDBOX_IMAGE:-}" ] || [ -z "${IMAGES:-}" ]; then
  echo "cluster: run make test, or tests/run.sh by way of make check, so that the names of the images are set" >&2
  exit 1
fi
CLUSTER=embedded
work=$(mktemp -d "${TMPDIR:-/tmp}/hookswitch-suite.XXXXXX")
# shellcheck source=demo/stage.sh
. demo/stage.sh

begun=$SECONDS
say() { printf 'cluster: %4ds %s\n' $((SECONDS - begun)) "$1"; }
leave() {
  local code=$?
  trap '' INT TERM HUP
  stage_down
  rm -rf "$work"
  exit "$code"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

say "building images and, where they are not cached, the cluster's programs"
stage_tools || exit 1
say "building the suite"
cargo test --locked --quiet --test cluster --no-run || exit 1
say "starting the cluster"
stage_cluster || exit 1
stage_sandbox || exit 1
say "installing the chart"
# trace, so that the search for leaks has everything to search that could ever be written
stage_install --set logLevel=trace || exit 1
say "running the scenarios"
HOOKSWITCH_SUITE=$work HOOKSWITCH_SCRIPTS=$top/tests/cluster cargo test --locked --quiet --test cluster -- "$@"
