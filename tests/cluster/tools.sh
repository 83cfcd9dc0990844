#!/usr/bin/env bash
# Makes every program the test cluster runs, and puts it in one folder outside the checkout:
#   ${HOOKSWITCH_CACHE:-$HOME/.cache/hookswitch}/<key>/bin
# Kubernetes, etcd, helm and kubeconform are built from their Go modules (versions and hashes in go/*/go.mod and go.sum);
# containerd, runc, the CNI plugins and nft are the machine's, or else are downloaded as Debian packages and unpacked
# into the cache: nothing is installed on the machine. An interrupted run goes on with the program it was at.
# The last line printed is the folder. `tools.sh --print` prints it alone, without making anything; `tools.sh --cluster` makes
# what a cluster needs to run, and not what only tests use; `tools.sh --fetch` downloads the modules of what is to be built.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
elsewhere="To use a cluster of your own instead: CLUSTER=current make demo"
# shellcheck source=programs.sh
. "$here/programs.sh"

kubernetes_version=1.35.4
version_flags="-X k8s.io/component-base/version.gitVersion=v$kubernetes_version -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=35 -X k8s.io/client-go/pkg/version.gitVersion=v$kubernetes_version"

# name | module folder below go/ | package | extra linker flags. Those that everything waits for come first.
programs() {
  cat <<T
nsfwd|own|./nsfwd|
pause|own|./pause|
netcheck|own|./netcheck|
etcd|etcd|go.etcd.io/etcd/server/v3|
kube-apiserver|kubernetes|k8s.io/kubernetes/cmd/kube-apiserver|$version_flags
kube-controller-manager|kubernetes|k8s.io/kubernetes/cmd/kube-controller-manager|$version_flags
kube-scheduler|kubernetes|k8s.io/kubernetes/cmd/kube-scheduler|$version_flags
kubelet|kubernetes|k8s.io/kubernetes/cmd/kubelet|$version_flags
kube-proxy|kubernetes|k8s.io/kubernetes/cmd/kube-proxy|$version_flags
kubectl|kubernetes|k8s.io/kubernetes/cmd/kubectl|$version_flags
clusterdns|kubernetes|./clusterdns|
helm|clients|helm.sh/helm/v3/cmd/helm|
kstatus|clients|./kstatus|
schemas|clients|./schemas|
kubeconform|kubeconform|github.com/yannh/kubeconform/cmd/kubeconform|
T
}

# command or file looked for | Debian package that has it
debian_needs() {
  cat <<T
containerd|containerd
containerd-shim-runc-v2|containerd
ctr|containerd
runc|runc
nft|nftables
ip|iproute2
openssl|openssl
nsenter|util-linux
unshare|util-linux
mount|mount
flock|util-linux
sysctl|procps
tar|tar
T
}

[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || die "the embedded cluster runs on Linux on amd64 only; this is $(uname -sm)"

# What only tests use.
for_tests() { case $1 in netcheck | kstatus | schemas | kubeconform) ;; *) return 1 ;; esac; }

keys=
while IFS='|' read -r name folder package flags; do
  keys+="$name $(program_key "$folder" "$package" "$flags")"$'\n'
done < <(programs)
key=k$kubernetes_version-$(printf '%s%s' "$keys" "$(debian_needs)" | sha256sum | cut -c1-12)
bin=$cache/$key/bin
debian=$cache/$key/debian

if [ "${1:-}" = --print ]; then
  printf '%s\n' "$bin"
  exit 0
fi
only=${1:-}
if [ $# -gt 1 ] || [[ ! $only =~ ^(--cluster|--fetch)?$ ]]; then die "usage: tools.sh [--print | --cluster | --fetch]"; fi

# Downloads what building will need, which takes the network and hardly a processor; a failure is told when it is built.
if [ "$only" = --fetch ]; then
  while IFS='|' read -r name folder package flags; do
    [ -x "$(stored_program "$name" "$folder" "$package" "$flags")" ] ||
      (cd "$modules/$folder" && GOWORK=off GOFLAGS='-mod=readonly' GOTOOLCHAIN=local go list -deps "$package" >/dev/null 2>&1) || true
  done < <(programs)
  exit 0
fi

mkdir -p "$bin"
lock_cache

started=$SECONDS
clock() { printf '%4ds' $((SECONDS - started)); }

wanted() {
  while IFS='|' read -r name rest; do
    if [ "$only" = --cluster ] && for_tests "$name"; then continue; fi
    printf '%s|%s\n' "$name" "$rest"
  done < <(programs)
}
total=$(wanted | wc -l)
done_so_far=0
built=0
while IFS='|' read -r name folder package flags; do
  done_so_far=$((done_so_far + 1))
  [ -x "$bin/$name" ] && continue
  stored=$(stored_program "$name" "$folder" "$package" "$flags")
  if [ ! -x "$stored" ]; then
    if [ $built = 0 ]; then
      say "tools: building the test cluster's programs into $bin (6 to 15 minutes on two cores, once)"
      free=$(df --output=avail -BM "$cache" | tail -1 | tr -dc 0-9)
      [ "$free" -ge 3000 ] || die "$cache has $free MB free; building takes 3,000 MB there and in Go's own caches"
    fi
    built=$((built + 1))
    say "tools: $(clock) [$done_so_far/$total] $name: building ($package)"
    begun=$SECONDS
    build_program "$name" "$folder" "$package" "$flags"
    say "tools: $(clock) [$done_so_far/$total] $name: built in $((SECONDS - begun)) s"
  fi
  link_program "$stored" "$bin/$name"
done < <(wanted)

# Looked up as up.sh will: the unpacked packages, then the machine.
have() {
  PATH=$debian/usr/sbin:$debian/usr/bin:$debian/sbin:$debian/bin:$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null
}
have_cni() {
  local d
  for d in "$debian/usr/lib/cni" /usr/lib/cni /opt/cni/bin; do
    if [ -x "$d/ptp" ] && [ -x "$d/host-local" ]; then return 0; fi
  done
  return 1
}
missing() {
  while IFS='|' read -r what package; do
    have "$what" || printf '%s\n' "$package"
  done < <(debian_needs) | sort -u
  have_cni || printf 'containernetworking-plugins\n'
}

mapfile -t packages < <(missing)
if [ ${#packages[@]} -gt 0 ]; then
  say "tools: $(clock) not on this machine: ${packages[*]}"
  if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
    die "these are missing, and without apt-get they cannot be downloaded: ${packages[*]}"
  fi
  policy=$(apt-cache policy "${packages[@]}" 2>/dev/null || true)
  if ! grep -q 'Candidate: [^(]' <<<"$policy"; then
    say "tools: $(clock) the package lists are empty: apt-get update"
    apt-get update -qq >&2 || die "apt-get update failed (root?), and these are missing: ${packages[*]}"
  fi
  # What apt would install is what is missing, libraries included; it is only simulated.
  wanted=$(apt-get -s -o Debug::NoLocking=1 install --no-install-recommends "${packages[@]}") ||
    die "apt cannot find these for this machine: ${packages[*]}"
  mapfile -t wanted < <(awk '$1 == "Inst" {print $2}' <<<"$wanted")
  fetch=$cache/$key/debian.tmp
  rm -rf "$fetch"
  mkdir -p "$fetch/deb" "$fetch/root"
  (cd "$fetch/deb" && apt-get download -qq -o APT::Sandbox::User=root "${wanted[@]}" >&2) ||
    die "these Debian packages could not be downloaded: ${wanted[*]}"
  for deb in "$fetch"/deb/*.deb; do
    dpkg -x "$deb" "$fetch/root"
    say "tools: $(clock) unpacked into the cache: $(basename "$deb" | cut -d_ -f1,2 | sed 's/%3a/:/; s/_/ /')"
  done
  rm -rf "$debian"
  mv "$fetch/root" "$debian"
  rm -rf "$fetch"
  mapfile -t packages < <(missing)
  [ ${#packages[@]} = 0 ] || die "still missing after unpacking: ${packages[*]}"
fi

# What schemas.sh makes the schemas of Kubernetes' own kinds from.
if [ "$only" != --cluster ] && [ ! -d "$cache/$key/openapi" ]; then
  source=$(cd "$here/go/kubernetes" && GOWORK=off GOFLAGS=-mod=readonly GOTOOLCHAIN=local go list -m -f '{{.Dir}}' k8s.io/kubernetes)
  rm -rf "$cache/$key/openapi.tmp"
  cp -r --no-preserve=mode "$source/api/openapi-spec/v3" "$cache/$key/openapi.tmp"
  mv "$cache/$key/openapi.tmp" "$cache/$key/openapi"
fi

if [ ! -f "$cache/$key/pause.tar" ]; then
  "$here/image.sh" "$cache/$key/pause.tar" hookswitch.local/pause:1 '["/pause"]' "$bin/pause=/pause" >/dev/null
fi

touch "$cache/$key"
prune_cache

[ $built = 0 ] || say "tools: $(clock) $built programs built; $(du -sm "$cache/programs" | cut -f1) MB in $cache/programs"
printf '%s\n' "$bin"
