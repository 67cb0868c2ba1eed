#!/usr/bin/env bash
# The demonstration: failing calls between real pods on a real cluster, before and after a RetryPolicy.
set -euo pipefail
cd "$(dirname "$0")/.."
. hack/local.sh
name=${CLUSTER:-fairlead-demo}

if [ "${1:-up}" = down ]; then
  local_down "$name"
  exit
fi
if [ "$(id -u)" != 0 ]; then
  echo "the demonstration starts nodes of its own and needs root: sudo make demo" >&2
  exit 1
fi

# watch_calls prints what checkout reports for the given number of seconds.
watch_calls() {
  timeout "$1" "$KUBECTL" -n shop logs -f --tail=1 deployment/checkout || true
}

# success prints the share of succeeded calls over the last N seconds that checkout reported.
success() {
  "$KUBECTL" -n shop logs --tail="$1" deployment/checkout | awk '{n += $3; ok += $3 * $5 / 100} END {printf "%.2f %% of %d calls succeeded\n", 100 * ok / n, n}'
}

# upstream tells the inventory how to behave, from inside its pod.
upstream() {
  "$KUBECTL" -n shop exec deployment/inventory -- /testserver get "http://127.0.0.1:8080$1" >/dev/null
}

# arrived prints how many calls a second reach the supplier, as it counts them, over some seconds.
arrived() {
  local seconds=$1 before after
  before=$(supplier_count)
  sleep "$seconds"
  after=$(supplier_count)
  echo "$(((after - before) / seconds)) calls a second reach the supplier"
}

# supplier_count asks the supplier, from inside its pod, how many calls have reached it.
supplier_count() {
  "$KUBECTL" -n shop exec deployment/supplier -- /testserver get "http://127.0.0.1:8080/_stats?key=/parts" | sed -nE 's/.*"requests": ?([0-9]+).*/\1/p'
}

# watch_until_reported prints what checkout reports until the policy's status, which is written every 10 s, has the calls up to some seconds from now.
watch_until_reported() {
  local then
  then=$(date -u -d "$1 seconds" +%FT%TZ)
  "$KUBECTL" -n shop logs -f --tail=1 deployment/checkout &
  watching=$!
  trap 'kill "$watching"' EXIT # who interrupts the demonstration reads no more of it
  for _ in {1..60}; do
    [[ $("$KUBECTL" -n shop get retrypolicy inventory -o jsonpath='{.status.traffic.asOf}') < $then ]] || break
    sleep 0.5
  done
  kill "$watching" && wait "$watching" 2>/dev/null || true # without a word of how it ended
  trap - EXIT
}

step "a real cluster of three nodes on this machine (named $name)"
local_up "$name" installed # which need not be built
step "fairlead: a manager, and an agent on every node"
hack/deploy.sh
step "a checkout that calls an inventory on another node; the inventory fails three calls in ten"
"$KUBECTL" delete --ignore-not-found -f config/demo/policy.yaml >/dev/null
"$KUBECTL" apply --server-side -k config/demo >/dev/null
"$KUBECTL" -n shop rollout status deployment/checkout deployment/inventory --timeout=60s >/dev/null || "$KUBECTL" -n shop get pods -o wide
upstream "/_mode"
watch_calls 6
before=$(success 4)
step "now a policy: kubectl apply -f config/demo/policy.yaml"
cat config/demo/policy.yaml
"$KUBECTL" apply -f config/demo/policy.yaml
"$KUBECTL" -n shop wait --for=condition=Programmed --timeout=30s retrypolicy/inventory >/dev/null
watch_until_reported 6
step "what has changed"
echo "before: $before"
echo "after:  $(success 5)"
step "what the resource itself says: kubectl get retrypolicies -A"
"$KUBECTL" get retrypolicies -A
step "the inventory goes down altogether: the circuit breaker opens and answers at once, the inventory is left in peace"
upstream "/_mode?status=500"
watch_until_reported 3
"$KUBECTL" get retrypolicies -A
step "the inventory is back: a probe finds out, and the breaker closes"
upstream "/_mode"
watch_calls 9
step "a supplier with a quota, and an importer on every node that calls it as fast as it can"
"$KUBECTL" -n shop delete --ignore-not-found retrypolicy/quota >/dev/null
"$KUBECTL" apply --server-side -f config/demo/supplier.yaml >/dev/null
"$KUBECTL" -n shop rollout status deployment/supplier daemonset/importer --timeout=60s >/dev/null || "$KUBECTL" -n shop get pods -o wide
before=$(arrived 3)
echo "before: $before"
step "now one limit for all of them: kubectl apply -f config/demo/quota.yaml"
cat config/demo/quota.yaml
"$KUBECTL" apply -f config/demo/quota.yaml
"$KUBECTL" -n shop wait --for=condition=Programmed --timeout=30s retrypolicy/quota >/dev/null
sleep 2 # until each node has its share
after=$(arrived 5)
echo "after, from all nodes together: $after"
step "go on by yourself"
cat <<EOF
  export KUBECONFIG=$KUBECONFIG
  alias kubectl=$KUBECTL
  kubectl get retrypolicies -A -o wide            # how outbound calls fare
  kubectl -n shop describe retrypolicy inventory  # conditions, nodes, traffic
  kubectl -n shop logs -f deployment/checkout     # what the application sees; leave it running beside these:
  kubectl -n shop edit retrypolicy inventory      # takes effect in well under a second
  kubectl -n shop delete retrypolicy inventory    # calls fail again, as if fairlead were not there
  kubectl -n shop apply -f config/samples/safe-default.yaml  # for any namespace; the other samples need pods or Services of theirs
  kubectl -n shop exec deployment/inventory -- /testserver get 'http://127.0.0.1:8080/_mode?status=500'  # fail; /_mode: as before
  make demo-down                                  # take it all away
EOF
