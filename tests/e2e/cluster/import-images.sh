#!/bin/bash
# import-images.sh TAR...: brings images (podman save, make-image.sh) to the node of the running cluster.
set -euo pipefail
source "$(dirname "$0")/settings.sh"
for tar in "$@"; do
  ctr -a "$CLUSTER_RUN/containerd.sock" -n k8s.io images import "$tar" >> "$CLUSTER_RUN/logs/images.log" 2>&1
done
