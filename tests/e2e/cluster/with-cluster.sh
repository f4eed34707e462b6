#!/bin/bash
# with-cluster.sh apiserver|controllers|node[,helm] COMMAND...: runs a command inside a fresh cluster, and takes the cluster
# down again whatever happens, with everything that the command has started. Builds what the cluster is made of first, unless
# CLUSTER_IS_BUILT says that it is there as far as it can be.
#
# CLUSTER_OWN_ROOT: tests/e2e/container/own_root, where the test may run in a chroot; for a node.
#
# Ends with 77, which is a test that is skipped, and a sentence where the machine cannot have such a cluster.
# The command finds KUBECONFIG, CLUSTER (the name), CLUSTER_SCRIPTS (this folder) and CLUSTER_OUTSIDE in its environment. When
# it fails, the ends of the components' logs are printed.
# shellcheck disable=SC2317 # the trap calls it
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
needed=$1
export UPTO=${needed%%,*}
shift
: "${CLUSTER:=h2k-$$}"
# CLUSTER_OUTSIDE: the network that this was started in; that of the cluster has no way out.
export CLUSTER CLUSTER_SCRIPTS=$here CLUSTER_OUTSIDE=/proc/$$/ns/net
source "$(dirname "$0")/settings.sh"

skip_without() {
  local lacking
  lacking=$("$here/missing.sh" "$@")
  [ -n "$lacking" ] || return 0
  echo "skipped, because there can be no such cluster here: $lacking"
  exit 77
}
skip_without machine
# It says what it cannot make; whether that is needed here is seen after it.
[ -n "${CLUSTER_IS_BUILT:-}" ] || "$here/build.sh" || [ $? -eq 3 ]
read -r -a parts <<< "${needed//,/ }"
skip_without "${parts[@]}"

# In a chroot a container would begin at the root of the machine for everybody who enters it later, as `kubectl exec` does.
if [ "$UPTO" = node ] && [ -n "${CLUSTER_OWN_ROOT:-}" ]; then
  own_root=$CLUSTER_OWN_ROOT
  if ! "$own_root" true; then
    echo "skipped, because there can be no such cluster here: / cannot be made the root of a mount namespace"
    exit 77
  fi
  unset CLUSTER_OWN_ROOT
  CLUSTER_IS_BUILT=1 exec "$own_root" "$0" "$needed" "$@"
fi

command=
finish() {
  local status=$?
  # What has begun is brought to its end.
  trap '' TERM INT HUP
  if [ -n "$command" ]; then
    kill -TERM "$command" 2> /dev/null || true
    wait "$command" 2> /dev/null || true
  fi
  if [ "$status" -ne 0 ] && [ "$status" -ne 77 ]; then
    for log in "$CLUSTER_RUN"/logs/*.log; do
      echo "--- $(basename "$log")" >&2
      tail -n 15 "$log" >&2 || true
    done
  fi
  "$here/down.sh" --wipe
  exit "$status"
}
trap finish EXIT
trap 'exit 143' TERM INT HUP
up() { "$here/up.sh" && return; "$here/down.sh" --wipe; "$here/up.sh"; }
if ! up; then
  echo "skipped, because the cluster does not come up here as far as $UPTO: what its parts say is above"
  exit 77
fi
# In the cluster's control group: down.sh ends whatever it leaves. Sooner than whoever started this loses patience, because
# then nobody would take the cluster down.
(
  echo "$BASHPID" > "$CGROUP/cgroup.procs"
  exec nsenter --net="/run/netns/$CLUSTER" timeout --kill-after=60 "${CLUSTER_TIME_LIMIT:-1800}" "$@"
) &
command=$!
status=0
wait "$command" || status=$?
command=
exit $status
