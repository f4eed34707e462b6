#!/bin/bash
# with-cluster.sh apiserver|controllers|node COMMAND...: runs a command inside a fresh cluster, and takes the cluster
# down again whatever happens. Builds the binaries first where they are missing.
#
# The command finds KUBECONFIG, CLUSTER (the name) and CLUSTER_SCRIPTS (this folder) in its environment. When it fails,
# the ends of the components' logs are printed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export UPTO=$1
shift
[ "$(id -u)" = 0 ] || { echo "a test cluster needs root" >&2; exit 1; }
: "${CLUSTER:=h2k-$$}"
export CLUSTER CLUSTER_SCRIPTS=$here
source "$(dirname "$0")/settings.sh"

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
"$here/inside.sh" timeout --kill-after=10 "${CLUSTER_TIME_LIMIT:-900}" "$@"
