# Sourced after steps/begin.sh and steps/debian.sh: one root tree for all layouts of this folder, with the programs of
# every storage that they use. As in the other guests its initramfs knows VMware's hardware alone.
# shellcheck shell=bash disable=SC2034,SC2154

vmware_drivers+=(ext4 xfs btrfs raid1 dm_mod dm_crypt xts ecb cbc sha256 af_alg algif_skcipher)
layout_packages=(grub-pc lsb-release lvm2 xfsprogs btrfs-progs mdadm cryptsetup-initramfs dosfstools)

# unpack_layout_tree TREE
unpack_layout_tree() {
  local tree=$1 tar
  tar="$cache/roots/debian-12-$(content_hash "$guests_folder"/steps/{debian.sh,vmware-machine} "$guests_folder/campaign/tree.sh").tar"
  exec 8>"$tar.lock"
  flock 8
  if [ ! -e "$tar" ]; then
    step "Debian 12 with every kind of storage, from this machine's package source" debian_tree "$tar" "${layout_packages[@]}"
  fi
  exec 8>&-
  touch "$tar"
  mkdir "$tree"
  step "unpack the root tree" tar -C "$tree" --numeric-owner --xattrs --xattrs-include='*' -xf "$tar"
}
