# Names, addresses and paths of the test cluster, and how its scripts report trouble. Sourced, never run.
#
# Every cluster has a NAME. All clusters use the same addresses: each lives in a network namespace of its own.
# shellcheck shell=bash disable=SC2034

cluster_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin_dir=$cluster_dir/bin
cluster_name=${FAIRLEAD_CLUSTER:-fairlead}

kubernetes_version=v1.36.3
containerd_version=v2.4.2

node_name=node1
node_address=172.30.0.1
# Local to the node, so that every address in it can be bound: Gateways get theirs from here.
gateway_cidr=172.30.1.0/24
pod_cidr=10.244.0.0/24
service_cidr=10.96.0.0/16
service_api_address=10.96.0.1

# Exit codes. 77 is what test drivers count as "not run": the machine lacks something, nothing is broken.
exit_failed=1
exit_usage=2
exit_not_run=77

say() { printf '%s\n' "$*"; }

# die CODE MESSAGE...: one line on standard error that says what to do.
die() {
  local code=$1
  shift
  printf 'cluster/%s: %s\n' "$(basename "$0")" "$*" >&2
  exit "$code"
}

# use_cluster [NAME]: sets what depends on the name.
use_cluster() {
  cluster_name=${1:-$cluster_name}
  [[ $cluster_name =~ ^[a-z0-9]([a-z0-9-]{0,22}[a-z0-9])?$ ]] ||
    die "$exit_usage" "a cluster's name has at most 24 lower-case letters, digits and hyphens: '$cluster_name'"
  namespace=fairlead-$cluster_name
  cgroup=fairlead-$cluster_name
  run_dir=$cluster_dir/run/$cluster_name
}

# Process 1 of the cluster's pid namespace as this namespace sees it; empty where the cluster is not up.
# The recorded id counts only while its parent is the recorded parent: ids are reused.
init_pid() {
  local init parent
  init=$(cat "$run_dir/init.pid" 2>/dev/null) || return 0
  parent=$(cat "$run_dir/unshare.pid" 2>/dev/null) || return 0
  if [[ $(awk '/^PPid:/ { print $2 }' "/proc/$init/status" 2>/dev/null) == "$parent" ]]; then
    printf '%s\n' "$init"
  fi
}

# require_up: ends with a message where the cluster is not up.
require_up() {
  [[ -n $(init_pid) ]] || die "$exit_failed" "cluster '$cluster_name' is not up: run cluster/up $cluster_name"
}

kubectl_inside() {
  KUBECACHEDIR=$run_dir/kubecache nsenter --net="/run/netns/$namespace" \
    "$bin_dir/kubectl" --kubeconfig "$run_dir/kubeconfig/admin" "$@"
}
