#!/bin/bash
# kubectl.sh ARGUMENTS...: kubectl as the administrator of the running cluster.
source "$(dirname "$0")/settings.sh"
# The server's address is every cluster's: what one has must not be remembered for another that runs at the same time.
inside "$CLUSTER_BIN/kubectl" --cache-dir="$CLUSTER_RUN/kubectl" "$@"
