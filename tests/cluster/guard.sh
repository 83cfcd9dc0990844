#!/usr/bin/env bash
# guard.sh RUN_DIR: takes the cluster down when the process that wants it has ended, however it ended. The process id
# stands in RUN_DIR/state/owner, with its start time, so that a later process with the same id is not taken for it;
# an empty file means that nobody is waited for, and the guard ends.
set -euo pipefail
# shellcheck source=layout.sh
. "$(dirname "${BASH_SOURCE[0]}")/layout.sh"
use_run "${1:-}"
while :; do
  [ -f "$run/state/owner" ] || exit 0
  read -r pid started <"$run/state/owner" || exit 0
  [ -n "$pid" ] || exit 0
  if [ "$(process_start "$pid")" != "$started" ]; then
    # it may have named another owner between the look at the file and its own end
    read -r named <"$run/state/owner" || exit 0
    [ "$named" != "$pid $started" ] || break
    continue
  fi
  sleep 0.5
done
exec "$here/down.sh" "$run"
