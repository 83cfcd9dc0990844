#!/usr/bin/env bash
# Runs the property tests and the sampled matrices with seeds drawn at random, and names each seed that fails.
# A seed that fails becomes a case of its own in the test that it failed in.
#   ROUNDS=10     how many seeds
#   SEED=…        one seed, to repeat its run
#   SAMPLE=12000  combinations of each matrix
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
rounds=${ROUNDS:-10}
[ -z "${SEED:-}" ] || rounds=1
export HOOKSWITCH_SAMPLE=${SAMPLE:-12000}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# the crates' own tests, the requests of providers, and the gateway with its failover matrix
tests=(--lib --test requests --test gateway)
cargo test --locked --profile full "${tests[@]}" --no-run || exit 1
failed=()
for ((round = 1; round <= rounds; round++)); do
  seed=${SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
  begun=$SECONDS
  if PROPTEST_RNG_SEED=$seed HOOKSWITCH_SEED=$seed cargo test --locked --profile full "${tests[@]}" --quiet >"$log" 2>&1; then
    word=passed
  else
    word=FAILED
    failed+=("$seed")
    cat "$log"
  fi
  printf 'round %d of %d: seed %s %s in %ss\n' "$round" "$rounds" "$seed" "$word" $((SECONDS - begun))
done
printf '%d passed, %d failed\n' $((rounds - ${#failed[@]})) "${#failed[@]}"
for seed in "${failed[@]}"; do printf 'to repeat it: SEED=%s SAMPLE=%s make explore\n' "$seed" "$HOOKSWITCH_SAMPLE"; done
[ ${#failed[@]} = 0 ]
