#!/bin/bash
# with-cluster.sh apiserver|controllers|node COMMAND...: runs a command inside a fresh cluster, and takes the cluster
# down again whatever happens. Builds the binaries first where they are missing.
#
# Ends with 77, which is a test that is skipped, where the machine cannot have a cluster at all.
# The command finds KUBECONFIG, CLUSTER (the name) and CLUSTER_SCRIPTS (this folder) in its environment. When it fails,
# the ends of the components' logs are printed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export UPTO=$1
shift
skip() { echo "no test cluster here: $*"; exit 77; }
[ "$(id -u)" = 0 ] || skip "it needs root"
unshare --net --mount true 2>/dev/null || skip "no network namespace may be made"
: "${CLUSTER:=h2k-$$}"
export CLUSTER CLUSTER_SCRIPTS=$here
source "$(dirname "$0")/settings.sh"
{ mkdir -p "$CGROUP" && rmdir "$CGROUP"; } 2>/dev/null || skip "no control group may be made"

"$here/build.sh"
finish() {
  local status=$?
  if [ $status -ne 0 ]; then
    for log in "$CLUSTER_RUN"/logs/*.log; do
      echo "--- $(basename "$log")" >&2
      tail -n 15 "$log" >&2 || true
    done
  fi
  "$here/down.sh" --wipe
  exit $status
}
trap finish EXIT
trap 'exit 143' TERM INT
"$here/up.sh"
# Sooner than whoever started this loses patience: then nobody would take the cluster down.
"$here/inside.sh" timeout --kill-after=10 "${CLUSTER_TIME_LIMIT:-1800}" "$@"
