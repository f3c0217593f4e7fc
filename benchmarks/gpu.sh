#!/usr/bin/env bash
# Every check of the project on an NVIDIA GPU, with time limits of 9 minutes in all. Needs torch with CUDA; timm, onnx and
# pytest for the steps that use them. What fails or is skipped is in the summary, and the exit code is 1 if a step failed,
# or at once if there is no GPU.
#
#   benchmarks/gpu.sh results                          on a GPU
#   benchmarks/gpu.sh results --device cpu --quick     a dry run of the same steps, in minutes
#
#   tests    the tests that skip without CUDA         amp      the proxy's training in mixed precision beside float32
#   table8   every published classifier: the paper's  search   ten trials with the latency on the GPU as an objective
#            protocol, and fused in fp16 as a graph   export   a verified file, which runs on the GPU in a fresh process
#   graph    a CUDA graph beside eager launches
set -uo pipefail
out=${1:?usage: benchmarks/gpu.sh FOLDER [--device cuda|cpu] [--quick]}; shift
device=cuda quick=""
while [ $# -gt 0 ]; do
    case $1 in
    --device) device=${2:?--device needs cuda or cpu}; shift 2 ;;
    --quick) quick=--quick; shift ;;
    *) echo "unknown option $1" >&2; exit 2 ;;
    esac
done
case $device in cuda | cpu) ;; *) echo "--device $device: use cuda or cpu" >&2; exit 2 ;; esac
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 1
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
python=${PYTHON:-python3} failed=0 slack=1
checks=("$python" "$root/benchmarks/_gpu_checks.py" --device "$device" --folder "$out" $quick)
[ "$device" = cpu ] && export CUDA_VISIBLE_DEVICES="" slack=4 # the limits are those of a GPU

# step NAME SECONDS COMMAND...: run it in the folder with a time limit, its output in NAME.log and NAME.out
step() {
    local name=$1 limit=$(($2 * slack)) begin=$SECONDS code result
    shift 2
    (cd "$out" && timeout "$limit" "$@" >"$name.out" 2>"$name.log")
    code=$?
    case $code in 0) result=passed ;; 5 | 77) result="skipped: $(tail -n 1 "$out/$name.log")" ;; 124) result="failed: over $limit s" ;; *) result="failed: $(tail -n 1 "$out/$name.log")" ;; esac
    case $result in failed*) failed=1 ;; esac
    printf '| %s | %s | %s |\n' "$name" "$result" "$((SECONDS - begin))" | tee -a "$out/summary.md"
}

environment=$("${checks[@]}" environment) || exit 1 # e.g. without a GPU
{
    printf '# Checks on %s\n\n%s\n' "${device}${quick:+ (quick)}" "$environment"
    printf '\n| step | result | seconds |\n| --- | --- | --- |\n'
} | tee "$out/summary.md"
step tests 100 "${checks[@]}" tests
step table8 200 "${checks[@]}" table8
step graph 50 "${checks[@]}" graph
step amp 50 "${checks[@]}" amp
step search 80 "${checks[@]}" search
step export 50 "${checks[@]}" export
exit $failed
