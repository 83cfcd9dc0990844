# Building programs from pinned Go modules into the cache; sourced by tools.sh and promtool.sh, never run.
# A program is stored once, under a key of what it is made from, and linked into the folders of those that use it.
# shellcheck shell=bash

modules=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/go
cache=${HOOKSWITCH_CACHE:-$HOME/.cache/hookswitch}
elsewhere=${elsewhere:-}

say() { printf '%s\n' "$*" >&2; }
die() {
  say "${0##*/}: $*"
  [ -z "$elsewhere" ] || say "$elsewhere"
  exit 1
}

command -v go >/dev/null || die "go is missing (1.26 or newer): programs are built from their Go modules"
go_version=$(GOTOOLCHAIN=local go env GOVERSION)
case $go_version in
  go1.2[0-5]* | go1.1* | go1.[0-9].*) die "go is $go_version; 1.26 or newer is needed" ;;
esac

# What a program is made from: its module's files, its flags, the compiler.
program_key() { # folder package linker-flags [tags]
  {
    printf '%s\n' "$go_version" "$2" "$3" ${4:+"$4"}
    cat "$modules/$1/go.mod"
    [ ! -f "$modules/$1/go.sum" ] || cat "$modules/$1/go.sum"
    case $2 in ./*) cat "$modules/$1/$2"/*.go ;; esac
  } | sha256sum | cut -c1-16
}

# Only one run at a time changes the cache; what it starts does not hold the lock.
lock_cache() {
  mkdir -p "$cache/programs"
  exec 9>"$cache/.lock"
  flock -n 9 && return
  say "tools: another run is filling $cache; waiting for it"
  flock 9
}

# Where a program is stored, built or not.
stored_program() { # name folder package linker-flags [tags]
  printf '%s/programs/%s-%s\n' "$cache" "$1" "$(program_key "${@:2}")"
}

build_program() { # name folder package linker-flags [tags]
  local stored
  stored=$(stored_program "$@")
  rm -f "$stored".tmp.*
  (cd "$modules/$2" && GOWORK=off GOFLAGS='-mod=readonly -buildvcs=false' GOTOOLCHAIN=local CGO_ENABLED=0 \
    go build -trimpath ${5:+-tags "$5"} -ldflags "-s -w $4" -o "$stored.tmp.$$" "$3" 2> >(grep -v '^go: downloading' >&2)) 9>&- ||
    die "$1 could not be built from go/$2: see above. The modules come through GOPROXY ($(go env GOPROXY))"
  mv "$stored.tmp.$$" "$stored"
}

link_program() { # stored destination
  ln -f "$1" "$2" 2>/dev/null || { cp "$1" "$2.tmp" && mv "$2.tmp" "$2"; }
}

# What no checkout has asked for in two weeks goes; programs go with the last folder that holds them.
prune_cache() {
  find "$cache" -mindepth 1 -maxdepth 1 -type d \( -name 'k[0-9]*' -o -name 'promtool-*' -o -name 'previous-*' \) -mtime +14 -exec rm -rf {} +
  find "$cache/programs" -type f -links 1 -delete
}
