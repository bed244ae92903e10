#!/usr/bin/env bash
# Multi30k German-English on a processor: preprocess -> gradinit --optimizer adam -> train --no-warmup -> score.
#
#   examples/multi30k.sh RAW OUTPUT [STOP_AFTER]
#
# RAW is as for data-prep/multi30k.sh. With STOP_AFTER (600, say) the run pauses after that update of its 3,200 and is
# scored; without it, or with a later one, the same command goes on. What is done already is skipped.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
nmt=$root/target/release/nmt
config=$root/configs/multi30k_gradinit_adam.toml

if [ $# -lt 2 ] || [ $# -gt 3 ]; then
  echo "usage: examples/multi30k.sh RAW OUTPUT [STOP_AFTER]" >&2
  exit 2
fi
raw=$1
output=$2
run=$output/run

mkdir -p "$output"
[ -e "$output/data/preprocess.json" ] || "$root/data-prep/multi30k.sh" "$raw" "$output/data"
[ -e "$output/init.safetensors" ] ||
  "$nmt" gradinit --data "$output/data" --config "$config" --optimizer adam --resume --output "$output/init.safetensors"
"$nmt" train --data "$output/data" --config "$config" --init "$output/init.safetensors" --no-warmup \
  ${3:+--stop-after "$3"} --output "$run" --resume
"$nmt" score --model "$run" --data "$output/data" --beam 5 --output "$run/test.translated" | tee "$run/scores.txt"
"$nmt" plot --run "$run" --output "$run/learning-curve.svg"
