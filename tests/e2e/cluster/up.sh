#!/bin/bash
# up.sh: brings up a Kubernetes of one node from $CLUSTER_BIN (build.sh makes it), in a network namespace of its own.
#
#   UPTO=apiserver    etcd and the API server
#   UPTO=controllers  and the controller manager and the scheduler
#   UPTO=node         and containerd, the kubelet and kube-proxy (the default)
#
# Takes 5 to 15 seconds and up to 650 MiB. Needs root. What is running already is left alone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$(dirname "$0")/settings.sh"
: "${UPTO:=node}"
: "${FEATURE_GATES:=TTLAfterFinished=true}"
say() { echo "[$SECONDS s] $*"; }
kubectl() { inside "$CLUSTER_BIN/kubectl" "$@"; }

if is_running apiserver; then
  echo "cluster $CLUSTER is up already"
  exit 0
fi
mkdir -p "$CLUSTER_RUN"

network() {
  [ -e "/run/netns/$CLUSTER" ] || ip netns add "$CLUSTER"
  inside ip link set lo up
  if ! inside ip link show node0 > /dev/null 2>&1; then
    inside ip link add node0 type bridge
    inside ip addr add "$NODE_ADDRESS/24" dev node0
    inside ip link set node0 up
  fi
  # The kubelet and the proxies look for a default route. This one leads nowhere.
  inside ip route show default | grep -q . || inside ip route add default dev node0
  inside sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.route_localnet=1
}

control_plane_store() {
  start etcd etcd --data-dir "$CLUSTER_RUN/etcd" --unsafe-no-fsync --logger zap --log-level warn \
    --listen-client-urls "http://127.0.0.1:$ETCD_PORT" --advertise-client-urls "http://127.0.0.1:$ETCD_PORT" \
    --listen-peer-urls "http://127.0.0.1:$((ETCD_PORT + 1))" \
    --initial-advertise-peer-urls "http://127.0.0.1:$((ETCD_PORT + 1))" \
    --initial-cluster "default=http://127.0.0.1:$((ETCD_PORT + 1))"
}

apiserver() {
  start apiserver "$CLUSTER_BIN/kube-apiserver" --etcd-servers="http://127.0.0.1:$ETCD_PORT" \
    --bind-address=0.0.0.0 --secure-port="$APISERVER_PORT" --advertise-address="$NODE_ADDRESS" \
    --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" \
    --client-ca-file="$PKI/ca.crt" --token-auth-file="$PKI/tokens.csv" \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
    --service-account-issuer=https://kubernetes.default.svc --api-audiences=https://kubernetes.default.svc \
    --service-account-key-file="$PKI/sa.pub" --service-account-signing-key-file="$PKI/sa.key" \
    --service-cluster-ip-range="$SERVICE_NETWORK" \
    --kubelet-client-certificate="$PKI/kubelet-client.crt" --kubelet-client-key="$PKI/kubelet-client.key" \
    --kubelet-certificate-authority="$PKI/ca.crt" --kubelet-preferred-address-types=InternalIP,Hostname \
    --requestheader-client-ca-file="$PKI/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
    --requestheader-extra-headers-prefix=X-Remote-Extra- --requestheader-group-headers=X-Remote-Group \
    --requestheader-username-headers=X-Remote-User --proxy-client-cert-file="$PKI/front-proxy-client.crt" \
    --proxy-client-key-file="$PKI/front-proxy-client.key" --enable-aggregator-routing=true \
    --feature-gates="$FEATURE_GATES" --profiling=false --v=1
  wait_for 180 apiserver inside curl -sf --cacert "$PKI/ca.crt" "https://127.0.0.1:$APISERVER_PORT/readyz"
  say "API server ready"
}

controllers() {
  start controller-manager "$CLUSTER_BIN/kube-controller-manager" --kubeconfig="$CLUSTER_RUN/controller-manager.kubeconfig" \
    --authentication-kubeconfig="$CLUSTER_RUN/controller-manager.kubeconfig" \
    --authorization-kubeconfig="$CLUSTER_RUN/controller-manager.kubeconfig" --bind-address=127.0.0.1 --port=0 \
    --leader-elect=false --use-service-account-credentials=true --service-account-private-key-file="$PKI/sa.key" \
    --root-ca-file="$PKI/ca.crt" --cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key" \
    --controllers='*,bootstrapsigner,tokencleaner' --enable-hostpath-provisioner=true \
    --feature-gates="$FEATURE_GATES" --node-monitor-period=2s
  start scheduler "$CLUSTER_BIN/kube-scheduler" --kubeconfig="$CLUSTER_RUN/scheduler.kubeconfig" \
    --authentication-kubeconfig="$CLUSTER_RUN/scheduler.kubeconfig" \
    --authorization-kubeconfig="$CLUSTER_RUN/scheduler.kubeconfig" --bind-address=127.0.0.1 --port=0 --leader-elect=false
  wait_for 180 controller-manager kubectl -n default get serviceaccount default
  say "controllers ready"
}

containerd_configuration() {
  mkdir -p "$CLUSTER_RUN"/{containerd,containerd-state,cni/net.d,kubelet}
  # restrict_oom_score_adj: a root without CAP_SYS_RESOURCE (in a container) may not lower that score.
  # netns_mounts_under_state_dir: the pods' network namespaces stay out of /run/netns.
  # device_ownership_from_security_context: a block volume belongs to the pod's user, who is not root.
  cat > "$CLUSTER_RUN/containerd.toml" << END
version = 2
root = "$CLUSTER_RUN/containerd"
state = "$CLUSTER_RUN/containerd-state"
[grpc]
  address = "$CLUSTER_RUN/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:3.2"
  disable_apparmor = true
  restrict_oom_score_adj = true
  device_ownership_from_security_context = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$CLUSTER_RUN/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
END
  cat > "$CLUSTER_RUN/cni/net.d/10-bridge.conflist" << END
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$CLUSTER_RUN/cni/state", "ranges": [[{"subnet": "$POD_NETWORK"}]],
            "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
END
}

kubelet_configuration() {
  : > "$CLUSTER_RUN/resolv.conf"
  cat > "$CLUSTER_RUN/kubelet.yaml" << END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $NODE_ADDRESS
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $PKI/kubelet-server.crt
tlsPrivateKeyFile: $PKI/kubelet-server.key
cgroupDriver: cgroupfs
failSwapOn: false
healthzBindAddress: 127.0.0.1
resolvConf: $CLUSTER_RUN/resolv.conf
volumePluginDir: $CLUSTER_RUN/volumeplugins
evictionHard: {memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
makeIPTablesUtilChains: true
registerNode: true
nodeStatusUpdateFrequency: 2s
END
}

node_is() { kubectl get node "$NODE_NAME" -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}' | grep -q "$1"; }
first_pod_can_be_entered() { kubectl -n default exec first -- sh -c 'touch /memory/file && echo entered' | grep -qx entered; }
node_has_no_taint() { ! kubectl get node "$NODE_NAME" -o jsonpath='{.spec.taints}' | grep -q not-ready; }

node() {
  wait_for 180 containerd ctr -a "$CLUSTER_RUN/containerd.sock" version
  "$here/import-images.sh" "$CLUSTER_CACHE"/images/*.tar
  kubelet_configuration
  start kubelet "$CLUSTER_BIN/kubelet" --config="$CLUSTER_RUN/kubelet.yaml" --kubeconfig="$CLUSTER_RUN/kubelet.kubeconfig" \
    --root-dir="$CLUSTER_RUN/kubelet" --cert-dir="$CLUSTER_RUN/kubelet/pki" --hostname-override="$NODE_NAME" \
    --node-ip="$NODE_ADDRESS" --container-runtime=remote \
    --container-runtime-endpoint="unix://$CLUSTER_RUN/containerd.sock" --pod-infra-container-image=localhost/pause:3.2 --v=2
  start proxy "$CLUSTER_BIN/kube-proxy" --kubeconfig="$CLUSTER_RUN/proxy.kubeconfig" --proxy-mode=iptables \
    --cluster-cidr="$POD_NETWORK" --hostname-override="$NODE_NAME" --bind-address="$NODE_ADDRESS" \
    --healthz-bind-address=127.0.0.1:10256 --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0 \
    --conntrack-tcp-timeout-close-wait=0
  # A storage driver gives a volume to the pod's fsGroup. The hostpath provisioner's are root's alone: here they are everybody's.
  # shellcheck disable=SC2016 # it expands there
  start volumes bash -c 'shopt -s nullglob; declare -A known
    while sleep 0.1; do
      for folder in "$1"/*/; do
        [ -n "${known[$folder]:-}" ] || { chmod 0777 "$folder" && known[$folder]=1; }
      done
    done' volumes "$HOSTPATH_VOLUMES"
  wait_for 180 kubelet node_is True
  # WaitForFirstConsumer: with Immediate this scheduler now and then parks a pod for 20 seconds that it sees before
  # its claim is bound.
  kubectl apply -f - > /dev/null << END
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: standard, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: kubernetes.io/host-path
reclaimPolicy: Delete
volumeBindingMode: WaitForFirstConsumer
END
  wait_for 180 kubelet node_has_no_taint
  # A node that is ready says nothing of whether this machine lets a container run.
  kubectl apply -f - > /dev/null << END
apiVersion: v1
kind: Pod
metadata: {name: first, namespace: default}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  securityContext: {runAsNonRoot: true, runAsUser: 10001, seccompProfile: {type: RuntimeDefault}}
  containers: [{name: first, image: "localhost/busybox:1", command: [sleep, "600"], volumeMounts: [{name: memory, mountPath: /memory}]}]
  volumes: [{name: memory, emptyDir: {medium: Memory}}]
END
  wait_for 180 kubelet first_pod_can_be_entered
  kubectl -n default delete pod first --wait=false --grace-period=0 --force > /dev/null 2>&1
  say "node ready"
}

if [ "$UPTO" = node ]; then
  # The kubelet sets these on the machine; down.sh puts the old values back.
  [ -f "$CLUSTER_RUN/sysctl.before" ] || sysctl vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops \
    kernel.keys.root_maxkeys kernel.keys.root_maxbytes > "$CLUSTER_RUN/sysctl.before"
fi
network
"$here/make-certificates.sh"
if [ "$UPTO" = node ]; then
  containerd_configuration
  start containerd containerd --config "$CLUSTER_RUN/containerd.toml"
fi
control_plane_store
apiserver
case $UPTO in
  apiserver) ;;
  controllers) controllers ;;
  node) controllers && node ;;
esac
say "cluster $CLUSTER is up to: $UPTO"
