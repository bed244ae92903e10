#!/usr/bin/env bash
# Link the CPU parts of libtorch 2.11.0 into ./libtorch, where .cargo/config.toml expects them.
#
#   scripts/setup-libtorch.sh                     from the Python package torch==2.11.0 (about 440 MB, once)
#   scripts/setup-libtorch.sh --archive FILE.zip  from a libtorch archive or an unpacked folder that is already here
#
# A LIBTORCH that is set in the environment is used as it is, and nothing is fetched.
set -euo pipefail
cd "$(dirname "$0")/.."

version=2.11.0

if [ -n "${LIBTORCH:-}" ]; then
  echo "setup: using LIBTORCH=$LIBTORCH"
  exit 0
fi

if [ "${1:-}" = --archive ]; then
  archive=${2:?"setup: --archive needs a .zip file or a folder"}
  rm -rf libtorch.new && mkdir libtorch.new
  if [ -d "$archive" ]; then
    ln -s "$(cd "$archive" && pwd)/include" libtorch.new/include
    ln -s "$(cd "$archive" && pwd)/lib" libtorch.new/lib
  else
    python3 -m zipfile -e "$archive" libtorch.new/unpacked
    ln -s unpacked/libtorch/include libtorch.new/include
    ln -s unpacked/libtorch/lib libtorch.new/lib
  fi
  test -e libtorch.new/lib/libtorch_cpu.so || { echo "setup: $archive holds no lib/libtorch_cpu.so" >&2; exit 1; }
  echo "$version" > libtorch.new/build-version
  rm -rf libtorch && mv libtorch.new libtorch
  exit 0
fi

if [ "$(cat libtorch/build-version 2>/dev/null)" = "$version" ] && [ -e libtorch/lib/libtorch_cpu.so ]; then
  exit 0
fi

command -v python3 >/dev/null || { echo "setup: python3 is needed to fetch libtorch; or set LIBTORCH, or run $0 --archive FILE.zip" >&2; exit 1; }
echo "setup: fetching libtorch $version (the Python package torch, about 440 MB)"
rm -rf libtorch.new && mkdir -p libtorch.new
python3 -m venv libtorch.new/python
libtorch.new/python/bin/pip install --quiet --disable-pip-version-check --no-deps \
  "torch==$version" nvidia-cuda-runtime nvidia-cuda-cupti
site=$(cd libtorch.new && echo python/lib/python3*/site-packages)

# Without libtorch_cuda.so beside them these libraries link and run on a machine without CUDA;
# libtorch_cpu.so of this build still opens two small CUDA libraries when it is loaded.
mkdir libtorch.new/lib
ln -s "$site/torch/include" libtorch.new/include
for library in libtorch_cpu.so libtorch.so libc10.so libgomp.so.1; do
  ln -s "../$site/torch/lib/$library" "libtorch.new/lib/$library"
done
for library in libcudart.so.13 libcupti.so.13; do
  ln -s "../$site/nvidia/cu13/lib/$library" "libtorch.new/lib/$library"
done
for file in libtorch.new/lib/*; do
  test -e "$file" || { echo "setup: the torch package does not hold $(basename "$file")" >&2; exit 1; }
done
# The CUDA kernels are most of the package and are not used here.
rm -f "libtorch.new/$site"/torch/lib/libtorch_cuda*.so "libtorch.new/$site"/torch/lib/libtorch_nvshmem.so
echo "$version" > libtorch.new/build-version
rm -rf libtorch && mv libtorch.new libtorch
echo "setup: libtorch $version is in ./libtorch"
