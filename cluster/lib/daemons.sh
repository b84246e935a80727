# The command lines of the cluster's daemons, and how one is started and stopped inside its namespaces.
# Sourced by what runs inside: init.sh and control.sh.
# shellcheck shell=bash

etcd_url=http://127.0.0.1:2379
daemon_names=(etcd containerd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy)

# daemon_command NAME: sets the array `command`.
daemon_command() {
  local pki=$run_dir/pki conf=$run_dir/kubeconfig
  # The clients' own limits are for clusters with many users; they delay the first Pods by seconds.
  local fast=(--kube-api-qps=300 --kube-api-burst=600)
  case $1 in
    etcd)
      command=(etcd --data-dir=/var/lib/etcd --unsafe-no-fsync --log-level=warn
        --listen-client-urls="$etcd_url" --advertise-client-urls="$etcd_url"
        --listen-peer-urls=http://127.0.0.1:2380 --initial-advertise-peer-urls=http://127.0.0.1:2380
        --initial-cluster=default=http://127.0.0.1:2380)
      ;;
    containerd) command=(containerd --config="$run_dir/conf/containerd.toml" --log-level=info) ;;
    kube-apiserver)
      command=(kube-apiserver --etcd-servers="$etcd_url"
        --bind-address="$node_address" --advertise-address="$node_address" --secure-port=6443
        --service-cluster-ip-range="$service_cidr" --allow-privileged=true
        "--authorization-mode=Node,RBAC" --enable-admission-plugins=NodeRestriction
        --client-ca-file="$pki/ca.crt" --requestheader-client-ca-file="$pki/ca.crt"
        --requestheader-allowed-names=front-proxy
        --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key"
        --service-account-issuer=https://kubernetes.default.svc.cluster.local
        --service-account-key-file="$pki/service-accounts.pub"
        --service-account-signing-key-file="$pki/service-accounts.key"
        --kubelet-client-certificate="$pki/apiserver-to-kubelet.crt"
        --kubelet-client-key="$pki/apiserver-to-kubelet.key"
        --kubelet-certificate-authority="$pki/ca.crt" --kubelet-preferred-address-types=InternalIP)
      ;;
    kube-controller-manager)
      command=(kube-controller-manager --kubeconfig="$conf/controller-manager"
        --authentication-kubeconfig="$conf/controller-manager"
        --authorization-kubeconfig="$conf/controller-manager"
        --bind-address=127.0.0.1 --leader-elect=false "${fast[@]}"
        --root-ca-file="$pki/ca.crt" --use-service-account-credentials=true
        --service-account-private-key-file="$pki/service-accounts.key"
        --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key"
        --flex-volume-plugin-dir=/var/lib/kubelet/volumeplugins --node-monitor-period=1s
        --allocate-node-cidrs=true --cluster-cidr="$pod_cidr" --node-cidr-mask-size=24
        --service-cluster-ip-range="$service_cidr")
      ;;
    kube-scheduler)
      command=(kube-scheduler --kubeconfig="$conf/scheduler"
        --authentication-kubeconfig="$conf/scheduler" --authorization-kubeconfig="$conf/scheduler"
        --bind-address=127.0.0.1 --leader-elect=false "${fast[@]}")
      ;;
    kubelet)
      command=(kubelet --config="$run_dir/conf/kubelet.yaml" --kubeconfig="$conf/kubelet"
        --hostname-override="$node_name" --node-ip="$node_address" --root-dir=/var/lib/kubelet)
      ;;
    kube-proxy) command=(kube-proxy --config="$run_dir/conf/kube-proxy.yaml") ;;
    *) die "$exit_usage" "no daemon '$1': there are ${daemon_names[*]}" ;;
  esac
}

daemon_pid() {
  local pid
  pid=$(cat "$run_dir/pid/$1" 2>/dev/null) || return 0
  # The log and the pid file are of one start; a process of another name is not ours.
  if [[ $(cat "/proc/$pid/comm" 2>/dev/null) == "${1:0:15}" ]]; then printf '%s\n' "$pid"; fi
}

start_daemon() {
  local command
  [[ -z $(daemon_pid "$1") ]] || return 0
  daemon_command "$1"
  # setsid: it outlives the one who starts it and takes no signal meant for him.
  setsid "${command[@]}" >>"$run_dir/log/$1.log" 2>&1 </dev/null &
  printf '%s\n' $! >"$run_dir/pid/$1"
}

# stop_daemon NAME [SIGNAL]: returns when the process is gone.
stop_daemon() {
  local pid
  pid=$(daemon_pid "$1")
  [[ -n $pid ]] || return 0
  kill -s "${2:-TERM}" "$pid"
  for _ in {1..600}; do
    [[ -n $(daemon_pid "$1") ]] || return 0
    sleep 0.05
  done
  die "$exit_failed" "$1 (process $pid inside) does not end"
}

api_answers() {
  curl --silent --fail --max-time 2 --output /dev/null --cacert "$run_dir/pki/ca.crt" \
    --cert "$run_dir/pki/admin.crt" --key "$run_dir/pki/admin.key" "https://$node_address:6443/$1"
}

# wait_until SECONDS WHAT COMMAND...
wait_until() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || die "$exit_failed" "$what: not within the time allowed (logs: $run_dir/log)"
    sleep 0.1
  done
}
