"""Pairs of sentences -> texts for training, validation and test -> binarised dataset. What pair.sh, tsv.sh and tatoeba.sh
call; see there.

A pair goes to the test text when the SHA-256 of its target sentence, as a number, is 0 modulo --every, and to the
validation text when it is 1: so the split depends on the sentences alone, in whatever order they come, and translations
of one sentence stay together. A validation pair that shares a sentence, on either side, with a test pair is left out, and
so is a training pair that shares one with either. Memory grows with the validation and test texts only."""

import argparse
import gzip
import hashlib
import io
import itertools
import os
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SPLITS = ["train", "valid", "test"]
# The script that a user has called.
PROGRAM = os.environ.get("PROGRAM", "pairs.py")


def fail(message):
    sys.exit(f"{PROGRAM}: {message}")


def arguments():
    parser = argparse.ArgumentParser(prog=PROGRAM, allow_abbrev=False)
    corpus = parser.add_mutually_exclusive_group(required=True)
    corpus.add_argument("--tsv", type=Path, metavar="FILE")
    corpus.add_argument("--pair", type=Path, nargs=2, metavar=("SOURCE", "TARGET"))
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--source-lang", required=True)
    parser.add_argument("--target-lang", required=True)
    parser.add_argument("--columns", default="1,2", help="of source and target, from 1")
    parser.add_argument("--member", help="the file of a .zip; not needed when it has only one")
    parser.add_argument("--every", type=int, default=100, help="0: everything is training text")
    parser.add_argument("--sha256", action="append", default=[], help="of the file; for a pair, twice")
    given, further = parser.parse_known_args()
    columns = given.columns.split(",")
    if len(columns) != 2 or not all(column.isdecimal() and int(column) > 0 for column in columns):
        parser.error(f"--columns: expected two numbers from 1, such as 2,1, found {given.columns!r}")
    given.columns = [int(column) - 1 for column in columns]
    if given.every in (1, 2) or given.every < 0:
        parser.error(f"--every: expected 0, or 3 or more, found {given.every}")
    given.files = given.pair or [given.tsv]
    if len(given.sha256) not in (0, len(given.files)):
        parser.error(f"--sha256: expected it {len(given.files)} times or not at all, found it {len(given.sha256)} times")
    return given, further


def check(path, expected):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != expected.lower():
        fail(f"{path}: expected the SHA-256 {expected}, found {digest.hexdigest()}; fetch the file again, or, if it is "
             f"another edition that you want, give --sha256 {digest.hexdigest()}")


def lines(path, member=None):
    """The lines of a plain, .gz or .zip file without their ends."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            names = [member] if member else archive.namelist()
            if len(names) != 1:
                fail(f"{path}: expected one file in it, found {', '.join(names)}; give --member NAME")
            with archive.open(names[0]) as file:
                yield from decoded(path, file)
    else:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
            yield from decoded(path, file)


def decoded(path, file):
    for number, line in enumerate(io.BufferedReader(file, 1 << 20), 1):
        try:
            yield line.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            fail(f"{path}:{number}: expected UTF-8 text, found {error.reason}; convert the file to UTF-8")


def pairs(given):
    """Source and target of every line; those without a sentence on a side are left out."""
    if given.tsv:
        for number, line in enumerate(lines(given.tsv, given.member), 1):
            fields = line.split("\t")
            if len(fields) <= max(given.columns):
                fail(f"{given.tsv}:{number}: expected {max(given.columns) + 1} columns with tabs between, found {len(fields)}")
            pair = tuple(fields[column].strip() for column in given.columns)
            if all(pair):
                yield pair
        return
    for number, pair in enumerate(itertools.zip_longest(*map(lines, given.pair))):
        if None in pair:
            shorter = given.pair[pair.index(None)]
            fail(f"{shorter}: expected as many lines as the other file has, found {number}")
        pair = tuple(sentence.strip() for sentence in pair)
        if all(pair):
            yield pair


def chosen(target, every):
    if every == 0:
        return "train"
    number = int.from_bytes(hashlib.sha256(target.encode()).digest(), "big") % every
    return {0: "test", 1: "valid"}.get(number, "train")


def split(given, folder):
    """Write the texts; the names of those there are."""
    held_out = {"valid": set(), "test": set()}
    if given.every:
        for pair in pairs(given):
            held_out.get(chosen(pair[1], given.every), set()).update(enumerate(pair))
    # What a pair of a split may not share a sentence with.
    others = {"test": set(), "valid": held_out["test"], "train": held_out["test"] | held_out["valid"]}
    names = SPLITS if given.every else SPLITS[:1]
    languages = [given.source_lang, given.target_lang]
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: [open(folder / f"{name}.{lang}.tmp", "w", encoding="utf-8", newline="\n") for lang in languages]
             for name in names}
    kept, dropped = dict.fromkeys(names, 0), 0
    for pair in pairs(given):
        name = chosen(pair[1], given.every)
        if not others[name].isdisjoint(enumerate(pair)):
            dropped += 1
            continue
        kept[name] += 1
        for file, sentence in zip(files[name], pair):
            file.write(sentence + "\n")
    for file in (file for both in files.values() for file in both):
        file.close()
        if min(kept.values()) > 0:
            os.replace(file.name, file.name.removesuffix(".tmp"))
        else:
            os.remove(file.name)
    counts = ", ".join(f"{name} {count}" for name, count in kept.items())
    if min(kept.values()) == 0:
        fail(f"expected pairs for {', '.join(names)}, found {counts}; give a smaller --every, or 0 for a training text alone")
    print(f"pairs: {counts}; {dropped} left out, which share a sentence with valid or test", file=sys.stderr)
    return names


def main():
    given, further = arguments()
    nmt = os.environ.get("NMT", ROOT / "target/release/nmt")
    texts = given.output.parent / f"{given.output.name}.text"
    try:
        for path, expected in zip(given.files, given.sha256):
            check(path, expected)
        names = split(given, texts)
    except (OSError, EOFError, zipfile.BadZipFile, KeyError) as error:
        fail(f"{' and '.join(map(str, given.files))}: {error}")
    options = [part for name in names for part in [f"--{name}", texts / name]]
    command = [nmt, "preprocess", "--source-lang", given.source_lang, "--target-lang", given.target_lang, *options,
               "--output", given.output, *further]
    try:
        os.execv(nmt, [os.fspath(part) for part in command])
    except OSError as error:
        fail(f"{nmt}: {error}; run `make build` first")


if __name__ == "__main__":
    main()
