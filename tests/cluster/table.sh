#!/usr/bin/env bash
# Measures switches on the test cluster and prints the table of docs/reference/defaults-and-timing.md. Run it by `make failover-table`, which builds what is shipped.
# The scenarios that measure one say that the standby is active.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

rows=$("$here/suite.sh" switch "the standby is active" | tee /dev/stderr | sed -n 's/^switch: TABLE //p')
echo "| fault | aim | outage → decided | outage → standby active | decided → confirmed | no active hook for | calls to Okta |"
echo "| --- | --- | --- | --- | --- | --- | --- |"
printf '%s\n' "$rows"
