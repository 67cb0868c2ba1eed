#!/usr/bin/env bash
# Installs the Debian packages named as arguments, or says that they are missing where that is not possible.
set -euo pipefail
[ $# -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "missing: $* (Debian package names); install them, or run as root on Debian" >&2
  [ "${REQUIRE_PRIVILEGED:-}" != 1 ]
  exit
fi
echo "installing $*" >&2
# Packages may bring services; none of them may start here.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod +x $policy
  trap 'rm -f $policy' EXIT
fi
log=$(mktemp)
if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "apt-get failed; the whole log is $log" >&2
  exit 1
fi
rm -f "$log"
