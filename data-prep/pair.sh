#!/usr/bin/env bash
# Any two files, line i of one the translation of line i of the other -> texts for training, validation and test (which
# stay in OUTPUT.text) -> binarised dataset.
#
#   data-prep/pair.sh SOURCE TARGET OUTPUT --source-lang L --target-lang L [--every N] [--sha256 SUM --sha256 SUM]
#                     [further options of `nmt preprocess`]
#
# SOURCE and TARGET are local files, plain or .gz. Of the target sentences one in N (100 when not given) goes to the test
# text and one to the validation text, by their SHA-256: the same sentences every time (see pairs.py). With --every 0
# everything is training text. The sums, of SOURCE and of TARGET, are checked first where they are given.
#
# Words stay whole, with a dictionary a side, unless --bpe-merges 10000 --joined-dictionary (which the recipes in
# configs/ are for) is among the further options.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

if [ $# -lt 3 ]; then
  echo "usage: data-prep/pair.sh SOURCE TARGET OUTPUT --source-lang L --target-lang L [--every N]" \
    "[--sha256 SUM --sha256 SUM] [options of nmt preprocess]" >&2
  exit 2
fi

PROGRAM=pair.sh exec python3 "$root/data-prep/pairs.py" --pair "$1" "$2" --output "$3" "${@:4}"
