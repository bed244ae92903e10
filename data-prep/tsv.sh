#!/usr/bin/env bash
# A file with a pair of sentences a line and tabs between -> texts for training, validation and test (which stay in
# OUTPUT.text) -> binarised dataset.
#
#   data-prep/tsv.sh FILE OUTPUT --source-lang L --target-lang L [--columns 1,2] [--every N] [--sha256 SUM]
#                    [--member NAME] [further options of `nmt preprocess`]
#
# FILE is local: plain, .gz, or a .zip with one file or one called NAME. --columns are those of source and target; there
# may be others. Of the target sentences one in N (100 when not given) goes to the test text and one to the validation
# text, by their SHA-256: the same sentences every time (see pairs.py). With --every 0 everything is training text.
#
# Words stay whole, with a dictionary a side, unless --bpe-merges 10000 --joined-dictionary (which the recipes in
# configs/ are for) is among the further options.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

if [ $# -lt 2 ]; then
  echo "usage: data-prep/tsv.sh FILE OUTPUT --source-lang L --target-lang L [--columns 1,2] [--every N] [--sha256 SUM]" \
    "[--member NAME] [options of nmt preprocess]" >&2
  exit 2
fi

PROGRAM=tsv.sh exec python3 "$root/data-prep/pairs.py" --tsv "$1" --output "$2" "${@:3}"
