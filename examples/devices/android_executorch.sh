#!/bin/sh
# The latency of an ExecuTorch file on an Android phone, by ExecuTorch's own executor_runner over adb.
#
#   latency: {backend: command, format: executorch, run: 'examples/devices/android_executorch.sh {file} {threads} {repeats} {device}'}
#
# Build executor_runner for Android with XNNPACK (docs.pytorch.org/executorch, "Building from Source"), then once
#   adb push executor_runner /data/local/tmp && adb shell chmod +x /data/local/tmp/executor_runner
#
# RUNNER  where it is on the phone          CPUS  mask of cores for taskset, e.g. f0 (the choice is up to the phone without)
# DEVICE  the fourth argument: a serial number of `adb devices`, needed with several phones
set -eu
file=$1 threads=${2:-1} repeats=${3:-50} device=${4:-}
runner=${RUNNER:-/data/local/tmp/executor_runner}
[ -z "$device" ] || export ANDROID_SERIAL="$device"
remote=/data/local/tmp/mvsearch-$$.pte

fail() { printf '%s\n' "$*" | tail -n 1 >&2; exit 1; }
ask() { adb shell "$1" </dev/null | tr -d '\r"\\'; }
# The number of executions and their milliseconds, from the line that executor_runner logs.
logged_times() { sed -n 's/.*Model executed successfully \([0-9]*\) time(s) in \([0-9.]*\) ms.*/\1 \2/p' | tail -n 1; }
execute() { adb shell "${CPUS:+taskset $CPUS }$runner --model_path=$remote --num_executions=$1 --cpu_threads=$threads" </dev/null 2>&1; }

trap 'adb shell "rm -f $remote" </dev/null >/dev/null 2>&1 || true' EXIT
pushed=$(adb push "$file" "$remote" </dev/null 2>&1) || fail "$pushed"
log=$(execute 5) || fail "$log" # raises the clocks of the phone
start=$(ask "date '+%m-%d %H:%M:%S.000'")
log=$(execute "$repeats") || fail "$log"
measured=$(printf '%s\n' "$log" | logged_times)
# Built for Android, ExecuTorch logs to the log of the phone instead.
[ -n "$measured" ] || measured=$(adb logcat -d -T "$start" -s ExecuTorch:I </dev/null | logged_times)
[ -n "$measured" ] || fail "executor_runner logged no time; build it with EXECUTORCH_ENABLE_LOGGING=ON"

milliseconds=$(echo "$measured" | awk '{printf "%.6g", $2 / $1}')
model=$(ask "getprop ro.product.model") android=$(ask "getprop ro.build.version.release")
sum=$(ask "md5sum $runner" | cut -c 1-8)
heat=$(ask "dumpsys battery" | awk '/temperature:/ {print $2 / 10; exit}')
printf '{"latency_ms": %s, "device": "%s, Android %s", "runtime": "executor_runner", "version": "md5 %s", "threads": %s, "executions": %s, "battery_c": %s}\n' \
    "$milliseconds" "$model" "$android" "$sum" "$threads" "${measured%% *}" "${heat:-null}"
