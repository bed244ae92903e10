#!/usr/bin/env bash
# How much faster is `nmt preprocess` than sacremoses + subword-nmt + fairseq-preprocess, and the tokenizer than Moses' own?
#
#   benches/preprocess_peers.sh PREFIX [--rounds 3] [--merges 10000] [--source-lang de] [--target-lang en] [--json FILE]
#
# PREFIX.de and PREFIX.en are raw text, plain or .gz. The peers are installed first (environment.sh). Nothing else should
# run meanwhile.
set -euo pipefail
source "$(dirname "$0")/environment.sh"

if [ $# -lt 1 ] || [[ $1 == -* ]]; then
  echo "usage: benches/preprocess_peers.sh PREFIX [--rounds N] [--merges N] [--source-lang L] [--target-lang L] [--json FILE]" >&2
  exit 2
fi
make_peers
exec "$peers_python" "$bench_root/benches/preprocess_peers.py" "$@"
