#!/bin/bash
# missing.sh machine|apiserver|controllers|node|helm...: says in one sentence what this machine lacks for a cluster up to there, and
# says nothing where it lacks nothing. A cluster that is said to be possible and does not come up is a fault.
# shellcheck disable=SC2317 # parts are called by their names
set -euo pipefail
source "$(dirname "$0")/settings.sh"
# lacks SENTENCE: with the reason that build.sh gave for a piece, where it gave one.
lacks() {
  echo "$1${2:+: $(cat "$CLUSTER_MISSING/$2" 2> /dev/null || echo "tests/e2e/cluster/build.sh makes it")}"
  exit 0
}
need_program() { command -v "$1" > /dev/null || lacks "$1 is not installed" packages; }
need_binary() { [ -x "$CLUSTER_BIN/$1" ] || lacks "there is no $1" binaries; }

# What nothing here can do without, and no build can give.
machine() {
  [ "$(id -u)" = 0 ] || lacks "it needs root"
  unshare --net --mount true 2> /dev/null || lacks "no network namespace may be made"
  unshare --net sh -c 'ip link add h2k0 type bridge && ip link add h2k1 type veth peer name h2k2' > /dev/null 2>&1 ||
    lacks "no bridge can be made in a network namespace"
  { mkdir -p "$CGROUP" && rmdir "$CGROUP"; } 2> /dev/null || lacks "no control group may be made in $(dirname "$CGROUP")"
}

# An API server, alone in a network of its own.
apiserver() {
  local name
  machine
  for name in ip nsenter setsid sysctl etcd etcdctl curl jq openssl; do need_program "$name"; done
  for name in kube-apiserver kubectl; do need_binary "$name"; done
}

controllers() {
  local name
  apiserver
  for name in kube-controller-manager kube-scheduler; do need_binary "$name"; done
}

# overlay_works FOLDER: as a container's root file system is mounted.
overlay_works() {
  mkdir -p "$1"/{lower,upper,work,merged}
  unshare --mount mount -t overlay overlay -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work" "$1/merged"
}

node() {
  local name folder
  controllers
  for name in kubelet kube-proxy; do need_binary "$name"; done
  for name in containerd runc iptables conntrack; do need_program "$name"; done
  [ -x /usr/lib/cni/bridge ] || lacks "the CNI plugin bridge is not installed" packages
  for name in pause busybox; do [ -s "$CLUSTER_CACHE/images/$name.tar" ] || lacks "the image $name is not made" images; done
  if [ ! -f /sys/fs/cgroup/cgroup.controllers ]; then
    for name in cpu cpuset memory pids devices freezer; do
      folder=/sys/fs/cgroup/$name/hyper2kvm-$CLUSTER
      { mkdir "$folder" && rmdir "$folder"; } 2> /dev/null || lacks "no control group may be made in /sys/fs/cgroup/$name"
    done
  fi
  unshare --net iptables -t nat -L > /dev/null 2>&1 || lacks "iptables does not work in a network namespace"
  folder=$(mktemp -d "$CLUSTER_CACHE/overlay.XXXXXX")
  # shellcheck disable=SC2064 # now
  trap "rm -rf '$folder'" EXIT
  overlay_works "$folder" 2> /dev/null || lacks "no overlay file system can be mounted on $CLUSTER_CACHE"
}

helm() { [ -x "$CLUSTER_BIN/helm" ] || lacks "there is no helm" tools; }

for part in "$@"; do
  case $part in
    machine | apiserver | controllers | node | helm) "$part" ;;
    *) echo "usage: $0 machine|apiserver|controllers|node|helm..." >&2; exit 2 ;;
  esac
done
