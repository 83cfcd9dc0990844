#!/usr/bin/env bash
# The cluster suite: brings up stages like the demo's and runs the scenarios of tests/cluster/suite against them, each lane of
# them on a stage of its own and all lanes at once.
#   suite.sh [LANE [FILTER]]   only that lane (gateway, changes, okta, switch, interruptions or upgrade); of it only scenarios whose
#                              sentence has FILTER
# Without a lane all are run; upgrade, which needs a second image, with HOOKSWITCH_TESTS=full alone.
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
say() { printf '%4ds %s\n' $((SECONDS - begun)) "$1"; }
leave() {
  local code=$?
  trap '' INT TERM HUP
  # whoever is told to end takes its stage down first; a wait that a signal came into ends early
  jobs -p | xargs -r kill 2>/dev/null
  while [ -n "$(jobs -pr)" ]; do wait; done
  rm -rf "$work"
  exit "$code"
}
leave_by leave

# lane NAME [FILTER]: the scenarios of a lane on a stage of their own. For the background alone, where traps and names are its
# own.
lane() {
  work=$work/$1
  mkdir "$work" || exit 1
  trap 'trap "" TERM; jobs -p | xargs -r kill 2>/dev/null; stage_down' EXIT
  trap 'exit 143' TERM
  say "starting the cluster"
  stage_cluster || exit 1
  stage_sandbox || exit 1
  if [ "$1" = upgrade ]; then
    say "installing the release before"
    stage_load "$previous/hookswitch.tar" || exit 1
    IMAGE=$(cat "$previous/image") CHART=$previous/chart stage_install || exit 1
  else
    say "installing the chart"
    # trace, so that the search for leaks has everything to search that could ever be written
    stage_install --set logLevel=trace || exit 1
  fi
  say "running the scenarios"
  # a shell that waits can be told to end, one that runs a program cannot
  HOOKSWITCH_SUITE=$work HOOKSWITCH_SCRIPTS=$top/tests/cluster HOOKSWITCH_PREVIOUS=$previous "$suite" "$@" &
  wait $!
}

if [ $# -gt 0 ]; then lanes=("$1"); else lanes=(gateway changes okta switch interruptions); fi
[ $# -gt 0 ] || [ "${HOOKSWITCH_TESTS:-}" != full ] || lanes+=(upgrade)
previous=
for name in "${lanes[@]}"; do
  [ "$name" = upgrade ] || continue
  say "building the release before, where it is not cached"
  # before the images, whose build puts this checkout's programs where the other's were
  previous=$(make -s -C "$top" previous) || exit 1
done
say "building images and, where they are not cached, the cluster's programs"
stage_tools || exit 1
say "building the suite"
suite=$(cargo test --locked --quiet --test cluster --no-run --message-format=json |
  sed -n 's/.*"name":"cluster".*"executable":"\([^"]*\)".*/\1/p')
[ -x "$suite" ] || exit 1

running=()
for name in "${lanes[@]}"; do
  lane "$name" "${@:2}" > >(sed -u "s/^/$name: /") 2>&1 &
  running+=($!)
done
failed=0
for one in "${running[@]}"; do
  wait "$one" || failed=1
done
exit $failed
