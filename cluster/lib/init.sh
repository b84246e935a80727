#!/usr/bin/env bash
# Process 1 of the cluster's pid and mount namespaces. Started by cluster/up, never by hand.
#
# All state lives on file systems in memory that this mount namespace owns, and every process is a
# descendant: when this process is killed the kernel ends all of them, and nothing is left behind.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
source "$cluster_dir/lib/daemons.sh"
use_cluster "$1"
export PATH=$bin_dir:/usr/sbin:/usr/bin:/sbin:/bin

own_file_systems() {
  mount --make-rprivate /
  # Copies of the machine's named network namespaces: held here they would outlive their deletion there.
  umount --recursive --lazy /run/netns 2>/dev/null || true
  local point
  for point in /run /var/lib /var/log; do mount -t tmpfs -o mode=755 fairlead "$point"; done
  mkdir -p /run/netns /run/lock /run/sysctl /var/lib/{cni,containerd,etcd,kubelet}
}

# The kubelet sets these for the whole machine where they differ. It finds them as it wants them and
# the machine keeps its own.
shield_sysctls() {
  local pair name file
  for pair in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    name=${pair%=*} file=/run/sysctl/${pair//[\/=]/_}
    [[ -e /proc/sys/$name ]] || continue
    echo "${pair#*=}" >"$file"
    mount --bind "$file" "/proc/sys/$name"
  done
}

# A pair of virtual cards with both ends here carries the node's address and the default route: without
# a route a packet to a Service IP is refused before kube-proxy's rules see it.
network() {
  ip link set lo up
  ip link add node0 type veth peer name node1
  ip link set node0 up
  ip link set node1 up
  ip address add "$node_address/24" dev node0
  ip route add default dev node0
  ip route add local "$gateway_cidr" dev lo
  sysctl --quiet --write net.ipv4.ip_forward=1
  # Not there where the bridge module does not pass packets to iptables; then Pods reach Services anyway.
  sysctl --quiet --write net.bridge.bridge-nf-call-iptables=1 2>/dev/null || true
}

import_images() {
  local image architecture
  architecture=$(ctr version | awk '/Arch/ { print $2; exit }')
  for image in pause echo; do
    ctr --namespace k8s.io images import ${architecture:+--platform "linux/$architecture"} "$bin_dir/$image.tar"
  done
}

own_file_systems
shield_sysctls
mount --make-rshared /
network
start_daemon etcd
start_daemon containerd
start_daemon kube-apiserver
wait_until 60 "containerd" ctr version
import_images
wait_until 120 "the API server" api_answers readyz
start_daemon kube-controller-manager
start_daemon kube-scheduler
start_daemon kubelet
start_daemon kube-proxy
touch "$run_dir/started"
# Orphans are this process's children; bash reaps them whenever it waits.
while :; do wait -n || sleep 1; done
