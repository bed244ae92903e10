#!/usr/bin/env bash
# How fast does nmt translate, beside fairseq-generate and CTranslate2 with the same weights: sentences a second, BLEU?
#
#   benches/decoding_peers.sh RUN DATA [--rounds 3] [--json FILE]
#
# RUN is a run folder of `nmt train`, DATA its data folder with a split test. The peers are installed first
# (environment.sh). Nothing else should run meanwhile.
set -euo pipefail
source "$(dirname "$0")/environment.sh"

if [ $# -lt 2 ] || [[ $1 == -* ]] || [[ $2 == -* ]]; then
  echo "usage: benches/decoding_peers.sh RUN DATA [--rounds N] [--json FILE]" >&2
  exit 2
fi
make_peers
exec "$peers_python" "$bench_root/benches/decoding_peers.py" "$@"
