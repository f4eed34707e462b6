# shellcheck shell=bash
# A real libvirtd on an address of the node, over TLS and SSH, with directories of its own; sourced by on-a-node. Needs root.
libvirt_process='' libvirt_folder='' ssh_process=''

# certificate_of AUTHORITY FOLDER NAME ADDRESS: a key and a certificate that the authority (a folder with key.pem and cacert.pem,
# made when it is not there) has signed, for client or server.
certificate_of() {
  mkdir -p "$1" "$2"
  [ -f "$1/cacert.pem" ] || openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=authority" \
    -keyout "$1/key.pem" -out "$1/cacert.pem" 2>/dev/null
  openssl req -newkey rsa:2048 -nodes -subj "/CN=$3" -addext "subjectAltName=IP:$4" -keyout "$2/$3key.pem" -out "$2/request" 2>/dev/null
  openssl x509 -req -days 2 -copy_extensions copy -in "$2/request" -CA "$1/cacert.pem" -CAkey "$1/key.pem" -CAcreateserial \
    -out "$2/$3cert.pem" 2>/dev/null
  cp "$1/cacert.pem" "$2/"
  rm "$2/request"
}

# start_libvirt FOLDER ADDRESS: on its port 16514. Its process is $libvirt_process, `on_libvirt COMMAND...` is virsh there, and
# FOLDER/client has what a client needs.
start_libvirt() {
  libvirt_folder=$1
  local part
  for part in etc lib run cache log sock; do mkdir -p "$1/$part"; done
  # The emulator's user goes through here.
  chmod 0755 "$1"
  certificate_of "$1/authority" "$1/server" server "$2"
  certificate_of "$1/authority" "$1/client" client "$2"
  # Machines need no other daemon and no /dev of their own; where /dev/kvm has a group of its own, libvirt would ask the emulator
  # again at every call.
  printf 'stdio_handler = "file"\nnamespaces = []\n' >"$1/etc/qemu.conf"
  [ ! -e /dev/kvm ] || printf 'group = "+%s"\n' "$(stat -c %g /dev/kvm)" >>"$1/etc/qemu.conf"
  cat >"$1/libvirtd.conf" <<CONFIGURATION
unix_sock_dir = "$1/sock"
auth_unix_rw = "none"
auth_unix_ro = "none"
listen_tls = 1
listen_addr = "$2"
ca_file = "$1/server/cacert.pem"
cert_file = "$1/server/servercert.pem"
key_file = "$1/server/serverkey.pem"
auth_tls = "none"
CONFIGURATION
  # shellcheck disable=SC2016 # it expands there
  setsid unshare --mount bash -c 'set -e
    cd "$0"
    for part in etc:/etc/libvirt lib:/var/lib/libvirt run:/run/libvirt cache:/var/cache/libvirt log:/var/log/libvirt; do
      mkdir -p "${part#*:}"
      mount --bind "${part%%:*}" "${part#*:}"
    done
    exec libvirtd --listen --config "$0/libvirtd.conf" --pid-file "$0/libvirtd.pid"' "$1" >"$1/libvirtd.log" 2>&1 </dev/null &
  # shellcheck disable=SC2034 # who sources this ends it
  libvirt_process=$!
}

# start_ssh FOLDER ADDRESS: an SSH server on its port 2222 that lets root in with the key FOLDER/client, to the libvirt that was
# started; FOLDER/known_hosts has its own. Its process is $ssh_process.
start_ssh() {
  mkdir -p "$1/home/.ssh"
  chmod 0700 "$1/home" "$1/home/.ssh"
  dropbearkey -t ed25519 -f "$1/host_key" 2>/dev/null | sed -n "s/^ssh-ed25519 /[$2]:2222 &/p" >"$1/known_hosts"
  ssh-keygen -q -t ed25519 -N '' -f "$1/client"
  cp "$1/client.pub" "$1/home/.ssh/authorized_keys"
  # shellcheck disable=SC2016 # it expands there
  setsid unshare --mount bash -c 'set -e
    mount --bind "$0/home" ~root
    mkdir -p /run/libvirt
    mount --bind "$1" /run/libvirt
    exec dropbear -F -E -s -m -p "$2:2222" -r "$0/host_key" -P "$0/dropbear.pid"' \
    "$1" "$libvirt_folder/sock" "$2" >"$1/dropbear.log" 2>&1 </dev/null &
  # shellcheck disable=SC2034 # who sources this ends it
  ssh_process=$!
}
on_libvirt() { virsh -q -c "qemu+unix:///system?socket=$libvirt_folder/sock/libvirt-sock" "$@"; }
