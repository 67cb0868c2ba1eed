#!/usr/bin/env bash
# Runs make targets, several at a time, in the order in which they are named: "parts.sh AT_A_TIME TARGET...". What a target prints comes when it
# has ended, with how long it took and how much processor time; after one that fails no more are begun, unless make was started with -k.
set -euo pipefail
cd "$(dirname "$0")/.."
at_a_time=$1 flags=${MAKEFLAGS:-}
shift
# What only computes stands back for what waits: clusters, deadlines, connections.
computing=" verify lint vulncheck test-release "
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
TIMEFORMAT='%0R s, %0U + %0S s of processor time'
declare -A names=()
failed=() begun=$SECONDS

begin() {
  local back=()
  [[ $computing != *" $1 "* ]] || back=(nice -n 15)
  echo "==> $1: begun after $((SECONDS - begun)) s"
  { time "${back[@]}" "${MAKE:-make}" --no-print-directory "$1" >"$logs/$1" 2>&1; } 2>"$logs/$1.time" &
  names[$!]=$1
}

# end waits until one of those that run has ended.
end() {
  local pid name said=passed
  wait -n -p pid "${!names[@]}" || said=FAILED
  name=${names[$pid]}
  unset "names[$pid]"
  cat "$logs/$name"
  [ $said = passed ] || failed+=("$name")
  echo "==> $name: $said after $(tail -n 1 "$logs/$name.time")"
}

for target; do
  while [ ${#names[@]} -ge "$at_a_time" ]; do end; done
  [ ${#failed[@]} -eq 0 ] || [[ ${flags%% *} == *k* ]] || break
  begin "$target"
done
while [ ${#names[@]} -gt 0 ]; do end; done
if [ ${#failed[@]} -gt 0 ]; then
  echo "failed: ${failed[*]}" >&2
  exit 1
fi
echo "$# parts passed in $((SECONDS - begun)) s"
