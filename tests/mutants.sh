#!/usr/bin/env bash
# Makes small wrong edits, one at a time, and lists those that no unit test notices. Some hours on two cores for all of them.
#   FILES=crates/okta/src/run.rs   only these files (a glob)
#   SHARD=0/10              only the first of ten parts
#   IN_PLACE=1              edits this checkout instead of a copy of it, and builds only what changed since the last build
# The program that does it is built into the cache first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=27.1.0
cache=${HOOKSWITCH_CACHE:-$HOME/.cache/hookswitch}
tool=$cache/cargo-mutants-$version
[ -x "$tool/bin/cargo-mutants" ] ||
  env -u CARGO_TARGET_DIR cargo install --locked --quiet --root "$tool" cargo-mutants --version "$version"

args=(--workspace --baseline=skip --timeout=300 --output "${OUTPUT:-$PWD/target}")
if [ -n "${FILES:-}" ]; then
  # what the configuration names would be made, too
  config=$(mktemp)
  trap 'rm -f "$config"' EXIT
  { printf 'examine_globs = ["%s"]\n' "$FILES"; sed '/^examine_globs = \[/,/^\]/d' .cargo/mutants.toml; } >"$config"
  args+=(--config "$config")
fi
[ -z "${SHARD:-}" ] || args+=(--shard "$SHARD" --sharding=round-robin)
if [ -z "$(PATH=$tool/bin:$PATH cargo mutants --list "${args[@]}" 2>/dev/null)" ]; then
  echo "mutants: no edit is known of ${FILES:-these files}; FILES is a path as git shows it" >&2
  exit 1
fi
# The first test that fails has noticed the edit; only the test binaries are told that they may stop there.
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="env RUSTC_BOOTSTRAP=1"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=$CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER
# Debug information is of no use here and takes a third of the time; fewer cases find most of what more would.
export CARGO_PROFILE_DEV_DEBUG=0 PROPTEST_CASES=${PROPTEST_CASES:-400}
status=0
unset=(-u CARGO_TARGET_DIR)
[ -z "${IN_PLACE:-}" ] || { args+=(--in-place) unset=(); }
PATH=$tool/bin:$PATH env "${unset[@]}" cargo mutants "${args[@]}" || status=$?
# 2: some edits were not noticed; they are listed above and in mutants.out/missed.txt
[ "$status" = 0 ] || [ "$status" = 2 ] || [ "$status" = 3 ]
