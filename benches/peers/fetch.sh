#!/usr/bin/env bash
# Fetches what the gateway is measured beside, and prints where it is: the path of nginx, then the folder of the Express server.
# nginx is the machine's, or else Debian's package, unpacked into ${HOOKSWITCH_CACHE:-$HOME/.cache/hookswitch}; Express and
# what it needs come from the npm registry, in the versions of express/package-lock.json. Nothing is installed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${HOOKSWITCH_CACHE:-$HOME/.cache/hookswitch}
die() { printf 'fetch.sh: %s\n' "$*" >&2; exit 1; }

if ! nginx=$(command -v nginx); then
  command -v apt-get >/dev/null && command -v dpkg >/dev/null ||
    die "nginx is missing, and without apt-get it cannot be downloaded: install it"
  version=$(apt-cache policy nginx 2>/dev/null | awk '$1 == "Candidate:" {print $2}')
  if [ -z "$version" ] || [ "$version" = "(none)" ]; then
    die "the package lists know no nginx: run apt-get update, or install nginx"
  fi
  stored=$cache/nginx-${version//[^A-Za-z0-9.+-]/_}
  nginx=$stored/usr/sbin/nginx
  if [ ! -x "$nginx" ]; then
    rm -rf "$stored.tmp"
    mkdir -p "$stored.tmp/deb"
    (cd "$stored.tmp/deb" && apt-get download -qq -o APT::Sandbox::User=root "nginx=$version" >&2) ||
      die "nginx $version could not be downloaded: run apt-get update, or install nginx"
    dpkg -x "$stored.tmp"/deb/*.deb "$stored.tmp"
    rm -rf "$stored.tmp/deb" "$stored"
    mv "$stored.tmp" "$stored"
  fi
fi
"$nginx" -v 2>/dev/null || die "$nginx does not run here: install nginx"

command -v node >/dev/null && command -v npm >/dev/null || die "node and npm are missing; they are needed for Express"
key=$(cat "$here"/express/package.json "$here"/express/package-lock.json | sha256sum | cut -c1-12)
express=$cache/express-$key
if [ ! -d "$express/node_modules" ]; then
  rm -rf "$express.tmp"
  mkdir -p "$express.tmp"
  cp "$here"/express/package.json "$here"/express/package-lock.json "$express.tmp"
  (cd "$express.tmp" && npm ci --silent --no-audit --no-fund --ignore-scripts >&2) ||
    die "Express could not be fetched: see above"
  rm -rf "$express"
  mv "$express.tmp" "$express"
fi
printf '%s\n%s\n' "$nginx" "$express"
