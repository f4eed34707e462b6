#!/bin/bash
# make-certificates.sh: the keys, certificates and kubeconfigs of one cluster, with openssl only. What is there stays.
set -euo pipefail
source "$(dirname "$0")/settings.sh"
mkdir -p "$PKI"
cd "$PKI"

quietly() { "$@" 2> /dev/null; }
new_key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256)

authority() { # NAME
  [ -s "$1.crt" ] && return
  quietly openssl req -x509 "${new_key[@]}" -days 3650 -keyout "$1.key" -out "$1.crt" -subj "/CN=$1" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
}

certificate() { # NAME SUBJECT serverAuth|clientAuth [ALTERNATIVE-NAMES] [AUTHORITY]
  local name=$1 subject=$2 usage=$3 names=${4:-} authority=${5:-ca}
  [ -s "$name.crt" ] && return
  quietly openssl req "${new_key[@]}" -keyout "$name.key" -out "$name.csr" -subj "$subject"
  {
    echo "basicConstraints=CA:FALSE"
    echo "keyUsage=digitalSignature,keyEncipherment"
    echo "extendedKeyUsage=$usage"
    [ -z "$names" ] || echo "subjectAltName=$names"
  } > "$name.ext"
  quietly openssl x509 -req -sha256 -days 3650 -in "$name.csr" -CA "$authority.crt" -CAkey "$authority.key" \
    -CAcreateserial -extfile "$name.ext" -out "$name.crt"
}

kubeconfig() { # CERTIFICATE
  cat > "$CLUSTER_RUN/$1.kubeconfig" << END
apiVersion: v1
kind: Config
clusters:
- name: $CLUSTER
  cluster: {server: "https://127.0.0.1:$APISERVER_PORT", certificate-authority-data: $(base64 -w0 < ca.crt)}
users:
- name: $1
  user: {client-certificate-data: $(base64 -w0 < "$1.crt"), client-key-data: $(base64 -w0 < "$1.key")}
contexts:
- name: $CLUSTER
  context: {cluster: $CLUSTER, user: $1, namespace: default}
current-context: $CLUSTER
END
}

authority ca
authority front-proxy-ca
certificate apiserver "/CN=kube-apiserver" serverAuth "IP:127.0.0.1,IP:$NODE_ADDRESS,IP:$APISERVER_SERVICE,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"
certificate admin "/O=system:masters/CN=admin" clientAuth
certificate kubelet-client "/O=system:masters/CN=kube-apiserver-kubelet-client" clientAuth
certificate front-proxy-client "/CN=front-proxy-client" clientAuth "" front-proxy-ca
certificate controller-manager "/CN=system:kube-controller-manager" clientAuth
certificate scheduler "/CN=system:kube-scheduler" clientAuth
certificate proxy "/CN=system:kube-proxy" clientAuth
certificate kubelet "/O=system:nodes/CN=system:node:$NODE_NAME" clientAuth
certificate kubelet-server "/CN=$NODE_NAME" serverAuth "IP:127.0.0.1,IP:$NODE_ADDRESS,DNS:localhost,DNS:$NODE_NAME"
if [ ! -s sa.key ]; then
  quietly openssl genrsa -out sa.key 2048
  quietly openssl rsa -in sa.key -pubout -out sa.pub
fi
# Bearer tokens for tests: token,user,uid,"groups"
cat > tokens.csv << END
e2e-admin-token,e2e-admin,1001,"system:masters"
e2e-user-token,e2e-user,1002,"e2e"
END
for user in admin controller-manager scheduler proxy kubelet; do kubeconfig "$user"; done
