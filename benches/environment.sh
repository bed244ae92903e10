# Sourced by the comparisons: the peers in virtual environments under target/, installed by name from PyPI.
#
#   peers_python     Python 3.8 to 3.10 with fairseq 0.12.2, torch 2.1.2, CTranslate2 4.8.5, sacremoses, subword-nmt
#   pytorch_python   any Python with torch 2.11.0, for the plain loop
#
# About 8 GB, most of it CUDA libraries that torch wants and nothing here uses.

bench_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
peers_python=$bench_root/target/bench-venv/bin/python
pytorch_python=$bench_root/target/bench-venv-pytorch/bin/python

# A Python that fairseq 0.12.2 works with: later ones refuse its dataclasses. PYTHON names another.
find_old_python() {
  local name
  for name in ${PYTHON:+"$PYTHON"} python3.10 python3.9 python3.8; do
    "$name" --version > /dev/null 2>&1 && { echo "$name"; return; }
  done
  echo "benches: found no Python 3.8 to 3.10, which fairseq 0.12.2 needs; set PYTHON" >&2
  return 1
}

make_peers() {
  local venv=$bench_root/target/bench-venv python
  [ ! -e "$venv/ready" ] || return 0
  python=$(find_old_python)
  rm -rf "$venv"
  "$python" -m venv "$venv"
  local install="$venv/bin/pip install --quiet --disable-pip-version-check"
  # fairseq's metadata are refused by pip 24.1, its extensions by Cython 3 and numpy 1.24; those that need torch are not
  # in its archive, so that torch can come after it.
  $install "pip<24.1" "setuptools<70" "wheel<0.44" "cython<3" "numpy<1.24"
  $install --no-deps --no-build-isolation fairseq==0.12.2
  $install torch==2.1.2 ctranslate2==4.8.5 "hydra-core<1.1" "omegaconf<2.1" regex "sacrebleu>=1.4.12" cffi bitarray \
    tqdm "numpy<1.24" sacremoses==0.2.0 subword-nmt==0.3.8
  $install --no-deps torchaudio==2.1.2
  # Carries Moses' tokenizer.perl.
  $install --no-deps mosestokenizer==1.2.1
  touch "$venv/ready"
}

make_pytorch() {
  local venv=$bench_root/target/bench-venv-pytorch
  [ ! -e "$venv/ready" ] || return 0
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check torch==2.11.0 numpy
  touch "$venv/ready"
}
