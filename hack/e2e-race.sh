#!/usr/bin/env bash
# Agents that were built with the race detector, on a local cluster: "prepare" gives them the memory it takes and has them write what it finds to
# the nodes' disks, where it outlives them; "check TOOL..." fails if anything was found, or if an agent has ended by itself.
set -euo pipefail
kubectl=${KUBECTL:-kubectl}
reports=/var/lib/fairlead/race

prepare() {
  $kubectl -n fairlead-system patch daemonset/fairlead-agent -p '{"spec": {"template": {"spec": {"containers": [{"name": "agent",
    "env": [{"name": "GORACE", "value": "log_path='$reports'"}], "resources": {"limits": {"memory": "4Gi"}}}]}}}}' >/dev/null
  $kubectl -n fairlead-system rollout status daemonset/fairlead-agent --timeout=180s >/dev/null
}

check() {
  local node found=0 built
  for node in $($kubectl get nodes -o 'jsonpath={.items[*].metadata.name}'); do
    if "$@" exec "$node" sh -c "cat $reports.* 2>/dev/null"; then
      echo "the race detector found what is above on $node" >&2
      found=1
    fi
  done
  # 137 is the end of an agent that a story kills.
  for ended in $($kubectl -n fairlead-system get pods -l app.kubernetes.io/name=fairlead-agent \
    -o 'jsonpath={.items[*].status.containerStatuses[*].lastState.terminated.exitCode}'); do
    case $ended in 0 | 137) ;; *) echo "an agent has ended with $ended" >&2 && found=1 ;; esac
  done
  built=$($kubectl -n fairlead-system get daemonset/fairlead-agent -o 'jsonpath={.spec.template.spec.containers[0].env[?(@.name=="GORACE")].value}')
  [ -n "$built" ] || { echo "the agents were not asked to report races" >&2 && found=1; }
  return $found
}

"$@"
