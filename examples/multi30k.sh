#!/usr/bin/env bash
# Multi30k German-English on a processor: preprocess -> gradinit --optimizer adam -> train --no-warmup -> score.
#
#   examples/multi30k.sh RAW OUTPUT [UPDATES] [--set KEY=VALUE …]
#
# RAW is as for data-prep/multi30k.sh. UPDATES is 600 unless given: see results/multi30k.md for what comes out after
# 600 updates and what after training until validation stops improving. What is done already is skipped.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
nmt=$root/target/release/nmt
config=$root/configs/multi30k_gradinit_adam.toml

if [ $# -lt 2 ]; then
  echo "usage: examples/multi30k.sh RAW OUTPUT [UPDATES] [--set KEY=VALUE …]" >&2
  exit 2
fi
raw=$1
output=$2
updates=${3:-600}
shift $(($# < 3 ? $# : 3))

mkdir -p "$output"
[ -e "$output/data/preprocess.json" ] || "$root/data-prep/multi30k.sh" "$raw" "$output/data"
[ -e "$output/init.safetensors" ] ||
  "$nmt" gradinit --data "$output/data" --config "$config" --optimizer adam --output "$output/init.safetensors"
run=$output/$updates
"$nmt" train --data "$output/data" --config "$config" --init "$output/init.safetensors" --no-warmup \
  --max-updates "$updates" "$@" --output "$run" --resume
"$nmt" score --model "$run" --data "$output/data" --beam 5 --output "$run/test.translated" | tee "$run/scores.txt"
"$nmt" plot --run "$run" --output "$run/learning-curve.svg"
