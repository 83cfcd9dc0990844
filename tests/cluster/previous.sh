#!/usr/bin/env bash
# previous.sh: builds the release before this one, from the commit that tests/cluster/previous names, and prints the folder that
# holds it: hookswitch.tar and the reference of that image (image), chart, crds and examples. It is built once, into
# ${HOOKSWITCH_CACHE:-$HOME/.cache/hookswitch}/previous-<commit>-<processor>.
#
# `make previous` runs it and says how programs are built: TRIPLE, RUSTFLAGS, CARGO_TARGET_DIR. Dependencies that are compiled
# already, for the stage profile of this checkout, are used as far as both releases have them in common.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
die() {
  echo "previous: $*" >&2
  exit 1
}
: "${TRIPLE:?run make previous}" "${RUSTFLAGS:?run make previous}" "${CARGO_TARGET_DIR:?run make previous}"

commit=$(grep -v '^#' "$here/previous")
[[ $commit =~ ^[0-9a-f]{40}$ ]] || die "$here/previous must hold one full commit id, not: $commit"
cache=${HOOKSWITCH_CACHE:-$HOME/.cache/hookswitch}
folder=$cache/previous-$commit-${TRIPLE%%-*}
mkdir -p "$cache"
# one build at a time; who waited finds it done
exec 9>"$cache/.previous.lock"
flock 9
if [ -e "$folder" ]; then
  touch "$folder" # what is not asked for goes: see programs.sh
  echo "$folder"
  exit
fi
git -C "$top" rev-parse --git-dir >/dev/null 2>&1 || die "$top is no clone, so the release before cannot be taken from its history"
git -C "$top" cat-file -e "$commit^{commit}" 2>/dev/null ||
  die "commit $commit is not in this clone. A shallow one is completed by: git fetch --unshallow"

begun=$SECONDS
work=$(mktemp -d "$cache/previous.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/source" "$work/release"
git -C "$top" archive "$commit" | tar -x -C "$work/source"
# The profiles of this checkout, with which what both have in common is compiled already.
awk '/^\[/ { of_profile = /^\[profile\./ } of_profile' "$top/Cargo.toml" >"$work/profiles.toml"
echo "previous: building the release before, commit ${commit:0:12}" >&2
(cd "$work/source" && cargo build --config "$work/profiles.toml" --profile stage --locked --target "$TRIPLE" \
  --bin hookswitch) 9>&- >"$work/build.log" 2>&1 || {
  tail -40 "$work/build.log" >&2
  die "the release before was not built"
}
built=$CARGO_TARGET_DIR/$TRIPLE/stage/hookswitch
cp "$built" "$work/hookswitch"
rm "$built" # else it would be taken for this checkout's; whose next build puts its own there

image=hookswitch/hookswitch:previous-${commit:0:12}
"$here/image.sh" "$work/release/hookswitch.tar" "$image" '["/hookswitch"]' "$work/hookswitch=/hookswitch" >&2
printf '%s\n' "$image" >"$work/release/image"
mv "$work/source/charts/hookswitch" "$work/release/chart"
mv "$work/source/crds" "$work/source/examples" "$work/release"
mv "$work/release" "$folder"
echo "previous: built in $((SECONDS - begun)) s, $(grep -c ' Compiling ' "$work/build.log") crates" >&2
echo "$folder"
