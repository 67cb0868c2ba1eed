# Sourced by the scripts that work on a local cluster: sets CLUSTER, KUBECONFIG and KUBECTL once it is up.
IMAGES=(cmd/manager cmd/agent test/images/testserver)
# With RACE=1 these have the race detector.
RACE_IMAGES=(cmd/agent)

step() { printf '\n\033[1m==> %s\033[0m\n' "$*"; }

# local_up NAME WHERE: WHERE the nodes' containerds come from, see the usage of bin/cluster.
local_up() {
  local name=$1
  local tool
  tool=$(cluster_tool)
  "$tool" -name "$name" up -containerd "$2" "${IMAGES[@]}"
  [ "${RACE:-}" != 1 ] || "$tool" -name "$name" images -race "${RACE_IMAGES[@]}"
  KUBECONFIG=$("$tool" -name "$name" kubeconfig)
  KUBECTL=$("$tool" assets 2>/dev/null)/kubectl # which leaves alone what this cluster does without
  export KUBECONFIG KUBECTL
}

local_down() { "$(cluster_tool)" -name "$1" down; }

# cluster_tool builds the cluster tool and prints its path.
cluster_tool() {
  make -s --no-print-directory cluster-tool >&2
  echo "$PWD/bin/cluster"
}
