#!/usr/bin/env bash
# CIFAR-10 (60,000 pictures of 32 × 32 pixels, ten classes): the binary version, unpacked -> what `nmt vision --data` takes.
#
#   data-prep/cifar10.sh OUTPUT [--archive FILE] [--sha256 SUM]
#
# FILE is a local copy of cifar-10-binary.tar.gz; without it, the file (162 MB) is fetched from www.cs.toronto.edu/~kriz. It has
# to have the checksum below; --sha256 takes another one. The data's page asks to cite Krizhevsky, Learning Multiple
# Layers of Features from Tiny Images, 2009.
set -euo pipefail

usage() {
  echo "usage: data-prep/cifar10.sh OUTPUT [--archive FILE] [--sha256 SUM]" >&2
  exit 2
}
[ $# -ge 1 ] && [[ $1 != -* ]] || usage
output=${1%/}
shift
archive=
sum=c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd
while [ $# -gt 0 ]; do
  case $1 in
    --archive) archive=${2-}; [ -n "$archive" ] || usage; shift 2 ;;
    --sha256) sum=${2-}; [ -n "$sum" ] || usage; shift 2 ;;
    *) usage ;;
  esac
done
if [ -e "$output" ]; then
  echo "cifar10: $output is there already: choose another OUTPUT, or remove it" >&2
  exit 2
fi

folder=$(mktemp -d)
unpacked=
trap 'rm -rf "$folder" ${unpacked:+"$unpacked"}' EXIT
if [ -z "$archive" ]; then
  archive=$folder/cifar-10-binary.tar.gz
  if ! curl --fail --show-error --location --output "$archive" https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz; then
    echo "cifar10: could not fetch cifar-10-binary.tar.gz; give a local copy with --archive" >&2
    exit 1
  fi
elif [ ! -r "$archive" ]; then
  echo "cifar10: $archive: expected a copy of cifar-10-binary.tar.gz, found no file that can be read; check --archive" >&2
  exit 1
fi
found=$(sha256sum < "$archive")
if [ "${found%% *}" != "$sum" ]; then
  echo "cifar10: $archive: expected a file with the SHA-256 $sum, found ${found%% *}; fetch it again" >&2
  exit 1
fi
unpacked=$(mktemp -d "$output.XXXXXX")
tar -xzf "$archive" -C "$unpacked" --strip-components 1 --wildcards '*/*.bin' '*/batches.meta.txt'
chmod 755 "$unpacked"
mv "$unpacked" "$output"
echo "$output"
