#!/usr/bin/env bash
# IWSLT'14 German-English (TED talks): the archive of WIT3 -> binarised dataset, as fairseq's recipe makes it:
# 160,239 training, 7,283 validation and 6,750 test pairs.
#
#   data-prep/iwslt14.sh ARCHIVE OUTPUT [further options of `nmt preprocess`]
#
# ARCHIVE is de-en.tgz of the 2014-01 release of WIT3, or the folder that it unpacks to. The talks are © TED,
# CC BY-NC-ND; the archive is not part of this project and nothing is fetched.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

if [ $# -lt 2 ]; then
  echo "usage: data-prep/iwslt14.sh ARCHIVE OUTPUT   (ARCHIVE: de-en.tgz of WIT3, or its folder)" >&2
  exit 2
fi
archive=$1
output=$2
shift 2

exec "$root/target/release/nmt" preprocess --recipe iwslt14 --archive "$archive" --output "$output" "$@"
