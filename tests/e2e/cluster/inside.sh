#!/bin/bash
# inside.sh COMMAND...: runs a command where the cluster's addresses are reachable, with KUBECONFIG set.
source "$(dirname "$0")/settings.sh"
inside "$@"
