#!/usr/bin/env bash
# Installs and uninstalls fairlead by its charts on the cluster KUBECONFIG names, as docs/operations/install.md describes it.
#
#   charts.sh install [VALUES]   installs it with these values alone, or upgrades it, whatever it was installed by, and waits until manager and agents are ready
#   charts.sh uninstall          removes it, and fails if anything is left but the CRDs
set -euo pipefail
cd "$(dirname "$0")/.."
helm=${HELM:-$(make -s helm)}
kubectl=${KUBECTL:-kubectl}
namespace=fairlead-system

install() {
  $kubectl apply --server-side -f config/default/namespace.yaml >/dev/null
  "$helm" upgrade --install --take-ownership --namespace $namespace fairlead-crds charts/fairlead-crds >/dev/null
  if ! "$helm" upgrade --install --take-ownership --reset-values --namespace $namespace --wait --timeout 3m fairlead charts/fairlead ${1:+--values "$1"} >/dev/null; then
    $kubectl -n $namespace get pods -o wide >&2
    exit 1
  fi
  ready() { $kubectl -n $namespace get "$1" -o "jsonpath={.status.$2}"; }
  echo "fairlead is installed in $namespace by its charts: $(ready deployment/fairlead-manager readyReplicas) managers and $(ready daemonset/fairlead-agent numberReady) agents ready"
}

# ours prints what there is of fairlead, whatever its kind: all that has such a name, but for the stories' namespaces, which are on their way out,
# and the APIService, which the API server makes of the CRDs.
ours() {
  local kinds
  kinds=$($kubectl api-resources --verbs=list --output=name | grep -vxE 'apiservices\.apiregistration\.k8s\.io|componentstatuses|endpoints' | paste -sd,)
  $kubectl get "$kinds" --all-namespaces --ignore-not-found --no-headers \
    --output=custom-columns=KIND:.kind,NAMESPACE:.metadata.namespace,NAME:.metadata.name \
    | awk '$2 !~ /^fairlead-e2e/ && $3 !~ /^fairlead-e2e/ && $3 ~ /(^|\.)fairlead/ {print $1, $3}' | sort -u
}

uninstall() {
  "$helm" uninstall --namespace $namespace --wait --timeout 3m fairlead >/dev/null
  "$helm" uninstall --namespace $namespace fairlead-crds >/dev/null
  $kubectl delete namespace $namespace --timeout=60s >/dev/null
  $kubectl delete clustertrustbundle fairlead.dev:egress:ca --ignore-not-found >/dev/null
  local left
  left=$(ours)
  if [ "$left" != "CustomResourceDefinition clusterretrypolicies.policy.fairlead.dev
CustomResourceDefinition retrypolicies.policy.fairlead.dev" ]; then
    printf 'fairlead was uninstalled, and what is left is not its CRDs alone:\n%s\n' "$left" >&2
    exit 1
  fi
  echo "fairlead is uninstalled: only its CRDs are left"
}

case "${1:-}" in
install) install "${2:-}" ;;
uninstall) uninstall ;;
*) echo "usage: charts.sh install [VALUES] | uninstall" >&2; exit 2 ;;
esac
