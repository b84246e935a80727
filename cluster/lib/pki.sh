# The cluster's own certificate authority, certificates and kubeconfigs; new with every start. Sourced.
# shellcheck shell=bash

new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }

# certificate NAME SUBJECT [ALTERNATIVE-NAMES]: NAME.crt and NAME.key, good for clients and servers.
certificate() {
  local name=$1 subject=$2 names=${3:-}
  new_key "$name.key"
  openssl req -new -key "$name.key" -subj "$subject" |
    openssl x509 -req -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out "$name.crt" -extfile <(
      printf 'keyUsage=digitalSignature,keyEncipherment\nextendedKeyUsage=serverAuth,clientAuth\n'
      [[ -z $names ]] || printf 'subjectAltName=%s\n' "$names"
    ) 2>/dev/null
}

# kubeconfig USER: how the program with this certificate reaches the API server.
kubeconfig() {
  cat >"$run_dir/kubeconfig/$1" <<EOF
apiVersion: v1
kind: Config
current-context: $cluster_name
clusters:
- name: $cluster_name
  cluster: {server: "https://$node_address:6443", certificate-authority: "$run_dir/pki/ca.crt"}
users:
- name: $1
  user: {client-certificate: "$run_dir/pki/$1.crt", client-key: "$run_dir/pki/$1.key"}
contexts:
- name: $cluster_name
  context: {cluster: $cluster_name, user: $1}
EOF
}

write_pki() (
  cd "$run_dir/pki" || exit
  new_key ca.key
  openssl req -x509 -new -key ca.key -subj "/CN=fairlead-$cluster_name" -days 30 -out ca.crt 2>/dev/null
  new_key service-accounts.key
  openssl ec -in service-accounts.key -pubout -out service-accounts.pub 2>/dev/null

  local dns=DNS:localhost suffix
  for suffix in "" .default .default.svc .default.svc.cluster.local; do dns+=,DNS:kubernetes$suffix; done
  certificate apiserver /CN=kube-apiserver "$dns,IP:127.0.0.1,IP:$node_address,IP:$service_api_address"
  certificate apiserver-to-kubelet /O=system:masters/CN=apiserver-to-kubelet
  certificate kubelet-server "/CN=$node_name" "DNS:$node_name,IP:$node_address,IP:127.0.0.1"

  certificate admin /O=system:masters/CN=admin
  certificate controller-manager /CN=system:kube-controller-manager
  certificate scheduler /CN=system:kube-scheduler
  certificate proxy /CN=system:kube-proxy
  certificate kubelet "/O=system:nodes/CN=system:node:$node_name"
  local user
  for user in admin controller-manager scheduler proxy kubelet; do kubeconfig "$user"; done
)
