#!/usr/bin/env bash
# Proves that a new machine needs nothing but what README.md names: makes a minimal Debian root with those packages and Go, clones
# what is committed into it, runs the set-up of both README commands there, then verify, lint and the unit tests.
# What is shared with this machine are caches of things built by version (CACHE), Go's module cache, and the build caches of Go and golangci-lint; no
# program of this machine but Go itself is seen inside. The clone has the path that the checkout has here: what compilers make holds paths, and what
# they have made here of the same files need not be made again.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/fairlead}

not_run() {
  echo "NOT RUN: the test on a fresh machine, because $1" >&2
  [ "${REQUIRE_PRIVILEGED:-}" != 1 ]
  exit
}
[ "$(id -u)" = 0 ] || not_run "it needs root"
command -v mmdebstrap >/dev/null || hack/install-packages.sh mmdebstrap || not_run "mmdebstrap is missing"

# The packages that README.md asks for, beside Go.
packages=$(sed -nE 's/.*`apt-get install -y ([a-z0-9 -]+)`.*/\1/p' README.md | head -n 1)
[ -n "$packages" ] || { echo "README.md does not say what to install" >&2; exit 1; }
suite=${FRESH_SUITE:-bookworm}
week=$(($(date +%s) / 604800)) # a root is used for a week, so that it does not age
image=$cache/fresh/$suite-$(sha256sum <<<"$packages $week" | cut -c1-12).tar
if [ ! -e "$image" ]; then
  echo "making a minimal Debian root ($suite with $packages)"
  mkdir -p "$(dirname "$image")"
  rm -f "$cache/fresh/$suite"-*.tar
  mmdebstrap --quiet --variant=minbase --include="${packages// /,}" "$suite" "$image.new.tar"
  mv "$image.new.tar" "$image"
fi

exec 9>"$cache/fresh/lock"
flock 9 # the packages that were downloaded are shared, and apt has them to itself

root=$(mktemp -d "${TMPDIR:-/tmp}/fairlead-fresh.XXXXXX")
trap 'rm -rf --one-file-system "$root"' EXIT
tar -C "$root" -xf "$image"
goroot=$(go env GOROOT)
mkdir -p "$root$goroot" "$root$PWD" "$root"/root/.cache/{fairlead,go-build,golangci-lint} "$root/root/go"
git clone -q . "$root$PWD"
# The network is this machine's, so names and authorities are too.
cp /etc/resolv.conf "$root/etc/resolv.conf"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
echo 'Binary::apt-get::APT::Keep-Downloaded-Packages "true"; APT::Keep-Downloaded-Packages "true";' >"$root/etc/apt/apt.conf.d/90keep"
cp hack/fresh-inside.sh "$root/root/inside.sh"

checkout=$PWD
gocache=$(go env GOCACHE) gomodcache=$(go env GOMODCACHE) lintcache=${GOLANGCI_LINT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/golangci-lint}
export root goroot cache checkout gocache gomodcache lintcache
# Mounts and processes of its own: nothing is left behind however it ends.
unshare --mount --pid --fork --kill-child bash -euo pipefail -c '
  mount --make-rprivate /
  mount -t proc proc "$root/proc"
  mount -t sysfs sysfs "$root/sys"
  mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs tmpfs "$root/run"
  mount --make-shared "$root/run"
  mount --bind "$goroot" "$root$goroot"
  mount -o remount,bind,ro "$root$goroot"
  mkdir -p "$cache/fresh/archives" "$gocache" "$gomodcache" "$lintcache" "$root/root/go/pkg/mod"
  mount --bind "$cache/fresh/archives" "$root/var/cache/apt/archives" # what was downloaded, not what was installed
  mount --bind "$cache" "$root/root/.cache/fairlead"
  mount --bind "$gocache" "$root/root/.cache/go-build"
  mount --bind "$gomodcache" "$root/root/go/pkg/mod"
  mount --bind "$lintcache" "$root/root/.cache/golangci-lint"
  exec env -i HOME=/root TERM="${TERM:-dumb}" PATH="$goroot/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
    CI="${CI:-}" REQUIRE_PRIVILEGED="${REQUIRE_PRIVILEGED:-1}" \
    GOPROXY="$(go env GOPROXY)" GOSUMDB="$(go env GOSUMDB)" GOFLAGS=-mod=readonly \
    chroot "$root" bash /root/inside.sh "$checkout"
'
