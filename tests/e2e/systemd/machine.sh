# Sourced: a machine that is thrown away, with a real systemd as its first process.
#
#   make_machine            $machine is its root: an overlay of this machine's own, whose changes are kept in memory
#   fill FOLDER ...         see there
#   run_in_machine FOLDER   boots it and runs FOLDER/script in it as root, from a copy of FOLDER; prints what that prints and
#                           returns its status
#
# systemd-nspawn boots it in a network of its own. It gets control groups of its own below those of this shell, writable,
# because here nobody else manages them: limits are real. A place that does not allow all that (no root, no control groups)
# skips the test, with status 77.
# shellcheck shell=bash

set -euo pipefail
export LC_ALL=C.UTF-8 PATH="$PATH:/usr/sbin:/sbin"

skip() { echo "skipped: $*"; exit 77; }
[ "$(id -u)" -eq 0 ] || skip "only root can boot a machine"
command -v systemd-nspawn >/dev/null || skip "systemd-nspawn (package systemd-container) is not installed"

machine='' place='' control_groups=() own_group=hyper2kvm-test-$$

make_machine() {
  place=$(mktemp -d /var/tmp/hyper2kvm-machine.XXXXXX)
  trap remove_machine EXIT
  trap 'exit 143' INT TERM HUP
  mount -t tmpfs -o size=6g machine "$place" || skip "tmpfs cannot be mounted"
  mkdir "$place/changes" "$place/work" "$place/root"
  mount -t overlay overlay -o "lowerdir=/,upperdir=$place/changes,workdir=$place/work" "$place/root" ||
    skip "an overlay of the root file system cannot be mounted"
  machine=$place/root
  : >"$machine/etc/machine-id"
}

remove_machine() {
  local group
  for group in "${control_groups[@]}"; do
    echo "$BASHPID" >"$group/cgroup.procs" || true
    find "$group/$own_group" -depth -type d -exec rmdir {} \; || true
  done 2>/dev/null
  umount "$place/root" 2>/dev/null || umount -l "$place/root" 2>/dev/null || true
  umount "$place" 2>/dev/null || umount -l "$place" 2>/dev/null || true
  rmdir "$place" || true
}

enter_own_control_groups() {
  local group file
  for group in /sys/fs/cgroup/*/; do
    if [ -L "${group%/}" ] || [ ! -f "$group/cgroup.procs" ]; then continue; fi
    mkdir -p "$group/$own_group" || continue
    for file in cpuset.cpus cpuset.mems; do
      [ ! -f "$group/$file" ] || cat "$group/$file" >"$group/$own_group/$file" || true
    done
    if echo "$BASHPID" >"$group/$own_group/cgroup.procs"; then control_groups+=("$group"); else rmdir "$group/$own_group"; fi
  done 2>/dev/null
}

boot() { # COMMAND...: as the first service of the machine; its output is in /result/output, its status in /result/status
  rm -rf "$machine/result"
  mkdir "$machine/result"
  cat >"$machine/etc/systemd/system/under-test.target" <<UNIT
[Unit]
Requires=basic.target
Wants=under-test.service
After=basic.target
AllowIsolate=yes
UNIT
  cat >"$machine/etc/systemd/system/under-test.service" <<UNIT
[Unit]
After=basic.target
[Service]
Type=oneshot
WorkingDirectory=/
Environment=HOME=/root TERM=xterm
ExecStart=/bin/bash -c '"\$\$@" >/result/output 2>&1; echo \$\$? >/result/status' bash $*
ExecStopPost=/bin/systemctl --no-block exit 0
UNIT
  # shellcheck disable=SC2016 # the inner shell's variables
  timeout "${LIMIT:-1200}" systemd-nspawn -q -D "$machine" --register=no --keep-unit --private-network --console=pipe /bin/sh -c '
    for group in /sys/fs/cgroup/*; do [ -L $group ] || mount -o remount,rw,bind $group; done
    exec /lib/systemd/systemd --system --unit=under-test.target --show-status=0' </dev/null >"$place/console" 2>&1 || true
  [ -s "$machine/result/status" ]
}

# fill FOLDER SCRIPT GUEST: what the scripts in the machine need: the checks, hyperexport, and machines to export: GUEST's disk as
# that of Ubuntu-Server, a disk with nothing but data for all others.
fill() {
  local here
  here=$(dirname "${BASH_SOURCE[0]}")
  mkdir -p "$1/exports" "$machine/usr/local/bin"
  cp "$here/checks.sh" "$1/"
  cp "$here/$2" "$1/script"
  cp "$here/hyperexport" "$machine/usr/local/bin/"
  cp "$3" "$1/exports/Ubuntu-Server.vmdk"
  truncate -s 4M "$1/data.raw"
  seq 100000 | dd of="$1/data.raw" bs=64K seek=3 conv=notrunc status=none
  qemu-img convert -q -O vmdk -o subformat=streamOptimized "$1/data.raw" "$1/exports/data.vmdk"
  rm "$1/data.raw"
}

run_in_machine() {
  [ "${#control_groups[@]}" -gt 0 ] || enter_own_control_groups
  # What belongs to the machine that this one is an overlay of is not to be started, and not to be waited for.
  local unit
  for unit in timers.target paths.target systemd-networkd.service systemd-networkd.socket systemd-resolved.service; do
    ln -sf /dev/null "$machine/etc/systemd/system/$unit"
  done
  if [ -z "${booted:-}" ]; then
    boot /bin/true || {
      tail -n 20 "$place/console"
      skip "systemd does not start as the first process of a container here"
    }
    booted=yes
  fi
  rm -rf "$machine/test"
  cp -r "$1" "$machine/test"
  if ! boot /bin/bash /test/script; then
    echo "the machine ended without a result; the end of its console, and of what the script said:"
    tail -n 30 "$place/console" "$machine/result/output"
    return 1
  fi
  cat "$machine/result/output"
  return "$(cat "$machine/result/status")"
}
