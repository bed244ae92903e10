#!/usr/bin/env bash
# How much faster do two processes train than one? Target tokens a second of the same updates, in turns.
#
#   benches/processes.sh DATA [ROUNDS [UPDATES]]
#
# DATA is a data folder; `nmt` has to be built with `--features mpi`. Nothing else should run meanwhile.
set -euo pipefail
if [ $# -lt 1 ]; then
  echo "usage: benches/processes.sh DATA [ROUNDS [UPDATES]]" >&2
  exit 2
fi
here=$(cd "$(dirname "$0")/.." && pwd)
data=$1 rounds=${2:-3} updates=${3:-16}
nmt=${NMT:-$here/target/release/nmt}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Tokens a second of the second half of the updates; `together` batches make an update in every row.
measure() { # NAME, TOGETHER, FREQUENCY of each process, COMMAND…
  local name=$1 together=$2 frequency=$3
  shift 3
  rm -rf "$work/run"
  "$@" --quiet train --data "$data" --config "$here/configs/multi30k_gradinit_adam.toml" --no-warmup \
    --set training.update_frequency="$frequency" --set training.log_every=$((updates / 2)) --stop-after "$updates" \
    --set validation.every_updates=1000000 --set validation.bleu=false --output "$work/run" > /dev/null
  local speed
  speed=$(grep '"event":"update"' "$work/run/log.jsonl" | tail -1 | sed 's/.*"tokens_per_second":\([0-9]*\).*/\1/')
  printf '%-34s %3d batches an update  %6d tokens/s\n' "$name" "$together" "$speed"
}

for round in $(seq "$rounds"); do
  echo "round $round"
  for each in 1 4; do
    measure "1 process, 1 thread" $((2 * each)) $((2 * each)) "$nmt" --threads 1
    measure "2 processes, 1 thread each" $((2 * each)) "$each" mpirun -n 2 "$nmt" --threads 1
    measure "1 process, 2 threads" $((2 * each)) $((2 * each)) "$nmt" --threads 2
  done
done
