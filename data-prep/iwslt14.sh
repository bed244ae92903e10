#!/usr/bin/env bash
# IWSLT'14 German-English (TED talks): the archive of WIT3 -> binarised dataset, as fairseq's recipe makes it:
# 160,239 training, 7,283 validation and 6,750 test pairs.
#
#   data-prep/iwslt14.sh ARCHIVE OUTPUT [--sha256 SUM] [further options of `nmt preprocess`]
#
# ARCHIVE is de-en.tgz of the 2014-01 release of WIT3, or the folder that it unpacks to. The talks are © TED,
# CC BY-NC-ND; the archive is not part of this project and nothing is fetched. Where SUM is given, the file is checked
# against it; whichever it is, the numbers of pairs above say whether it was the whole corpus.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

usage() {
  echo "usage: data-prep/iwslt14.sh ARCHIVE OUTPUT [--sha256 SUM] [options of nmt preprocess]" \
    "  (ARCHIVE: de-en.tgz of WIT3, or its folder)" >&2
  exit 2
}
[ $# -ge 2 ] || usage
archive=$1
output=$2
shift 2
further=()
while [ $# -gt 0 ]; do
  case $1 in
    --sha256)
      [ -n "${2-}" ] || usage
      [ -f "$archive" ] || { echo "iwslt14: --sha256 is of a file, and $archive is none" >&2; exit 1; }
      found=$(sha256sum < "$archive")
      if [ "${found%% *}" != "$2" ]; then
        echo "iwslt14: $archive: expected the SHA-256 $2, found ${found%% *}; fetch the file again" >&2
        exit 1
      fi
      shift 2 ;;
    *) further+=("$1"); shift ;;
  esac
done

exec "$root/target/release/nmt" preprocess --recipe iwslt14 --archive "$archive" --output "$output" "${further[@]}"
