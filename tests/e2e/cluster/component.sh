#!/bin/bash
# component.sh stop|kill|start|restart|await NAME: one component of the running cluster, for tests of failures.
# await: until the API server is ready, at most four minutes. One that has ended is started again, as any cluster does it: it
# gives up when its store dies while it starts.
# NAME: etcd apiserver controller-manager scheduler containerd kubelet proxy
set -u
source "$(dirname "$0")/settings.sh"
[ -f "$CLUSTER_RUN/commands/${2:-}" ] || { echo "usage: $0 stop|kill|start|restart|await NAME" >&2; exit 2; }
case $1 in
  stop) stop TERM "$2" ;;
  kill) stop KILL "$2" ;;
  start) start_again "$2" ;;
  restart) stop TERM "$2"; start_again "$2" ;;
  await)
    limit=$(($(date +%s) + 240))
    until inside curl -sf --max-time 10 --cacert "$PKI/ca.crt" "https://127.0.0.1:$APISERVER_PORT/readyz" > /dev/null; do
      [ "$(date +%s)" -lt "$limit" ] || { echo "the API server does not get ready" >&2; exit 1; }
      is_running apiserver || start_again apiserver
      sleep 0.1
    done
    ;;
  *) echo "usage: $0 stop|kill|start|restart|await NAME" >&2; exit 2 ;;
esac
