#!/bin/bash
# down.sh [--wipe]: stops the cluster, and only what up.sh started. --wipe removes its state and its volumes too.
source "$(dirname "$0")/settings.sh"

stop TERM proxy
stop TERM volumes
stop TERM kubelet
if [ -S "$CLUSTER_RUN/containerd.sock" ] && [ -f "$CLUSTER_RUN/pids/containerd" ]; then
  ctr_k8s() { ctr -a "$CLUSTER_RUN/containerd.sock" -n k8s.io "$@"; }
  for task in $(ctr_k8s tasks ls -q 2> /dev/null); do ctr_k8s tasks kill -s SIGKILL "$task" 2> /dev/null; done
  sleep 0.5
  for task in $(ctr_k8s tasks ls -q 2> /dev/null); do ctr_k8s tasks rm -f "$task" > /dev/null 2>&1; done
  for container in $(ctr_k8s containers ls -q 2> /dev/null); do ctr_k8s containers rm "$container" 2> /dev/null; done
fi
for component in containerd scheduler controller-manager apiserver etcd; do stop TERM "$component"; done
# Whatever is left in our cgroup is a shim of containerd's, or what the command has started.
if [ -f "$CGROUP/cgroup.procs" ]; then
  mapfile -t left < "$CGROUP/cgroup.procs"
  for pid in "${left[@]}"; do [ "$pid" -eq 0 ] || kill -KILL "$pid" 2> /dev/null; done
fi
awk -v run="$CLUSTER_RUN/" 'index($5, run) == 1 {print $5}' /proc/self/mountinfo | sort -r |
  while read -r mount; do umount -l "$mount" 2> /dev/null; done
ip netns del "$CLUSTER" 2> /dev/null
if [ -f "$CLUSTER_RUN/sysctl.before" ]; then
  # There was a node: its cgroups and settings.
  for cgroup in /sys/fs/cgroup/*/kubepods /sys/fs/cgroup/*/k8s.io; do
    [ -d "$cgroup" ] && find "$cgroup" -depth -type d -exec rmdir {} \; 2> /dev/null
  done
  sysctl -q -p "$CLUSTER_RUN/sysctl.before"
  rm -f "$CLUSTER_RUN/sysctl.before"
  [ "${1:-}" = --wipe ] && rm -rf --one-file-system "$HOSTPATH_VOLUMES"
fi
for _ in 1 2 3 4 5 6 7 8 9 10; do
  rmdir "$CGROUP" 2> /dev/null && break
  [ -d "$CGROUP" ] || break
  sleep 0.1
done
[ "${1:-}" = --wipe ] && rm -rf --one-file-system "$CLUSTER_RUN"
true
