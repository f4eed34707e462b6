# Sourced: a Debian 12 root tree that was built for VMware's hardware, as a cached tar.
# shellcheck shell=bash disable=SC2154

# The drivers of VMware's paravirtual disk, its network card and its IDE disc drive, and what turns a SCSI device into a
# disk. Nothing of virtio: that is what makes the guest unfit for KVM until it has been repaired.
vmware_drivers=(vmw_pvscsi sd_mod vmxnet3 ata_piix)

# What every guest has. The cloud kernel holds VMware's and KVM's drivers alike, and is a fifth of the size of the other.
base_packages=(linux-image-cloud-amd64 initramfs-tools zstd systemd-sysv udev kmod ifupdown iproute2 open-vm-tools
  e2fsprogs login passwd procps)

# apt_sources: the Debian 12 repositories that this machine's apt is configured with, one a line, whatever the form of
# its configuration.
apt_sources() {
  # The words in $() are apt's, not the shell's.
  # shellcheck disable=SC2016
  apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
    grep -E ' bookworm(-updates|-security)? main$' | sort -u
}

# debian_tree TAR PACKAGE...: a tar of Debian 12 with the base packages and these, made once for each set of packages and
# kept in the cache.
debian_tree() {
  local tar=$1 sources
  shift
  [ -e "$tar" ] && return
  sources=$(apt_sources) || true
  if [ -z "$sources" ]; then
    apt-get update
    sources=$(apt_sources) || true
  fi
  if [ -z "$sources" ]; then
    echo "apt on this machine has no repository of Debian 12 (bookworm), and the guest is made from one." \
      "Add one to /etc/apt/sources.list."
    return 1
  fi
  # apt inside the new tree does not read this machine's settings, so proxies and the like are handed over.
  apt-config dump | grep -E '^Acquire::(http|https|ftp|Check|Retries|ForceIPv)' >"$work/apt.conf" || true
  # Without manuals, translations and fsync, which nobody misses here.
  # $1 is the tree, expanded by the shell that runs the hook.
  # shellcheck disable=SC2016
  mmdebstrap --variant=minbase --mode=root --aptopt="$work/apt.conf" \
    --aptopt='Acquire::Languages "none"' \
    --dpkgopt='force-unsafe-io' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --include="$(IFS=,; echo "${base_packages[*]},$*")" \
    --setup-hook='mkdir -p "$1/etc/initramfs-tools/conf.d" && echo MODULES=list >"$1/etc/initramfs-tools/conf.d/modules"' \
    --customize-hook="$(printf %q "$guests_folder/steps/vmware-machine") \"\$1\" ${vmware_drivers[*]}" \
    --customize-hook='rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap" "$1"/var/log/*.log "$1"/var/log/apt/*' \
    bookworm "$tar.partial.tar" - <<<"$sources"
  mv "$tar.partial.tar" "$tar"
}

# unpack_tree TREE PACKAGE...: the root tree of Debian with these packages, unpacked in the directory TREE.
unpack_tree() {
  local tree=$1 tar
  shift
  tar="$cache/roots/debian-12-$(content_hash "$guests_folder"/steps/{debian.sh,vmware-machine} -- "$@").tar"
  # Two generators may want the same tree at the same time.
  exec 8>"$tar.lock"
  flock 8
  if [ ! -e "$tar" ]; then
    step "Debian 12 for VMware's hardware, from this machine's package source" debian_tree "$tar" "$@"
  fi
  exec 8>&-
  touch "$tar"
  # Trees of older generators.
  find "$cache/roots" -name 'debian-12-*.tar*' -mtime +14 -delete
  mkdir "$tree"
  step "unpack the root tree" tar -C "$tree" --numeric-owner --xattrs --xattrs-include='*' -xf "$tar"
}
