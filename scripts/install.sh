#!/usr/bin/env bash
# Put the program and the parts of libtorch that it needs into one folder, which works wherever it is moved to.
#
#   scripts/install.sh FOLDER      make install FOLDER=/opt/nmt
#
# FOLDER holds nmt, nmt-torch, lib/, man/man1/ and completions for three shells. Link FOLDER/nmt into a folder of PATH, or add
# FOLDER to it. A folder that another `make install` made is replaced.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=${1:?"install: expected the folder to install into: scripts/install.sh FOLDER"}
programs=target/release
for name in nmt nmt-torch; do
  test -x "$programs/$name" || { echo "install: found no $programs/$name; run \`make build\` first" >&2; exit 1; }
done
# What a folder of nmt's holds; nothing else is taken away with it.
parts="LICENSE-APACHE LICENSE-MIT completions lib man nmt nmt-torch"
if [ -e "$folder" ] && [ -n "$(ls -A "$folder")" ] && [ "$(ls -A "$folder" | sort | xargs)" != "$(echo $parts | tr ' ' '\n' | sort | xargs)" ]; then
  echo "install: $folder holds other files than an installed nmt; choose another folder" >&2
  exit 1
fi

mkdir -p "$(dirname "$folder")"
new=$(mktemp -d "$(dirname "$folder")/.nmt-install.XXXXXX")
trap 'rm -rf "$new"' EXIT
chmod 755 "$new"
mkdir -p "$new/lib" "$new/man/man1" "$new/completions"
for name in nmt nmt-torch; do
  cp "$programs/$name" "$new/$name"
  strip --strip-debug "$new/$name" 2> /dev/null || true
done
cp LICENSE-MIT LICENSE-APACHE "$new"

# What the system's loader takes from libtorch's folder, wherever that is; the rest every Linux has.
torch=$(cd "${LIBTORCH:-libtorch}/lib" && pwd)
LD_LIBRARY_PATH="$torch${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" ldd "$programs/nmt-torch" > "$new/ldd"
if grep "not found" "$new/ldd" >&2; then
  echo "install: the program's libraries above were not found; run \`make build\` again" >&2
  exit 1
fi
while read -r name _ path _; do
  case $path in
    /*) real=$(cd "$(dirname "$path")" && pwd -P)
        if [ "$(cd "$(dirname "$path")" && pwd)" = "$torch" ] || [ "$real" = "$(cd "$torch" && pwd -P)" ]; then
          cp -L "$path" "$new/lib/$name"
        fi ;;
  esac
done < "$new/ldd"
rm "$new/ldd"
test -e "$new/lib/libtorch_cpu.so" || { echo "install: found no libtorch_cpu.so among the program's libraries" >&2; exit 1; }

"$new/nmt" man --output "$new/man/man1" > /dev/null
for shell in bash zsh fish; do "$new/nmt" completions "$shell" > "$new/completions/nmt.$shell"; done
# It has to find everything where it lies now: this loads libtorch.
env -u LD_LIBRARY_PATH -u LIBTORCH "$new/nmt" doctor > /dev/null

rm -rf "$folder"
mv "$new" "$folder"
trap - EXIT
echo "$folder: $(du -sh "$folder" | cut -f1) ($(du -sh "$folder/lib" | cut -f1) of it libtorch)"
