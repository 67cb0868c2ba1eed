#!/usr/bin/env bash
# The end-to-end stories on a local cluster of their own. With RACE=1 the agents have the race detector, and what it finds fails the stories.
set -euo pipefail
cd "$(dirname "$0")/.."
. hack/local.sh
name=$1
if [ "$(id -u)" != 0 ]; then
  echo "NOT RUN: the end-to-end stories, because a local cluster needs root; run them against another cluster with make e2e KUBECONFIG=..." >&2
  [ "${REQUIRE_PRIVILEGED:-}" != 1 ]
  exit
fi
IMAGES+=(cmd/dashboard) # which the demonstration does without
cleanup() { [ "${KEEP:-}" = 1 ] || local_down "$name"; }
trap cleanup EXIT
step "a local cluster named $name"
# Nodes with containerd 2, and one with the distribution's, which is of version 1 on Debian 12.
local_up "$name" built,built,installed
step "installing fairlead by its charts, with other values first"
hack/charts.sh install test/e2e/testdata/former-values.yaml
hack/charts.sh install
[ "${RACE:-}" != 1 ] || hack/e2e-race.sh prepare
step "the stories"
ended=0
go test -count=1 -timeout "${TIMEOUT:-40m}" ./test/e2e -v -ginkgo.v ${FOCUS:+-ginkgo.focus="$FOCUS"} || ended=$?
[ "${RACE:-}" != 1 ] || hack/e2e-race.sh check bin/cluster -name "$name" || ended=$?
if [ "${KEEP:-}" != 1 ]; then
  step "uninstalling fairlead"
  hack/charts.sh uninstall || ended=$?
fi
exit "$ended"
