# Sourced: stages that say what they do, how far they are and how long they took, and that stop the script where they fail.
# shellcheck shell=bash

set -euo pipefail
export LC_ALL=C.UTF-8
# Debian keeps programs for root apart, and a login shell may lack these directories.
export PATH="$PATH:/usr/sbin:/sbin"

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_folder=$(dirname "$scripts")
cache="${XDG_CACHE_HOME:-$HOME/.cache}/hyper2kvm"
export CCACHE_DIR="${CCACHE_DIR:-$cache/ccache}" CCACHE_MAXSIZE="${CCACHE_MAXSIZE:-2G}"
# A compilation is found in the cache from any checkout.
export CCACHE_BASEDIR="$source_folder" CCACHE_NOHASHDIR=1
logs="$cache/logs/$(basename "$0")"
stage_names=()
stage_seconds=()
running=()

say() { printf '%s\n' "$*"; }
fail() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# Whatever a stage has started ends with the script: a background job is a process group of its own.
# A minute, because a test may have a whole cluster to take down.
end_jobs() {
  local job left=600
  for job in "${running[@]}"; do kill -TERM -- "-$job" 2>/dev/null || true; done
  for job in "${running[@]}"; do
    # One that has ended and that nobody has asked for yet counts no more.
    while [ "$left" -gt 0 ] && pgrep -g "$job" -r D,R,S,T >/dev/null 2>&1; do
      left=$((left - 1))
      sleep 0.1
    done
  done
}
trap end_jobs EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
# Whoever read our output may be gone first; that must not keep the jobs from being ended.
trap 'exit 141' PIPE

# start_stage LOG COMMAND...: runs it in the background; its process id is in $started.
start_stage() {
  local log=$1
  shift
  mkdir -p "$logs"
  set -m
  (set +m; "$@") >"$log" 2>&1 </dev/null &
  started=$!
  set +m
  running+=("$started")
}

# forget_job PID: it has ended.
forget_job() {
  local i
  for i in "${!running[@]}"; do [ "${running[$i]}" != "$1" ] || unset "running[$i]"; done
}

# in_group COMMAND...: runs it as any command, but in a process group of its own, which ends with the script.
in_group() {
  local job status=0
  set -m
  (set +m; exec "$@") </dev/null &
  job=$!
  set +m
  running+=("$job")
  wait "$job" || status=$?
  forget_job "$job"
  return "$status"
}

# last_line LOG COLUMNS: the last line with something on it, without what a terminal would do with it.
last_line() {
  tail -c 4096 "$1" | tr '\r' '\n' | sed -e 's/\x1b\[[0-9;?]*[A-Za-z]//g' -e 's/[[:cntrl:]]//g' -e '/^ *$/d' | tail -n 1 | cut -c "1-$2"
}

# follow_stage NAME PID LOG SINCE: waits for it, shows the last line of what it says (on a terminal at once, elsewhere twice a
# minute), then how long it took. Its whole output comes out if it fails, and the script ends.
follow_stage() {
  local name=$1 pid=$2 log=$3 since=$4 status=0 shown=$SECONDS
  while kill -0 "$pid" 2>/dev/null; do
    if [ -t 1 ]; then
      printf '\r\033[K    %s' "$(last_line "$log" $((${COLUMNS:-80} - 5)))"
    elif [ $((SECONDS - shown)) -ge 30 ]; then
      shown=$SECONDS
      printf '    %4d s  %s\n' "$((SECONDS - since))" "$(last_line "$log" 110)"
    fi
    sleep 0.2
  done
  [ ! -t 1 ] || printf '\r\033[K'
  wait "$pid" || status=$?
  forget_job "$pid"
  if [ "$status" -ne 0 ]; then
    tail -n 200 "$log" >&2
    fail "$name: failed with status $status after $((SECONDS - since)) s. The end of its output is above, all of it in $log."
  fi
  stage_names+=("$name")
  stage_seconds+=("$((SECONDS - since))")
  printf '    done in %d s\n' "$((SECONDS - since))"
}

# stage NAME COMMAND...: a stage of the script, from start to end.
stage() {
  local name=$1 log since=$SECONDS
  shift
  log="$logs/$(printf '%s' "$name" | tr -cs 'a-zA-Z0-9' '-').log"
  printf '==> %s\n' "$name"
  start_stage "$log" "$@"
  follow_stage "$name" "$started" "$log" "$since"
}

# print_stages: how long each took.
print_stages() {
  local i
  for i in "${!stage_names[@]}"; do printf '  %6d s  %s\n' "${stage_seconds[$i]}" "${stage_names[$i]}"; done
}

# build FOLDER CMAKE_ARGUMENT... -- [TARGET...]: configures and builds, everything unless targets are named.
build() {
  local folder=$1 jobs kibibytes
  local -a arguments=()
  shift
  while [ "$1" != -- ]; do arguments+=("$1"); shift; done
  shift
  # The largest translation units take about 1.5 GiB.
  jobs=$(nproc)
  kibibytes=$(awk '/^MemAvailable:/ {print $2}' /proc/meminfo)
  [ "$jobs" -le $((kibibytes / 1572864)) ] || jobs=$((kibibytes / 1572864))
  [ "$jobs" -ge 1 ] || jobs=1
  cmake -S "$source_folder" -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo \
    -DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache "${arguments[@]}"
  cmake --build "$folder" -j "$jobs" "${@/#/--target=}"
}
