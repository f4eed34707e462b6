#!/bin/bash
# kubectl.sh ARGUMENTS...: kubectl as the administrator of the running cluster.
source "$(dirname "$0")/settings.sh"
inside "$CLUSTER_BIN/kubectl" "$@"
