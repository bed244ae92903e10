"""The measurement of preprocess_peers.sh: peers and nmt in turn, several rounds, the median of their ratios."""

import importlib.metadata
import shutil
import statistics
import sys
import sysconfig
import tempfile
from pathlib import Path

from measure import machine, raw_text, repeated, run, text_arguments, write_report

ROOT = Path(__file__).resolve().parent.parent
NMT = ROOT / "target/release/nmt"
BIN = Path(sys.executable).parent
# A round runs each command of nmt so often, and its median counts: they are short.
TIMES = 5
# Lines a language that the tokenizers are compared on; the text is repeated until it has them.
TOKENIZER_LINES = 600_000


def arguments():
    parser = text_arguments("preprocess_peers.sh")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def peers(folder, langs, merges, cores):
    """Stage by stage what the peers do, the languages one after the other, as fairseq's examples do."""
    stages = {}
    stages["tokenize (sacremoses)"] = [
        run([BIN / "sacremoses", "-l", lang, "-j", "1", "tokenize"], folder / f"raw.{lang}", folder / f"tok.{lang}")
        for lang in langs
    ]
    with open(folder / "tok.both", "wb") as both:
        for lang in langs:
            both.write((folder / f"tok.{lang}").read_bytes())
    bpe = [BIN / "subword-nmt"]
    stages["learn-bpe (subword-nmt)"] = [run(bpe + ["learn-bpe", "-s", str(merges)], folder / "tok.both", folder / "codes")]
    stages["apply-bpe (subword-nmt)"] = [
        run(bpe + ["apply-bpe", "-c", folder / "codes"], folder / f"tok.{lang}", folder / f"bpe.{lang}") for lang in langs
    ]
    shutil.rmtree(folder / "bin", ignore_errors=True)
    stages["binarise (fairseq-preprocess)"] = [
        run([BIN / "fairseq-preprocess", "--source-lang", langs[0], "--target-lang", langs[1], "--trainpref",
             folder / "bpe", "--joined-dictionary", "--workers", str(cores), "--destdir", folder / "bin"])
    ]
    return {
        stage: {"seconds": sum(r["seconds"] for r in runs), "peak_mib": max(r["peak_mib"] for r in runs)}
        for stage, runs in stages.items()
    }


def nmt(folder, langs, merges):
    command = [NMT, "--quiet", "preprocess", "--source-lang", langs[0], "--target-lang", langs[1], "--train",
               folder / "raw", "--bpe-merges", str(merges), "--joined-dictionary", "--output", folder / "nmt"]
    return repeated(TIMES, command, before=lambda: shutil.rmtree(folder / "nmt", ignore_errors=True))


def tokenizers(folder, lang):
    """Moses' script, sacremoses and ours on one core each."""
    source, long = folder / f"raw.{lang}", folder / f"long.{lang}"
    if not long.exists():
        content = source.read_bytes()
        times = max(1, TOKENIZER_LINES // content.count(b"\n"))
        long.write_bytes(content * times)
    script = Path(sysconfig.get_path("purelib")) / "mosestokenizer/tokenizer-v1.1.perl"
    commands = {
        "tokenizer.perl": ["perl", script, "-q", "-l", lang],
        "sacremoses": [BIN / "sacremoses", "-l", lang, "-j", "1", "tokenize"],
    }
    if shutil.which("perl") is None:
        print("preprocess_peers: no perl here; tokenizer.perl is left out", file=sys.stderr)
        del commands["tokenizer.perl"]
    results = {name: run(command, long) for name, command in commands.items()}
    return results | {"nmt tokenize": repeated(TIMES, [NMT, "--threads", "1", "tokenize", "--lang", lang], long)}


def median(values):
    return statistics.median(list(values))


def main():
    given = arguments()
    langs = [given.source_lang, given.target_lang]
    facts = machine()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for lang in langs:
            (folder / f"raw.{lang}").write_bytes(raw_text(given.prefix, lang))
        pairs = sum(1 for _ in open(folder / f"raw.{langs[0]}", "rb"))
        rounds = []
        for n in range(given.rounds):
            print(f"round {n + 1} of {given.rounds}", file=sys.stderr)
            rounds.append({
                "peers": peers(folder, langs, given.merges, facts["cores"]),
                "nmt": nmt(folder, langs, given.merges),
                "start of nmt": repeated(TIMES, [NMT, "config"]),
                "tokenizers": tokenizers(folder, langs[0]),
            })

    seconds = lambda stages: sum(stage["seconds"] for stage in stages.values())
    print(f"{pairs} pairs, {given.merges} merges, {given.rounds} rounds (medians)\n")
    print(f"{'':32} {'seconds':>9} {'peak MiB':>9}")
    for stage in rounds[0]["peers"]:
        of = lambda key: median(r["peers"][stage][key] for r in rounds)
        print(f"{stage:32} {of('seconds'):9.2f} {of('peak_mib'):9.0f}")
    whole = median(seconds(r["peers"]) for r in rounds)
    peak = median(max(s["peak_mib"] for s in r["peers"].values()) for r in rounds)
    print(f"{'peers, all stages':32} {whole:9.2f} {peak:9.0f}")
    for name in ["nmt", "start of nmt"]:
        label = "nmt preprocess" if name == "nmt" else "of which starting the program"
        print(f"{label:32} {median(r[name]['seconds'] for r in rounds):9.2f} {median(r[name]['peak_mib'] for r in rounds):9.0f}")
    ratios = {"preprocess": median(seconds(r["peers"]) / r["nmt"]["seconds"] for r in rounds)}
    print(f"{'peers / nmt':32} {ratios['preprocess']:8.1f}x\n")
    ours = "nmt tokenize"
    print(f"{'tokenizers, one core':32} {'seconds':>9} {'peak MiB':>9} {'/ nmt':>9}")
    for name in rounds[0]["tokenizers"]:
        of = lambda key: median(r["tokenizers"][name][key] for r in rounds)
        ratios[name] = median(r["tokenizers"][name]["seconds"] / r["tokenizers"][ours]["seconds"] for r in rounds)
        print(f"{name:32} {of('seconds'):9.2f} {of('peak_mib'):9.0f} {ratios[name]:8.1f}x")

    versions = {name: importlib.metadata.version(name) for name in ["sacremoses", "subword-nmt", "fairseq", "torch"]}
    write_report(given.json, ROOT, facts, versions=versions, pairs=pairs, merges=given.merges, ratios=ratios, rounds=rounds)


if __name__ == "__main__":
    main()
