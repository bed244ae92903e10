#!/usr/bin/env bash
# How fast does nmt train, beside fairseq and a plain PyTorch loop: transformer_iwslt_de_en, tokens a second, peak memory?
#
#   benches/training_peers.sh DATA [--updates 14] [--rounds 2] [--json FILE]
#
# DATA is a binarised data folder of nmt or fairseq. The peers are installed first (environment.sh). Nothing else should
# run meanwhile.
set -euo pipefail
source "$(dirname "$0")/environment.sh"

if [ $# -lt 1 ] || [[ $1 == -* ]]; then
  echo "usage: benches/training_peers.sh DATA [--updates N] [--rounds N] [--json FILE]" >&2
  exit 2
fi
make_peers
make_pytorch
exec python3 "$bench_root/benches/training_peers.py" "$@" --fairseq-python "$peers_python" --pytorch-python "$pytorch_python"
