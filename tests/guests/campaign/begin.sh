# Sourced first by the generators of this folder: every step that they use. A guest here is one or more raw images,
# disk1.raw, disk2.raw..., in its output directory.
# shellcheck shell=bash disable=SC1091,SC2154
campaign=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$campaign/../steps/begin.sh"
source "$campaign/../steps/debian.sh"
source "$campaign/../steps/disk.sh"
source "$campaign/tree.sh"
source "$campaign/lay-out.sh"

arguments='console=tty0 console=ttyS0,115200n8'

layout_stamp() { content_hash "$0" "$guests_folder"/steps/* "$campaign"/*.sh; }

# begin_layout "$@": as begin_guest does for an OVA.
begin_layout() {
  local place=${1:-$cache/campaign/$guest}
  if [ "$place" != --help ] && [ "$(cat "$place/.stamp" 2>/dev/null)" = "$(layout_stamp)" ]; then
    say "$place is up to date"
    exit 0
  fi
  begin_guest "$place"
  stamp=$(layout_stamp)
  unpack_layout_tree "$work/tree"
  name_machine "$work/tree" "$guest"
  write_default_grub "$work/tree" "$arguments"
  put_grub_modules "$work/tree" i386-pc
}

# finish_layout: the disks in $work are the guest. The stamp goes last, so that it never vouches for half a guest.
finish_layout() {
  mv -f "$work"/disk?.raw "$out/"
  printf '%s\n' "$stamp" >"$out/.stamp"
  say "$out is ready (${SECONDS} s in all)"
}
