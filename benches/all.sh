#!/usr/bin/env bash
# `make bench`: everything that fits in 20 minutes on two cores, the installation of the peers not counted. Tables on
# standard output, the same as JSON with machine facts in results/bench/.
#
# The data are Multi30k's raw text in $NMT_REFERENCE_DATA/multi30k/raw (by default ../shared/data), or a generated corpus.
set -euo pipefail
source "$(dirname "$0")/environment.sh"
cd "$bench_root"
make_peers
make_pytorch

work=target/bench
raw=${NMT_REFERENCE_DATA:-../shared/data}/multi30k/raw
nmt=target/release/nmt
mkdir -p "$work" results/bench
say() { printf '\n== %s\n' "$*" >&2; }

if [ -e "$raw/train.de.gz" ]; then
  text=$raw/train
  [ -e $work/data/preprocess.json ] || data-prep/multi30k.sh "$raw" $work/data
else
  say "no Multi30k in $raw: a generated corpus takes its place"
  text=$work/corpus/train
  [ -e $work/corpus/test.en ] || cargo run --release --quiet --example generate_corpus -- --output $work/corpus
  [ -e $work/data/preprocess.json ] ||
    $nmt preprocess --source-lang de --target-lang en --train $work/corpus/train --valid $work/corpus/valid \
      --test $work/corpus/test --bpe-merges 1000 --joined-dictionary --output $work/data
fi

say "preprocessing"
benches/preprocess_peers.sh "$text" --rounds 1 --json results/bench/preprocess.json
say "training"
benches/training_peers.sh $work/data --updates 10 --rounds 1 --json results/bench/training.json
# A model this young repeats itself up to the longest length, which therefore has to be the peers': 200.
say "decoding, with a model after 200 updates"
$nmt --quiet train --data $work/data --config configs/multi30k_gradinit_adam.toml --set validation.bleu=false \
  --set search.max_length_a=0 --set search.max_length_b=200 --set validation.every_updates=200 \
  --stop-after 200 --resume --output $work/run > /dev/null
benches/decoding_peers.sh $work/run $work/data --rounds 1 --json results/bench/decoding.json
say "kernels"
cargo bench --locked --bench kernels -- --quick
