#!/usr/bin/env bash
# The whole main job on a corpus that this project generates: raw text -> BPE and a binarised dataset -> GradInit ->
# training without warmup -> translation -> BLEU. Everything is in ./demo-run; what is done already is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

nmt=target/release/nmt
out=demo-run
least_bleu=90

step() { printf '\n== %s\n' "$*" >&2; }
show() { printf '$ %s\n' "$*" >&2; "$@"; }

mkdir -p "$out"

if [ ! -e $out/corpus/test.en ]; then
  step "1. generate a German-English corpus: numbers, dates, prices, clock times"
  show cargo run --release --quiet --example generate_corpus -- --output $out/corpus
fi

if [ ! -e $out/data/preprocess.json ]; then
  step "2. preprocess: Moses tokens, byte-pair encoding, dictionaries, binarised dataset"
  show $nmt preprocess --source-lang de --target-lang en \
    --train $out/corpus/train --valid $out/corpus/valid --test $out/corpus/test \
    --bpe-merges 1000 --joined-dictionary --output $out/data
fi

if [ ! -e $out/init.safetensors ]; then
  step "3. gradinit: learn the initialisation for Adam"
  show $nmt gradinit --data $out/data --config configs/demo.toml --optimizer adam --resume --output $out/init.safetensors
fi

step "4. train, without warmup"
show $nmt train --data $out/data --config configs/demo.toml --init $out/init.safetensors --no-warmup \
  --output $out/run --resume

step "5. score the test split, whose numbers are not in the training text"
show $nmt score --model $out/run --data $out/data --detokenize --metrics bleu chrf --output $out/test.translated

step "6. translate"
head -n 8 $out/corpus/test.de > $out/sample.de
show $nmt translate --model $out/run --input $out/sample.de > $out/sample.en
paste -d '\n' $out/sample.de $out/sample.en | sed 'n; s/^/  -> /'

step "7. draw the learning curve"
show $nmt plot --run $out/run --output $out/learning-curve.svg
show $nmt plot --run $out/run --output $out/learning-curve.png

bleu=$($nmt --quiet score --hypotheses $out/test.translated --references $out/corpus/test.en --metrics bleu --json |
  python3 -c 'import json, sys; print("%.2f" % json.load(sys.stdin)["bleu"]["score"])')
step "BLEU $bleu on unseen numbers; learning curve: $out/learning-curve.png"
if ! python3 -c "import sys; sys.exit(float('$bleu') < $least_bleu)"; then
  echo "demo: expected a BLEU of at least $least_bleu; look at $out/run/log.jsonl" >&2
  exit 1
fi
