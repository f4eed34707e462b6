# Sourced first by the generators of layouts: every step that they use. Such a guest is one or more raw images, disk1.raw,
# disk2.raw..., in its output directory.
# shellcheck shell=bash disable=SC1091,SC2154
campaign=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$campaign/../steps/begin.sh"
source "$campaign/../steps/debian.sh"
source "$campaign/../steps/disk.sh"
source "$campaign/tree.sh"
source "$campaign/lay-out.sh"

# Emulated machines are slow to find their disks: twice the usual time, and half of what an encrypted one waits. Nor is a device
# lost for which udev has not done everything within three minutes.
arguments='console=tty0 console=ttyS0,115200n8 rootdelay=60 udev.event_timeout=900'

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
  configure_network "$work/tree"
  if [ -d "$work/tree/usr/lib/grub/i386-pc" ]; then
    write_default_grub "$work/tree" "$arguments"
    put_grub_modules "$work/tree" i386-pc
  fi
}

# be_patient TREE: under emulation, beside other work, a device may take longer than the minute and a half that systemd gives it,
# and a service longer than a limit of its own: half a minute for the machine's id, three for a sign of life of udev.
be_patient() {
  local folder="$1/etc/systemd/system" service
  mkdir -p "$1/etc/systemd/system.conf.d"
  printf '[Manager]\nDefaultTimeoutStartSec=15min\nDefaultDeviceTimeoutSec=15min\n' >"$1/etc/systemd/system.conf.d/slow.conf"
  for service in $(cd "$1/usr/lib/systemd/system" && grep -lE '^(TimeoutSec|TimeoutStartSec|WatchdogSec)=[1-9]' ./*.service); do
    [ ! -L "$1/usr/lib/systemd/system/$service" ] || continue
    mkdir -p "$folder/$service.d"
    printf '[Service]\nTimeoutStartSec=15min\nWatchdogSec=0\n' >"$folder/$service.d/slow.conf"
  done
  # It waits two minutes for udev, and then has failed.
  sed -n 's/udevadm settle/udevadm settle --timeout=900/; /^ExecStart=/ { s/^/ExecStart=\n/; p }' \
    "$1/usr/lib/systemd/system/ifupdown-pre.service" | sed '1 i [Service]' >"$folder/ifupdown-pre.service.d/settle.conf"
  # It fails where a volume group is found at the very moment.
  if [ -e "$1/usr/lib/systemd/system/lvm2-monitor.service" ]; then
    mkdir -p "$folder/lvm2-monitor.service.d"
    printf '[Service]\nRestart=on-failure\nRestartSec=10\n' >"$folder/lvm2-monitor.service.d/again.conf"
  fi
}

# configure_network TREE: the steps have given the card in VMware's first slot its address; here the one in the second gets its
# own. A generator may define another one.
configure_network() { configure_second_card "$1"; }

# configure_second_card TREE: by ifupdown, which is told of the first one elsewhere.
configure_second_card() {
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
