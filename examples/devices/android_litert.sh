#!/bin/sh
# The latency of a LiteRT (TensorFlow Lite) file on an Android phone, by LiteRT's own benchmark_model over adb.
#
#   latency: {backend: command, format: litert, run: 'examples/devices/android_litert.sh {file} {threads} {repeats} {device}'}
#
# Get benchmark_model for Android (ai.google.dev/edge/litert, "Performance measurement": native benchmark binary), then once
#   adb push benchmark_model /data/local/tmp && adb shell chmod +x /data/local/tmp/benchmark_model
#
# RUNNER  where it is on the phone          CPUS  mask of cores for taskset, e.g. f0 (the choice is up to the phone without)
# FLAGS   of benchmark_model, e.g. --use_gpu=true; by default --use_xnnpack=true
# DEVICE  the fourth argument: a serial number of `adb devices`, needed with several phones
set -eu
file=$1 threads=${2:-1} repeats=${3:-50} device=${4:-}
runner=${RUNNER:-/data/local/tmp/benchmark_model} flags=${FLAGS:---use_xnnpack=true}
[ -z "$device" ] || export ANDROID_SERIAL="$device"
remote=/data/local/tmp/mvsearch-$$.tflite

fail() { printf '%s\n' "$*" | tail -n 1 >&2; exit 1; }
ask() { adb shell "$1" </dev/null | tr -d '\r"\\'; }

trap 'adb shell "rm -f $remote" </dev/null >/dev/null 2>&1 || true' EXIT
pushed=$(adb push "$file" "$remote" </dev/null 2>&1) || fail "$pushed"
options="--graph=$remote --num_threads=$threads --num_runs=$repeats --warmup_runs=5 $flags"
log=$(adb shell "${CPUS:+taskset $CPUS }$runner $options" </dev/null 2>&1) || fail "$log"
# In microseconds: Inference timings in us: Init: 52687, First inference: 19105, Warmup (avg): 14452.5, Inference (avg): 14290.9
microseconds=$(printf '%s\n' "$log" | sed -n 's/.*Inference timings in us:.*Inference (avg): \([0-9.e+]*\).*/\1/p' | tail -n 1)
[ -n "$microseconds" ] || fail "benchmark_model printed no inference timings"

milliseconds=$(echo "$microseconds" | awk '{printf "%.6g", $1 / 1000}')
model=$(ask "getprop ro.product.model") android=$(ask "getprop ro.build.version.release")
sum=$(ask "md5sum $runner" | cut -c 1-8)
heat=$(ask "dumpsys battery" | awk '/temperature:/ {print $2 / 10; exit}')
printf '{"latency_ms": %s, "device": "%s, Android %s", "runtime": "benchmark_model %s", "version": "md5 %s", "threads": %s, "battery_c": %s}\n' \
    "$milliseconds" "$model" "$android" "$flags" "$sum" "$threads" "${heat:-null}"
