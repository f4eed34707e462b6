# Sourced first by every make-*-guest: options, the cache, one builder at a time, and a stamp that tells when nothing is to do.
#
# A generator is a file make-NAME-guest that describes one layout and calls these steps. What it leaves in its output
# directory stays valid until its own text, or that of a step, changes: the stamp there holds the hash of both.
# shellcheck shell=bash

set -euo pipefail
export LC_ALL=C.UTF-8
# Debian keeps programs for root apart, and an ordinary shell may lack these directories.
export PATH="$PATH:/usr/sbin:/sbin"

guests_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/hyper2kvm"
generator=$(basename "$0")
guest=${generator#make-}
guest=${guest%-guest}

say() { printf '%s: %s\n' "$generator" "$*" >&2; }
fail() { say "$*"; exit 1; }

# step TEXT COMMAND...: says what is done and how long it took; the command's own output is shown only if it fails.
step() {
  local text=$1 started=$SECONDS log="$work/step.log"
  shift
  # A function that is called in a condition would go on after an error inside it, so it runs in a shell of its own.
  set +e
  (set -e; "$@") >"$log" 2>&1
  local status=$?
  set -e
  if [ "$status" -ne 0 ]; then
    cat "$log" >&2
    fail "$text: failed with status $status; its output is above"
  fi
  say "$text ($((SECONDS - started)) s)"
}

# content_hash FILE... [-- TEXT...]: 64 hex digits over what the files hold and the texts.
content_hash() {
  local -a files=()
  while [ $# -gt 0 ] && [ "$1" != -- ]; do files+=("$1"); shift; done
  { cat "${files[@]}"; printf '%s\n' "$@"; } | sha256sum | cut -d' ' -f1
}

# begin_guest "$@": reads the command line, then either says that the guest is already there and ends the generator,
# or sets $out (the output directory) and $work (a scratch directory on the same file system, removed at the end).
begin_guest() {
  case "${1:-}" in
    -h | --help)
      cat <<HELP
usage: $generator [OUTDIR]

Makes the test guest "$guest" as an OVA, with the members of the OVA beside it, in OUTDIR (default: $cache/guests/$guest).
Nothing is done when OUTDIR already holds what this generator makes. Needs root. Debian's packages come from wherever
this machine's apt gets them.
HELP
      exit 0 ;;
    -*) fail "unknown option $1; see $generator --help" ;;
  esac
  [ $# -le 1 ] || fail "one output directory at most; see $generator --help"
  out=${1:-$cache/guests/$guest}
  mkdir -p "$out" "$cache/roots"
  out=$(cd "$out" && pwd)
  exec 9>"$out/.lock"
  flock 9
  stamp=$(content_hash "$0" "$guests_folder"/steps/*)
  if [ -e "$out/$guest.ova" ] && [ "$(cat "$out/.stamp" 2>/dev/null)" = "$stamp" ]; then
    say "$out/$guest.ova is up to date"
    exit 0
  fi
  [ "$(id -u)" -eq 0 ] || fail "needs root, because a guest's files belong to many users; run it with sudo"
  rm -f "$out/.stamp"
  work=$(mktemp -d "$out/.work.XXXXXX")
  trap 'rm -rf --one-file-system "$work"' EXIT
  trap 'exit 130' INT TERM HUP PIPE
}

# end_guest FILE...: moves the finished files out of $work into $out; the stamp goes last, so that it never vouches
# for half a guest.
end_guest() {
  mv -f "$@" "$out/"
  printf '%s\n' "$stamp" >"$out/.stamp"
  say "$out/$guest.ova is ready (${SECONDS} s in all)"
}
