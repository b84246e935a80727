# The configuration files of containerd, CNI, kubelet and kube-proxy. Sourced.
# shellcheck shell=bash

write_configuration() {
  local conf=$run_dir/conf
  mkdir -p "$conf/cni"
  # There is no cluster DNS; the kubelet wants a file all the same.
  echo "nameserver 127.0.0.1" >"$conf/resolv.conf"

  # restrict_oom_score_adj: without CAP_SYS_RESOURCE runc fails each sandbox with a broken pipe else.
  cat >"$conf/containerd.toml" <<EOF
version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "fairlead.test/pause:1"
[plugins.'io.containerd.cri.v1.runtime']
  disable_apparmor = true
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "$conf/cni"
[plugins.'io.containerd.cri.v1.runtime'.containerd]
  default_runtime_name = "runc"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = "runc"
  SystemdCgroup = false
EOF

  cat >"$conf/cni/10-bridge.conflist" <<EOF
{"cniVersion": "1.0.0", "name": "fairlead", "plugins": [{
  "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
  "ipam": {"type": "host-local", "ranges": [[{"subnet": "$pod_cidr"}]], "routes": [{"dst": "0.0.0.0/0"}]}
}]}
EOF

  # Evictions are switched off where they look at the host's disks, which are not the cluster's.
  cat >"$conf/kubelet.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: "$run_dir/pki/ca.crt"}
authorization: {mode: Webhook}
tlsCertFile: $run_dir/pki/kubelet-server.crt
tlsPrivateKeyFile: $run_dir/pki/kubelet-server.key
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$cgroup
failCgroupV1: false
failSwapOn: false
resolvConf: $conf/resolv.conf
clusterDomain: cluster.local
volumePluginDir: /var/lib/kubelet/volumeplugins
maxPods: 200
serializeImagePulls: false
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%}
nodeStatusUpdateFrequency: 5s
registryPullQPS: 0
eventRecordQPS: 0
kubeAPIQPS: 200
kubeAPIBurst: 400
EOF

  # conntrack: a network namespace other than the first may not set its sizes; 0 leaves them alone.
  # minSyncPeriod: 0 would mean a second.
  cat >"$conf/kube-proxy.yaml" <<EOF
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clusterCIDR: $pod_cidr
hostnameOverride: $node_name
bindAddress: 0.0.0.0
clientConnection: {kubeconfig: "$run_dir/kubeconfig/proxy"}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
iptables: {minSyncPeriod: 100ms, syncPeriod: 30s}
EOF
}
