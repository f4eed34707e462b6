# Sourced: disks laid out by the guest's own programs (lvm, cryptsetup, mdadm, mkfs) inside a User-mode Linux, so that no
# loop device, device mapper or file system of this machine's kernel is needed.
# shellcheck shell=bash disable=SC2154

# memory_place: a directory for the memory of a User-mode Linux, which is a file that is mapped executable; best a tmpfs.
memory_place() {
  local place
  for place in /dev/shm "${TMPDIR:-/tmp}"; do
    if [ -w "$place" ] && [ "$(df --output=avail -m "$place" | tail -n 1)" -ge 600 ] &&
      ! findmnt -no OPTIONS -T "$place" | grep -qw noexec; then
      echo "$place"
      return
    fi
  done
  echo "$work"
}

# lay_out_inside TREE SCRIPT DISK...: boots a copy of TREE with the disks as /dev/ubdb, /dev/ubdc... and runs the text of
# SCRIPT there, which formats them and mounts them below /target; then TREE is copied to /target and all is closed.
lay_out_inside() {
  local tree=$1 script=$2 release modules log="$work/uml.log" index=1
  shift 2
  modules=$(find /usr/lib/uml/modules -mindepth 1 -maxdepth 1 -type d | head -n 1)
  release=${modules##*/}
  cp -a "$modules" "$tree/usr/lib/modules/$release"
  cat >"$tree/lay-out" <<'INIT'
#!/bin/bash
export PATH=/usr/sbin:/usr/bin:/sbin:/bin DM_DISABLE_UDEV=1 LC_ALL=C.UTF-8
finish() {
  local status=$?
  set +e
  umount -R /target
  sync
  for group in $(lvm vgs --noheadings -o name 2>/dev/null); do lvm vgchange -an --noudevsync "$group"; done
  for device in /dev/mapper/*; do [ ! -b "$device" ] || cryptsetup close "$device"; done
  [ ! -b /dev/md0 ] || mdadm --stop /dev/md0
  echo "layout ended with status $status"
  sync
  poweroff -ff
}
trap finish EXIT
set -e
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mkdir -p /run/lock/lvm /run/cryptsetup /target
source /lay-out-script
# By one program: switching between two at the ends of a pipe is slow here.
rm -rf "/usr/lib/modules/$(uname -r)"
for entry in /*; do
  case $entry in
    /target | /lay-out | /lay-out-script | /lost+found) ;;
    /dev | /proc | /run | /sys) mkdir "/target$entry" ;;
    *) cp --archive --one-file-system "$entry" /target/ ;;
  esac
done
INIT
  printf '%s\n' "$script" >"$tree/lay-out-script"
  chmod 755 "$tree/lay-out"
  mke2fs -q -F -t ext4 -m 0 -O ^has_journal -d "$tree" "$work/builder.img" 1600M
  local -a settings=(mem=512M ubd0=builder.img root=/dev/ubda rw init=/lay-out con=null "con0=null,fd:1" ssl=null
    uml_dir=. umid=layout noreboot)
  for disk in "$@"; do
    settings+=("ubd$index=$(basename "$disk")")
    index=$((index + 1))
  done
  (cd "$work" && env -i PATH="$PATH" TMPDIR="$(memory_place)" HOME=/ timeout 900 linux.uml "${settings[@]}") >"$log" 2>&1 </dev/null || true
  rm -rf "$work/builder.img" "$tree/usr/lib/modules/$release" "$tree/lay-out" "$tree/lay-out-script"
  cat "$log"
  grep -q 'layout ended with status 0' "$log"
}

# put_grub_bios_gpt DISK SECTOR TREE PREFIX MODULE...: GRUB's first stage in the protective MBR, its core in the BIOS boot
# partition that starts at SECTOR, as grub-install does. Both carry the number of a sector to go on with.
put_grub_bios_gpt() {
  local disk=$1 sector=$2 modules="$3/usr/lib/grub/i386-pc" prefix=$4 core="$work/core.img"
  shift 4
  grub-mkimage -d "$modules" -O i386-pc -p "$prefix" -o "$core" biosdisk part_gpt search_fs_uuid "$@"
  dd if="$modules/boot.img" of="$disk" bs=440 count=1 conv=notrunc status=none
  put_file "$disk" "$sector" "$core"
  python3 - "$disk" "$sector" <<'PYTHON'
import struct, sys
disk, sector = sys.argv[1], int(sys.argv[2])
with open(disk, "r+b") as file:
    file.seek(0x5c)
    file.write(struct.pack("<Q", sector))
    file.seek(sector * 512 + 500)
    file.write(struct.pack("<Q", sector + 1))
PYTHON
  rm "$core"
}

# put_grub_boot_partition DISK TREE MODULE...: for an MBR disk whose first partition is /boot.
put_grub_boot_partition() {
  local disk=$1 modules="$2/usr/lib/grub/i386-pc" core="$work/core.img"
  shift 2
  grub-mkimage -d "$modules" -O i386-pc -p '(hd0,msdos1)/grub' -o "$core" biosdisk part_msdos ext2 search_fs_uuid "$@"
  dd if="$modules/boot.img" of="$disk" bs=440 count=1 conv=notrunc status=none
  put_file "$disk" 1 "$core"
  rm "$core"
}

# boot_files_at_the_top TREE: grub.cfg of a machine whose /boot is a file system of its own.
boot_files_at_the_top() {
  sed -i 's# /boot/\(vmlinuz\|initrd\)#\ /\1#; s#\t/boot/\(vmlinuz\|initrd\)#\t/\1#' "$1/boot/grub/grub.cfg"
}

# add_to_initramfs TREE DIRECTORY: what lies in DIRECTORY becomes one more archive of every initramfs, as the generator
# would have put it there on a machine with this storage.
add_to_initramfs() {
  local image
  for image in "$1"/boot/initrd.img-*; do
    truncate -s %4 "$image"
    (cd "$2" && find . -mindepth 1 | cpio --quiet -o -H newc -R 0:0) >>"$image"
  done
}

# compress_initramfs TREE PROGRAM...: every initramfs is compressed by this program instead, as initramfs-tools does it where its
# configuration says COMPRESS.
compress_initramfs() {
  local tree=$1 image
  shift
  sed -i "s/^COMPRESS=.*/COMPRESS=$1/" "$tree/etc/initramfs-tools/initramfs.conf"
  for image in "$tree"/boot/initrd.img-*; do
    zstd -q -dc "$image" | "$@" >"$work/initramfs"
    cat "$work/initramfs" >"$image"
    rm "$work/initramfs"
  done
}

# put_microcode_first TREE: a plain archive in front of the compressed one, as the processors' makers have it. No processor of an
# emulator takes this one.
put_microcode_first() {
  local image place="$work/early/kernel/x86/microcode"
  mkdir -p "$place"
  printf '%048d' 0 >"$place/GenuineIntel.bin"
  for image in "$1"/boot/initrd.img-*; do
    (cd "$work/early" && find . -mindepth 1 | cpio --quiet -o -H newc -R 0:0) >"$work/initramfs"
    truncate -s %512 "$work/initramfs"
    cat "$image" >>"$work/initramfs"
    cat "$work/initramfs" >"$image"
    rm "$work/initramfs"
  done
  rm -r "$work/early"
}

# put_fat DISK SECTOR SECTORS DIRECTORY: a FAT32 with everything that is in the directory.
put_fat() {
  local image="$work/fat"
  truncate -s "$(($3 * 512))" "$image"
  mkfs.vfat -F 32 "$image"
  mcopy -s -i "$image" "$4"/* ::/
  put_file "$1" "$2" "$image"
  rm "$image"
}

# only_loopback TREE: ifupdown has nothing to do, because something else configures the cards.
only_loopback() {
  rm -f "$1"/etc/network/interfaces.d/*
  printf 'auto lo\niface lo inet loopback\n' >"$1/etc/network/interfaces"
}
