# The cluster's own cgroup in every hierarchy, under which the kubelet puts its Pods. Sourced.
# shellcheck shell=bash

cgroup2_root=/sys/fs/cgroup

# Mount points of the version 1 hierarchies; none on a machine with version 2 only.
cgroup1_roots() { awk '$3 == "cgroup" { print $2 }' /proc/mounts; }

# Those and version 2's, where the runtime makes a cgroup even if it controls nothing.
all_cgroup_roots() { awk '$3 ~ /^cgroup2?$/ { print $2 }' /proc/mounts; }

unified() { [[ -e $cgroup2_root/cgroup.controllers ]]; }

make_cgroups() {
  if unified; then make_cgroup2; else make_cgroups1; fi
}

make_cgroups1() {
  local root set
  for root in $(cgroup1_roots); do
    mkdir -p "$root/$cgroup" || die "$exit_not_run" "cannot make a cgroup under $root"
    # A new cpuset is empty, and nothing can run in it.
    if [[ -e $root/cpuset.cpus ]]; then
      for set in cpuset.cpus cpuset.mems; do cat "$root/$set" >"$root/$cgroup/$set"; done
    fi
  done
}

make_cgroup2() {
  local controller
  mkdir -p "$cgroup2_root/$cgroup" || die "$exit_not_run" "cannot make a cgroup under $cgroup2_root"
  # Only the real root may hold processes and hand controllers down at once. In a container's cgroup
  # namespace the root is an ordinary cgroup (it has a cgroup.type): its processes go into a child first.
  if [[ -e $cgroup2_root/cgroup.type ]]; then
    mkdir -p "$cgroup2_root/init"
    while read -r process; do
      echo "$process" >"$cgroup2_root/init/cgroup.procs" || true # it may have ended meanwhile
    done <"$cgroup2_root/cgroup.procs"
  fi
  for controller in cpu cpuset memory pids hugetlb; do
    grep -qw "$controller" "$cgroup2_root/cgroup.controllers" || continue
    echo "+$controller" >"$cgroup2_root/cgroup.subtree_control" ||
      die "$exit_not_run" "the cgroup controller $controller cannot be handed down from $cgroup2_root"
  done
}

# remove_cgroups: the processes are gone, but the kernel lets go of their cgroups a little later.
remove_cgroups() {
  local root left
  for _ in {1..50}; do
    left=
    for root in $(all_cgroup_roots); do
      [[ -d $root/$cgroup ]] || continue
      find "$root/$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null || left=$root/$cgroup
    done
    [[ -n $left ]] || return 0
    sleep 0.1
  done
  die "$exit_failed" "the cgroup $left still has processes"
}
