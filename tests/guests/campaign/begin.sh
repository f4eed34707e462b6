# Sourced first by the generators of layouts: every step that they use. Such a guest is one or more raw images, disk1.raw,
# disk2.raw..., in its output directory.
# shellcheck shell=bash disable=SC1091,SC2154
campaign=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$campaign/../steps/begin.sh"
source "$campaign/../steps/debian.sh"
source "$campaign/../steps/disk.sh"
source "$campaign/tree.sh"
source "$campaign/lay-out.sh"

# Emulated machines are slow to find their disks: twice the usual time, and half of what an encrypted one waits.
arguments='console=tty0 console=ttyS0,115200n8 rootdelay=60'

layout_stamp() { content_hash "$0" "$guests_folder"/steps/* "$campaign"/*.sh; }

# begin_layout "$@": as begin_guest does for an OVA. Beside the generators of this folder its guests lie in a folder of their own.
begin_layout() {
  local folder=campaign
  [ "$(cd "$(dirname "$0")" && pwd)" = "$campaign" ] || folder=guests
  local place=${1:-$cache/$folder/$guest}
  if [ "$place" != --help ] && [ "$(cat "$place/.stamp" 2>/dev/null)" = "$(layout_stamp)" ]; then
    say "$place is up to date"
    exit 0
  fi
  begin_guest "$place"
  stamp=$(layout_stamp)
  unpack_layout_tree "$work/tree"
  name_machine "$work/tree" "$guest"
  be_patient "$work/tree"
  add_second_card "$work/tree"
  write_default_grub "$work/tree" "$arguments"
  put_grub_modules "$work/tree" i386-pc
}

# be_patient TREE: under emulation a device may take longer than the minute and a half that systemd gives it.
be_patient() {
  mkdir -p "$1/etc/systemd/system.conf.d"
  printf '[Manager]\nDefaultTimeoutStartSec=15min\nDefaultDeviceTimeoutSec=15min\n' >"$1/etc/systemd/system.conf.d/slow.conf"
}

# add_second_card TREE: an address on the card in VMware's second slot, on a network of its own.
add_second_card() {
  cat >"$1/etc/network/interfaces.d/second" <<'INTERFACES'
allow-hotplug ens224
iface ens224 inet static
	address 10.0.3.15/24
INTERFACES
}

# finish_layout: the disks in $work are the guest. The stamp goes last, so that it never vouches for half a guest.
finish_layout() {
  mv -f "$work"/disk?.raw "$out/"
  printf '%s\n' "$stamp" >"$out/.stamp"
  say "$out is ready (${SECONDS} s in all)"
}
