#!/usr/bin/env bash
# How much faster is `nmt preprocess` than sacremoses + subword-nmt + fairseq-preprocess, and the tokenizer than Moses' own?
#
#   benches/preprocess_peers.sh PREFIX [--rounds 3] [--merges 10000] [--source-lang de] [--target-lang en] [--json FILE]
#
# PREFIX.de and PREFIX.en are raw text, plain or .gz. The peers come from PyPI by name into target/bench-venv (about
# 900 MB, most of it torch). fairseq 0.12.2 needs Python 3.8 to 3.10: PYTHON=python3.10 benches/preprocess_peers.sh …
# Nothing else should run meanwhile.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
venv=$root/target/bench-venv

if [ $# -lt 1 ] || [[ $1 == -* ]]; then
  echo "usage: benches/preprocess_peers.sh PREFIX [--rounds N] [--merges N] [--source-lang L] [--target-lang L] [--json FILE]" >&2
  exit 2
fi

if [ ! -e "$venv/ready" ]; then
  python=${PYTHON:-}
  for name in python3.10 python3.9 python3.8; do
    [ -n "$python" ] || { "$name" --version >/dev/null 2>&1 && python=$name; } || true
  done
  if [ -z "$python" ]; then
    echo "preprocess_peers: found no Python 3.8 to 3.10, which fairseq 0.12.2 needs; set PYTHON" >&2
    exit 1
  fi
  rm -rf "$venv"
  "$python" -m venv "$venv"
  install() { "$venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }
  # fairseq's metadata are refused by pip 24.1, its extensions by Cython 3 and numpy 1.24; those that need torch are not
  # in its archive, so that torch has to come after it.
  install "pip<24.1" "setuptools<70" "wheel<0.44" "cython<3" "numpy<1.24"
  install --no-deps --no-build-isolation fairseq==0.12.2
  install --no-deps torch==1.12.1 typing_extensions
  install "hydra-core<1.1" "omegaconf<2.1" regex "sacrebleu>=1.4.12" cffi bitarray tqdm "numpy<1.24" \
    sacremoses==0.2.0 subword-nmt==0.3.8
  # Carries Moses' tokenizer.perl.
  install --no-deps mosestokenizer==1.2.1
  touch "$venv/ready"
fi

exec "$venv/bin/python" "$root/benches/preprocess_peers.py" "$@"
