# Sourced after steps/begin.sh and steps/debian.sh: the root tree of a layout, with the programs of its storage. As in the other
# guests its initramfs knows VMware's hardware alone. Most layouts share one tree; a generator that sets boot_packages,
# storage_packages or storage_drivers before begin_layout has one of its own.
# shellcheck shell=bash disable=SC2034,SC2154

# What the initramfs holds for the storage, and the packages of the guest.
storage_drivers=(ext4 xfs btrfs raid1 dm_mod dm_crypt xts ecb cbc sha256 af_alg algif_skcipher)
storage_packages=(lvm2 thin-provisioning-tools xfsprogs btrfs-progs mdadm cryptsetup-initramfs dosfstools)

# The boot loader, and what else its configuration needs.
boot_packages=(grub-pc lsb-release)

# unpack_layout_tree TREE
unpack_layout_tree() {
  local tree=$1 tar
  local -a packages=("${boot_packages[@]}" "${storage_packages[@]}")
  vmware_drivers+=("${storage_drivers[@]}")
  tar="$cache/roots/debian-12-$(content_hash "$guests_folder"/steps/{debian.sh,vmware-machine} -- \
    "${base_packages[@]}" "${packages[@]}" "${vmware_drivers[@]}").tar"
  exec 8>"$tar.lock"
  flock 8
  if [ ! -e "$tar" ]; then
    step "Debian 12 with the programs of its storage, from this machine's package source" debian_tree "$tar" "${packages[@]}"
  fi
  exec 8>&-
  touch "$tar"
  mkdir "$tree"
  step "unpack the root tree" tar -C "$tree" --numeric-owner --xattrs --xattrs-include='*' -xf "$tar"
}

# in_tree TREE COMMAND...: runs the tree's own program, with this machine's kernel behind /proc, /sys and /dev for as long as it
# runs.
in_tree() {
  local tree=$1
  shift
  # The words are for the shell inside.
  # shellcheck disable=SC2016
  unshare --mount --propagation private bash -euc '
    tree=$1
    shift
    mount -t proc proc "$tree/proc"
    mount --rbind /sys "$tree/sys"
    mount --rbind /dev "$tree/dev"
    mount -t tmpfs tmpfs "$tree/run"
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive chroot "$tree" "$@"' - "$tree" "$@"
}

# exchange_packages TREE PACKAGE...: installs packages in a tree; NAME- removes one. For what the tree cannot be made with.
exchange_packages() {
  local tree=$1 resolver
  shift
  resolver=$(cat "$tree/etc/resolv.conf")
  cat /etc/resolv.conf >"$tree/etc/resolv.conf"
  apt-config dump | grep -E '^Acquire::(http|https|ftp|Check|Retries|ForceIPv)' >"$tree/etc/apt/apt.conf.d/99generator" || true
  in_tree "$tree" apt-get update -o Acquire::Languages=none
  in_tree "$tree" apt-get install -y --no-install-recommends -o DPkg::Options::=--force-unsafe-io "$@"
  in_tree "$tree" apt-get clean
  rm -rf "$tree/etc/apt/apt.conf.d/99generator" "$tree"/var/lib/apt/lists/*
  echo "$resolver" >"$tree/etc/resolv.conf"
}
