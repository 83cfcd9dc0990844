#!/usr/bin/env bash
# Makes promtool, which judges the chart's alerts, in a folder of the cache that the test cluster's programs do not depend on:
#   ${HOOKSWITCH_CACHE:-$HOME/.cache/hookswitch}/promtool-<key>
# Built from Prometheus' Go module, pinned in go/promtool, without the service discoveries. Prints the folder.
set -euo pipefail
# shellcheck source=programs.sh
. "$(dirname "${BASH_SOURCE[0]}")/programs.sh"
[ $# = 0 ] || die "usage: promtool.sh"
program=(promtool promtool github.com/prometheus/prometheus/cmd/promtool "" remove_all_sd)
stored=$(stored_program "${program[@]}")
folder=$cache/${stored##*/}

if [ ! -x "$folder/promtool" ]; then
  lock_cache
  if [ ! -x "$stored" ]; then
    say "tools: promtool: building (2 to 4 minutes on two cores, once)"
    begun=$SECONDS
    build_program "${program[@]}"
    say "tools: promtool: built in $((SECONDS - begun)) s"
  fi
  mkdir -p "$folder"
  link_program "$stored" "$folder/promtool"
fi
touch "$folder"
printf '%s\n' "$folder"
