#!/usr/bin/env bash
# Installs fairlead on the cluster KUBECONFIG names and waits until manager and agents are ready. Running pods are replaced,
# so that images built again under the same tag take effect.
set -euo pipefail
cd "$(dirname "$0")/.."
kubectl=${KUBECTL:-kubectl}
if ! answer=$($kubectl version --request-timeout=10s 2>&1); then
  echo "KUBECONFIG names no reachable cluster (KUBECONFIG=${KUBECONFIG:-}): $(tail -n 1 <<<"$answer")" >&2
  exit 1
fi
fresh=yes
$kubectl -n fairlead-system get deployment fairlead-manager >/dev/null 2>&1 && fresh=no
# The CRDs first: the API server must know the kinds before anything else names them.
$kubectl apply --server-side --force-conflicts -k config/crd >/dev/null
until $kubectl get crd retrypolicies.policy.fairlead.dev clusterretrypolicies.policy.fairlead.dev -o jsonpath='{.items[*].status.conditions}' | grep -q Established; do
  sleep 0.2 # wait fails while a CRD has no conditions at all
done
$kubectl wait --for=condition=Established --timeout=60s crd/retrypolicies.policy.fairlead.dev crd/clusterretrypolicies.policy.fairlead.dev >/dev/null
$kubectl apply --server-side --force-conflicts -k config/default >/dev/null
if [ $fresh = no ]; then
  $kubectl -n fairlead-system rollout restart deployment/fairlead-manager daemonset/fairlead-agent >/dev/null
fi
wait_for() {
  if ! $kubectl -n fairlead-system rollout status "$1" --timeout=180s >/dev/null; then
    $kubectl -n fairlead-system get pods -o wide >&2
    $kubectl -n fairlead-system logs "$1" --tail=40 >&2 || true
    echo "$1 did not become ready; the lines above are its pods and log" >&2
    exit 1
  fi
}
wait_for deployment/fairlead-manager
wait_for daemonset/fairlead-agent
# Counted by their owners: the list of pods still has those that are on their way out.
ready() { $kubectl -n fairlead-system get "$1" -o "jsonpath={.status.$2}"; }
echo "fairlead is installed in fairlead-system: $(ready deployment/fairlead-manager readyReplicas) managers and $(ready daemonset/fairlead-agent numberReady) agents ready"
