# Sourced by what runs in the machine: commands are run as they are written, and what they print is looked at.
# shellcheck shell=bash

set -uo pipefail
output='' status=0

title() { printf '\n=== %s\n' "$*"; }

die() {
  printf '\n*** %s\n*** the journal:\n' "$*"
  journalctl --no-pager -o short-precise -n 100 -t hyper2kvm -t systemd 2>/dev/null
  exit 1
}

# run COMMAND [STATUS]: in a shell, as a person types it. STATUS: what it must end with; 0 where nothing is said. What $answers
# names is read by it as if it were typed: a file, because programs look whether theirs is a pipe.
answers=/dev/null
run() {
  printf '$ %s\n' "$1"
  status=0
  output=$(eval "$1" 2>&1 <"$answers") || status=$?
  [ -z "$output" ] || printf '%s\n' "$output" | head -n 60
  [ "$status" = "${2:-0}" ] || die "\"$1\" ended with status $status and not with ${2:-0}"
}

# shows PATTERN...: the last command's output has a line like each (extended regular expressions).
shows() {
  local pattern
  for pattern; do
    grep -Eq -- "$pattern" <<<"$output" || die "the output shows no line like: $pattern"
  done
}
shows_no() { ! grep -Eq -- "$1" <<<"$output" || die "the output shows a line like: $1"; }
is_silent() { [ -z "$output" ] || die "it said something"; }

# eventually COMMAND: within two minutes, without a word.
eventually() {
  local end=$((SECONDS + 120))
  until eval "$1" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || die "never came true: $1"
    sleep 0.2
  done
}

# Where the control groups of old are mounted in an unusual way, systemd counts no service's processor time.
shows_processor_time() {
  if [ "$(systemctl show -P CPUUsageNSec systemd-journald.service)" != "[not set]" ]; then
    shows '^ +CPU: ([0-9.]+(h|min|s|ms|us) ?)+$'
  else
    echo "systemd counts no processor time here: no CPU: line to look at"
  fi
}

# In a chroot no user namespace can be made, so PrivateUsers= is left out there; all else stays as the units have it.
without_user_namespaces() {
  local unit
  if systemd-run --quiet --wait --collect -p PrivateUsers=yes true 2>/dev/null; then return; fi
  echo "no user namespaces here: the units run without PrivateUsers="
  for unit in hyper2kvm.service hyper2kvm@.service; do
    mkdir -p "/run/systemd/system/$unit.d"
    printf '[Service]\nPrivateUsers=no\n' >"/run/systemd/system/$unit.d/chroot.conf"
  done
  systemctl daemon-reload
}
