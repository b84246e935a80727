# What this machine must offer. Sourced. Whatever is missing ends the script with exit code 77.
# shellcheck shell=bash

# command:Debian package that brings it
needed_to_build=(python3:python3)
needed_to_run=(
  runc:runc /usr/lib/cni/bridge:containernetworking-plugins iptables:iptables
  ip:iproute2 pgrep:procps openssl:openssl curl:curl nsenter:util-linux setsid:util-linux mount:mount
)

require_root() {
  [[ $(id -u) == 0 ]] || die "$exit_not_run" "needs root: the cluster is made of network, mount and pid namespaces"
}

require_namespaces() {
  local said
  said=$(unshare --net --mount --pid --fork true 2>&1) ||
    die "$exit_not_run" "this machine does not let root make namespaces (${said:-unshare failed})"
}

require_go() {
  command -v go >/dev/null || die "$exit_not_run" "needs Go 1.26 or newer: https://go.dev/doc/install"
}

present() {
  if [[ $1 == /* ]]; then [[ -x $1 ]]; else PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null; fi
}

# require_packages COMMAND:PACKAGE...: installs what is missing where apt-get and root are there.
require_packages() {
  local pair missing=()
  for pair in "$@"; do
    present "${pair%%:*}" || missing+=("${pair##*:}")
  done
  ((${#missing[@]})) || return 0
  mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
  if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    local log=$cluster_dir/run/apt.log
    mkdir -p "$cluster_dir/run"
    say "installing ${missing[*]}"
    install_packages "${missing[@]}" >"$log" 2>&1 ||
      { apt-get update >>"$log" 2>&1 && install_packages "${missing[@]}" >>"$log" 2>&1; } ||
      die "$exit_not_run" "apt-get could not install ${missing[*]} (see $log)"
  fi
  for pair in "$@"; do
    present "${pair%%:*}" ||
      die "$exit_not_run" "${pair%%:*} is missing; install the packages (names of Debian): ${missing[*]}"
  done
}

install_packages() {
  DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"
}
