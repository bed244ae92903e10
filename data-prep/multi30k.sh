#!/usr/bin/env bash
# Multi30k German-English (task 1, 29,000 pairs): raw text -> binarised dataset, lower-cased and tokenised as the
# dataset's own files are, 10,000 joint merges, one dictionary.
#
#   data-prep/multi30k.sh RAW OUTPUT
#
# RAW is a local folder with train.{de,en}, val.{de,en} and test_2016_flickr.{de,en}, plain or .gz: the folder
# data/task1/raw of the repository multi30k/dataset, which has no licence of its own (research, non-commercial).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

if [ $# -ne 2 ]; then
  echo "usage: data-prep/multi30k.sh RAW OUTPUT   (RAW: folder with train.de.gz, train.en.gz, val.de.gz …)" >&2
  exit 2
fi
raw=$1
output=$2

for name in train val test_2016_flickr; do
  for lang in de en; do
    if [ ! -e "$raw/$name.$lang" ] && [ ! -e "$raw/$name.$lang.gz" ]; then
      echo "multi30k: $raw holds neither $name.$lang nor $name.$lang.gz" >&2
      exit 1
    fi
  done
done

exec "$root/target/release/nmt" preprocess --source-lang de --target-lang en \
  --train "$raw/train" --valid "$raw/val" --test "$raw/test_2016_flickr" \
  --lowercase-first --normalize --moses-version 2017 --bpe-merges 10000 --joined-dictionary --output "$output"
