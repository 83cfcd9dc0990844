#!/usr/bin/env bash
# Runs the project's tests, all of them or the parts named: format, lint, unit, chart, cluster.
# A part that cannot run fails and says what is missing; nothing is skipped.
# The commit that everything passed for is written to ${HOOKSWITCH_CACHE:-$HOME/.cache/hookswitch}/green.
#   HOOKSWITCH_TESTS=full      whole matrices and fuzz runs instead of seeded samples, and an hour's soak, beside the rest
#   HOOKSWITCH_SOAK_SECONDS=N  a soak of another length
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target} CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}

need() { # program what-for
  command -v "$1" >/dev/null || { echo "tests: $1 is missing; it is needed for $2" >&2; return 1; }
}

format() { cargo fmt --all --check; }
lint() {
  cargo clippy --locked --all-targets --quiet -- -D warnings || return
  # the cluster suite is no test that `cargo test` may run, so it is in none of all targets; here it is found out that it compiles
  cargo check --locked --test cluster --quiet
}
unit() {
  if [ "${HOOKSWITCH_TESTS:-}" != full ]; then cargo test --locked --quiet; return; fi
  cargo test --locked --profile full --no-run || return
  begin_soak
  cargo test --locked --profile full -- --skip "$SOAK"
}

# The soak takes an hour of the clock and little of the machine: it runs beside everything else and is waited for at the end.
SOAK=mixed_traffic_with_faults_leaves_memory_flat
soak=
begin_soak() {
  soak_log=$(mktemp)
  set -m # a process group of its own, so that all of it can be stopped
  cargo test --locked --profile full --test endurance "$SOAK" >"$soak_log" 2>&1 &
  soak=$!
  set +m
}
end_soak() {
  wait "$soak"
  local code=$?
  soak=
  cat "$soak_log"
  rm -f "$soak_log"
  return $code
}
stop_soak() {
  [ -z "$soak" ] || { kill -- "-$soak" && rm -f "$soak_log"; }
}
trap stop_soak EXIT # also when it is interrupted

chart() { tests/chart/check.sh; }
cluster() {
  if [ "${HOOKSWITCH_TESTS:-}" = full ]; then local -x PROFILE=release; fi # what is shipped
  tests/cluster/suite.sh
}

need cargo "everything" || exit 1
need make "building the images" || exit 1

# Notes the commit for which everything passed, when it is one: a changed checkout is no commit.
note() {
  local cache=${HOOKSWITCH_CACHE:-$HOME/.cache/hookswitch}
  [ "$commit_before" = "$(commit)" ] && [ -n "$commit_before" ] || return 0
  mkdir -p "$cache" && printf '%s\n' "$commit_before" >"$cache/green"
}
commit() { # the checked-out commit; nothing when files differ from it
  [ -n "$(git status --porcelain 2>&1)" ] || git rev-parse HEAD
}

whole=(format lint unit chart cluster)
parts=("$@")
[ $# -gt 0 ] || parts=("${whole[@]}")
commit_before=$(commit)
total=$SECONDS
passed=0
failed=()
summary=()
for part in "${parts[@]}"; do
  case $part in format | lint | unit | chart | cluster) ;; *) echo "tests: no such part: $part" >&2; exit 2 ;; esac
  printf '\n=== %s\n' "$part"
  begun=$SECONDS
  if "$part"; then passed=$((passed + 1)) word=passed; else failed+=("$part") word=FAILED; fi
  summary+=("$(printf '%-8s %s in %ss' "$part" "$word" $((SECONDS - begun)))")
  printf '=== %s %s in %ss\n' "$part" "$word" $((SECONDS - begun))
done
if [ -n "$soak" ]; then
  printf '\n=== soak, of unit\n'
  begun=$SECONDS
  if end_soak; then
    word=passed
  else
    word=FAILED
    [[ " ${failed[*]} " = *' unit '* ]] || { failed+=(unit) passed=$((passed - 1)); }
  fi
  summary+=("$(printf '%-8s %s, waited for %ss' soak "$word" $((SECONDS - begun)))")
fi

printf '\n'
printf '%s\n' "${summary[@]}"
printf 'all parts in %ss\n' $((SECONDS - total))
printf '%d passed, %d failed\n' "$passed" "${#failed[@]}"
[ ${#failed[@]} = 0 ] || exit 1
[ "${parts[*]}" != "${whole[*]}" ] || note || echo "tests: the commit that passed could not be noted" >&2
exit 0
