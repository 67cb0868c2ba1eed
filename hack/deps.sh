#!/usr/bin/env bash
# Installs the Debian packages that the local cluster and the tests use; "deps.sh peers" those that test/differential and test/e2e have as
# clients and servers, "deps.sh web" what builds the dashboard's pages, and "deps.sh browser" what opens them.
set -euo pipefail
packages=()
need() { command -v "$1" >/dev/null 2>&1 || [ -e "$1" ] || packages+=("$2"); }
PATH=$PATH:/usr/sbin:/sbin
case "${1:-base}" in
base)
  need containerd containerd
  need runc runc
  need /usr/lib/cni/bridge containernetworking-plugins
  need nft nftables
  need iptables iptables
  need conntrack conntrack
  need ip iproute2
  need ethtool ethtool
  need mount mount
  need tinyproxy tinyproxy-bin
  need gcc gcc
  need openssl openssl
  need nginx nginx-light
  need promtool prometheus
  need /usr/include/stdlib.h libc6-dev
  ;;
peers)
  need curl curl
  need python3 python3
  need node nodejs
  need java default-jre-headless
  need javac default-jdk-headless
  need keytool default-jre-headless
  need /usr/share/java/grpc-netty.jar libgrpc-java
  need /usr/share/java/netty-transport.jar libnetty-java
  need /usr/share/java/perfmark-api.jar libperfmark-java
  need /usr/share/java/guava.jar libguava-java
  need busybox busybox
  need nc netcat-openbsd
  need socat socat
  need nginx nginx-light
  need haproxy haproxy
  need redis-server redis-server
  need redis-cli redis-tools
  need psql postgresql-client
  need /usr/lib/postgresql postgresql
  need setpriv util-linux
  python3 -c 'import requests' >/dev/null 2>&1 || packages+=(python3-requests)
  /usr/bin/python3 -c 'import grpc' >/dev/null 2>&1 || packages+=(python3-grpcio)
  need tinyproxy tinyproxy-bin
  ;;
web)
  need node nodejs
  need npm npm
  ;;
browser)
  need chromium chromium
  ;;
esac
exec "$(dirname "$0")/install-packages.sh" "${packages[@]}"
