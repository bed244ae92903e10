#!/usr/bin/env bash
# Multi30k German-English (task 1, 29,000 pairs): raw text -> binarised dataset, lower-cased and tokenised as the
# dataset's own files are, 10,000 joint merges, one dictionary.
#
#   data-prep/multi30k.sh RAW OUTPUT [--any-edition]
#
# RAW is a local folder with train.{de,en}, val.{de,en} and test_2016_flickr.{de,en}, plain or .gz: the folder
# data/task1/raw of the repository multi30k/dataset, which has no licence of its own (research, non-commercial). The
# texts have to have the checksums below; --any-edition takes others.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

sums="
4be6b5b3236b79c25475c6bb829800a7ce559e9ba7a1f6c2394fe4d40be46d16 test_2016_flickr.de
399a4382932c1aadd3ceb9bef1008d388a64c76d4ae4e9d4728c6f4301cac182 test_2016_flickr.en
2c2b73fd2b548fbcde3a875e0a78d6ee94d498bfdee6bd3eae3945779e9ddf72 train.de
460a15fbd157e34a7a9957ee388c1ca247fe47af3ef25fb50442af6c274e0fc6 train.en
660e09eb7e1da2f856ea13ee5ad3cf6d36b3d5b0b733c857e94c5747a3dfc660 val.de
1f2a23d992769b5b3d209b0a10dd0b77c08cceb1f20dfb97ed0aafa49d107227 val.en
"

if [ $# -lt 2 ] || [ $# -gt 3 ] || [ "${3---any-edition}" != --any-edition ]; then
  echo "usage: data-prep/multi30k.sh RAW OUTPUT [--any-edition]   (RAW: folder with train.de.gz, train.en.gz, val.de.gz …)" >&2
  exit 2
fi
raw=$1
output=$2

echo "$sums" | while read -r sum name; do
  [ -n "$name" ] || continue
  if [ -e "$raw/$name" ]; then
    found=$(sha256sum < "$raw/$name")
  elif [ -e "$raw/$name.gz" ]; then
    found=$(gzip --decompress --stdout "$raw/$name.gz" | sha256sum)
  else
    echo "multi30k: $raw holds neither $name nor $name.gz" >&2
    exit 1
  fi
  if [ "${found%% *}" != "$sum" ] && [ $# -eq 2 ]; then
    echo "multi30k: $raw/$name: expected a text with the SHA-256 $sum, found ${found%% *}; fetch it again, or give" \
      "--any-edition if it is another edition that you want" >&2
    exit 1
  fi
done

exec "$root/target/release/nmt" preprocess --source-lang de --target-lang en \
  --train "$raw/train" --valid "$raw/val" --test "$raw/test_2016_flickr" \
  --lowercase-first --normalize --moses-version 2017 --bpe-merges 10000 --joined-dictionary --output "$output"
