#!/bin/bash
# component.sh stop|kill|start|restart NAME: one component of the running cluster, for tests of failures.
# NAME: etcd apiserver controller-manager scheduler containerd kubelet proxy
set -u
source "$(dirname "$0")/settings.sh"
[ -f "$CLUSTER_RUN/commands/${2:-}" ] || { echo "usage: $0 stop|kill|start|restart NAME" >&2; exit 2; }
case $1 in
  stop) stop TERM "$2" ;;
  kill) stop KILL "$2" ;;
  start) start_again "$2" ;;
  restart) stop TERM "$2"; start_again "$2" ;;
  *) echo "usage: $0 stop|kill|start|restart NAME" >&2; exit 2 ;;
esac
