# shellcheck shell=bash disable=SC2034
# Settings of the test cluster, read by every script here. Each may be overridden from the environment.
#
# CLUSTER names one cluster: its network namespace, its cgroup, its state. Several may run side by side as long as at
# most one of them has a node (UPTO=node): the kubelet's cgroup "kubepods" and the folder of the hostpath provisioner
# have fixed names.
: "${CLUSTER:=hyper2kvm}"
: "${CLUSTER_CACHE:=${XDG_CACHE_HOME:-$HOME/.cache}/hyper2kvm/k8s}"  # what is built: kept between runs
: "${CLUSTER_BIN:=$CLUSTER_CACHE/bin}"
CLUSTER_MISSING=$CLUSTER_CACHE/missing  # what build.sh could not make, and why: a file a piece
: "${CLUSTER_RUN:=$CLUSTER_CACHE/run-$CLUSTER}"  # state of the running cluster; a short path, it holds unix sockets
APISERVER_PORT=6443
ETCD_PORT=2379
NODE_NAME=node1
NODE_ADDRESS=10.77.0.1
POD_NETWORK=10.78.0.0/24
SERVICE_NETWORK=10.79.0.0/24
APISERVER_SERVICE=10.79.0.1  # of the Service "kubernetes", the first of its network
HOSTPATH_VOLUMES=/tmp/hostpath_pv  # fixed in kube-controller-manager
PKI=$CLUSTER_RUN/pki
export KUBECONFIG=$CLUSTER_RUN/admin.kubeconfig

# All daemons of this cluster, and what containerd starts, are in a cgroup of their own: that is how they are known.
if [ -d /sys/fs/cgroup/pids ]; then
  CGROUP=/sys/fs/cgroup/pids/hyper2kvm-$CLUSTER
else
  CGROUP=/sys/fs/cgroup/hyper2kvm-$CLUSTER
fi

# Everything runs in a network namespace without a way out: nothing of it can reach, or be reached from, the network
# of the machine, and its ports collide with nobody's.
inside() { nsenter --net="/run/netns/$CLUSTER" "$@"; }

# True when the process has ended, or is a zombie that nobody has reaped yet.
is_gone() { [ ! -d "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }

# True when the component's noted process runs and is ours: the number may have been given to another one since.
is_running() {
  local pid
  pid=$(cat "$CLUSTER_RUN/pids/$1" 2>/dev/null) && [ -n "$pid" ] &&
    grep -qx "$pid" "$CGROUP/cgroup.procs" 2>/dev/null && ! is_gone "$pid"
}

# start NAME COMMAND...: in a session of its own; its command line is kept for component.sh.
start() {
  local name=$1
  shift
  mkdir -p "$CGROUP" "$CLUSTER_RUN/pids" "$CLUSTER_RUN/logs" "$CLUSTER_RUN/commands"
  { printf '%q ' setsid nsenter --net="/run/netns/$CLUSTER" "$@"; echo; } > "$CLUSTER_RUN/commands/$name"
  start_again "$name"
}

start_again() {
  (
    echo "$BASHPID" > "$CGROUP/cgroup.procs"
    eval "exec $(cat "$CLUSTER_RUN/commands/$1")" >> "$CLUSTER_RUN/logs/$1.log" 2>&1 < /dev/null
  ) &
  local pid=$! i
  echo "$pid" > "$CLUSTER_RUN/pids/$1"
  # In a session of its own before we end: whoever started us may end our whole process group with us.
  for i in $(seq 250); do
    [ "$(cut -d' ' -f6 "/proc/$pid/stat" 2>/dev/null)" != "$pid" ] || break
    sleep 0.02
  done
}

# stop SIGNAL NAME: and wait for its end, at most ten seconds, then by force.
stop() {
  local pid i
  if is_running "$2"; then
    pid=$(cat "$CLUSTER_RUN/pids/$2")
    kill "-$1" "$pid" 2> /dev/null
    for i in $(seq 200); do is_gone "$pid" && break; sleep 0.05; done
    is_gone "$pid" || kill -KILL "$pid" 2> /dev/null
  fi
  rm -f "$CLUSTER_RUN/pids/$2"
}

# wait_for SECONDS NAME TEST...: until the test succeeds; gives up, with the end of its log, when the component dies.
wait_for() {
  local limit=$(($(date +%s) + $1)) name=$2
  shift 2
  until "$@" > /dev/null 2>&1; do
    if ! is_running "$name" || [ "$(date +%s)" -ge "$limit" ]; then
      echo "$name is not ready: $*" >&2
      tail -n 20 "$CLUSTER_RUN/logs/$name.log" >&2
      return 1
    fi
    sleep 0.1
  done
}

# wait_for_definition NAME: until the API server serves the custom resource. (`kubectl wait` of this version fails on a
# definition that has no conditions yet.)
wait_for_definition() {
  local limit=$(($(date +%s) + 300))
  until "$CLUSTER_BIN/kubectl" get crd "$1" -o 'jsonpath={.status.conditions[?(@.type=="Established")].status}' 2> /dev/null |
    grep -qx True; do
    [ "$(date +%s)" -lt "$limit" ] || { echo "$1 is not established" >&2; return 1; }
    sleep 0.2
  done
}
