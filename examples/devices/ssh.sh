#!/bin/sh
# The latency of a file on another computer or board, over ssh, by the Python runtime that is installed there.
#
#   latency: {backend: command, format: onnx, devices: [pi@board], run: 'examples/devices/ssh.sh {file} {threads} {repeats} {device}'}
#
# The other machine needs python3 with onnxruntime, executorch or ai-edge-litert, as the format is, and a key that ssh
# takes without asking. Nothing stays there.
#
# PYTHON  the Python there, by default python3          SSH  the command here, with its options
set -eu
file=$1 threads=$2 repeats=$3 host=$4
ssh=${SSH:-ssh -o BatchMode=yes -o ConnectTimeout=10}
remote=/tmp/mvsearch-$(id -u)-$$.${file##*.}

# The program travels on standard input; the file first, since one connection has one standard input.
$ssh "$host" "cat > $remote" <"$file"
trap '$ssh "$host" "rm -f $remote" </dev/null >/dev/null 2>&1 || true' EXIT
$ssh "$host" "${PYTHON:-python3} - $remote $threads $repeats" <"$(dirname "$0")/time_file.py"
