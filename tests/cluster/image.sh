#!/usr/bin/env bash
# image.sh OUT.tar REF ENTRYPOINT-JSON SOURCE=DEST…
# Makes a container image (docker-archive, one layer) without a container engine. SOURCE is a file, a folder, or
# `link:TARGET` for a symbolic link. The image runs as 65532:65532 in /, has a /tmp anybody may write, and with
# CA_BUNDLE=FILE the certificates of that file where Go, OpenSSL and rustls look for them. The same input gives the same
# image id. It is for linux on ARCH (amd64). Prints the reference, the image id and the bytes.
set -euo pipefail
if [ $# -lt 4 ]; then
  sed -n '2,6s/^# //p' "$0" >&2
  exit 2
fi
out=$1 ref=$2 entrypoint=$3
shift 3
case $entrypoint in '['*']') ;; *) echo "image.sh: ENTRYPOINT must be a JSON list: $entrypoint" >&2; exit 2 ;; esac
case $ref in *[!A-Za-z0-9._/:@-]* | '') echo "image.sh: bad reference: $ref" >&2; exit 2 ;; esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/root/tmp" "$work/image"

place() { # source dest
  local dest=$work/root/${2#/}
  mkdir -p "$(dirname "$dest")"
  case $1 in
    link:*) ln -s "${1#link:}" "$dest" ;;
    *) cp -rL --no-preserve=ownership,timestamps "$1" "$dest" ;;
  esac
}
for pair in "$@"; do
  case $pair in ?*=?*) ;; *) echo "image.sh: not SOURCE=DEST: $pair" >&2; exit 2 ;; esac
  place "${pair%=*}" "${pair##*=}"
done
[ -z "${CA_BUNDLE:-}" ] || place "$CA_BUNDLE" /etc/ssl/certs/ca-certificates.crt
find "$work/root" -type d -exec chmod 755 {} +
find "$work/root" -type f -perm /111 -exec chmod 755 {} +
find "$work/root" -type f ! -perm /111 -exec chmod 644 {} +
chmod 1777 "$work/root/tmp"

pack() { tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 --format=ustar -C "$1" -cf "$2" "${@:3}"; }
(cd "$work/root" && find . -mindepth 1 -maxdepth 1 -printf '%P\n') | sort >"$work/entries"
mapfile -t entries <"$work/entries"
pack "$work/root" "$work/layer.tar" "${entries[@]}"
layer=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
printf '{"architecture":"%s","os":"linux","created":"1970-01-01T00:00:00Z","config":{"Entrypoint":%s,"Env":["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],"WorkingDir":"/","User":"65532:65532"},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{"created":"1970-01-01T00:00:00Z"}]}' \
  "${ARCH:-amd64}" "$entrypoint" "$layer" >"$work/config"
config=$(sha256sum "$work/config" | cut -d' ' -f1)
mkdir "$work/image/$layer"
mv "$work/layer.tar" "$work/image/$layer/layer.tar"
mv "$work/config" "$work/image/$config.json"
printf '[{"Config":"%s.json","RepoTags":["%s"],"Layers":["%s/layer.tar"]}]' "$config" "$ref" "$layer" >"$work/image/manifest.json"
pack "$work/image" "$out.tmp.$$" "$config.json" "$layer" manifest.json
mv "$out.tmp.$$" "$out"
printf '%s sha256:%s %s\n' "$ref" "$config" "$(stat -c %s "$out")"
