#!/usr/bin/env bash
# Installs the proxies the benchmarks compare with, when root and missing. Their services are not started.
set -euo pipefail
packages=()
need() { command -v "$1" >/dev/null 2>&1 || packages+=("$2"); }
PATH=$PATH:/usr/sbin:/sbin
need haproxy haproxy
need nginx nginx-light
need nft nftables
need ip iproute2
need taskset util-linux
need sysctl procps
exec "$(dirname "$0")/install-packages.sh" "${packages[@]}"
