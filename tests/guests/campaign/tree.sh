# Sourced after steps/begin.sh and steps/debian.sh: the root tree of a layout, with the programs of its storage. As in the other
# guests its initramfs knows VMware's hardware alone. Most layouts share one tree; a generator that sets storage_packages or
# storage_drivers before begin_layout has one of its own.
# shellcheck shell=bash disable=SC2034,SC2154

# What the initramfs holds for the storage, and the packages of the guest.
storage_drivers=(ext4 xfs btrfs raid1 dm_mod dm_crypt xts ecb cbc sha256 af_alg algif_skcipher)
storage_packages=(lvm2 thin-provisioning-tools xfsprogs btrfs-progs mdadm cryptsetup-initramfs dosfstools)

# unpack_layout_tree TREE
unpack_layout_tree() {
  local tree=$1 tar
  local -a packages=(grub-pc lsb-release "${storage_packages[@]}")
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
