#!/usr/bin/env bash
# Runs inside the cluster's namespaces for cluster/daemon: control.sh CLUSTER start|stop|kill|status DAEMON
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
source "$cluster_dir/lib/daemons.sh"
use_cluster "$1"
export PATH=$bin_dir:/usr/sbin:/usr/bin:/sbin:/bin
daemon_command "$3"
case $2 in
  start) start_daemon "$3" ;;
  stop) stop_daemon "$3" ;;
  kill) stop_daemon "$3" KILL ;;
  status) if [[ -n $(daemon_pid "$3") ]]; then say running; else say stopped; fi ;;
  *) die "$exit_usage" "start, stop, kill or status, not '$2'" ;;
esac
