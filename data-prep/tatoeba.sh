#!/usr/bin/env bash
# Tatoeba German-English, 169,197 short pairs -> texts for training, validation and test (which stay in OUTPUT.text) ->
# binarised dataset, 10,000 joint merges, one dictionary.
#
#   data-prep/tatoeba.sh OUTPUT [--archive FILE] [--sha256 SUM] [further options of `nmt preprocess`]
#
# FILE is a local copy of deu-eng.zip; without it, the file is fetched from manythings.org/anki. It has to be the edition of
# 7 April 2018; --sha256 takes another one. One English sentence in 100 goes to the test text and one to the validation
# text, with all its translations (see pairs.py). CC BY 2.0: tatoeba.org, through manythings.org/anki.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

usage() {
  echo "usage: data-prep/tatoeba.sh OUTPUT [--archive FILE] [--sha256 SUM] [options of nmt preprocess]" >&2
  exit 2
}
[ $# -ge 1 ] && [[ $1 != -* ]] || usage
output=$1
shift
archive=
sum=71750f704aeb6b0a01fe57341c3051b9efd98f63b61ee266b2c2283d1b80cb71
further=(--bpe-merges 10000 --joined-dictionary)
while [ $# -gt 0 ]; do
  case $1 in
    --archive) archive=${2-}; [ -n "$archive" ] || usage; shift 2 ;;
    --sha256) sum=${2-}; [ -n "$sum" ] || usage; shift 2 ;;
    *) further+=("$1"); shift ;;
  esac
done

if [ -z "$archive" ]; then
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  archive=$folder/deu-eng.zip
  if ! curl --fail --silent --show-error --location --output "$archive" https://www.manythings.org/anki/deu-eng.zip; then
    echo "tatoeba: could not fetch deu-eng.zip; give a local copy with --archive" >&2
    exit 1
  fi
fi

PROGRAM=tatoeba.sh python3 "$root/data-prep/pairs.py" --tsv "$archive" --member deu.txt --columns 2,1 --sha256 "$sum" \
  --source-lang de --target-lang en --output "$output" "${further[@]}"
