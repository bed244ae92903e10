"""The measurement of decoding_peers.sh: fairseq, CTranslate2 and nmt translate a test set with the same weights.

Needs fairseq, torch and ctranslate2 in the Python that runs it."""

import argparse
import json
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from measure import languages, machine, run, write_report

ROOT = Path(__file__).resolve().parent.parent
NMT = ROOT / "target/release/nmt"
BIN = Path(sys.executable).parent
LINES_ALONE = 100


def tensors(path):
    """The weights of a safetensors file."""
    content = Path(path).read_bytes()
    length = struct.unpack_from("<Q", content)[0]
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__", None)
    body = memoryview(content)[8 + length :]
    out = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        assert entry["dtype"] == "F32", name
        out[name] = torch.frombuffer(bytearray(body[start:end]), dtype=torch.float32).view(entry["shape"])
    return out


def fairseq_checkpoint(run_folder, data, langs, folder):
    """A checkpoint of fairseq's own making, of this architecture, with our weights in it."""
    key = lambda name: re.search(rf"^{name} = (.+)$", (run_folder / "config.toml").read_text(), re.M).group(1)
    sizes = []
    for side in ["encoder", "decoder"]:
        for option, name in [("embed-dim", "embed_dim"), ("ffn-embed-dim", "ffn_dim"), ("layers", f"{side}_layers"),
                             ("attention-heads", "attention_heads")]:
            sizes += [f"--{side}-{option}", key(name)]
    if key("share_all_embeddings") == "true":
        sizes.append("--share-all-embeddings")
    else:
        sizes.append("--share-decoder-input-output-embed")
    run([BIN / "fairseq-train", data, "--source-lang", langs[0], "--target-lang", langs[1], "--arch",
         "transformer_iwslt_de_en", *sizes, "--criterion", "label_smoothed_cross_entropy", "--optimizer", "adam",
         "--lr", "1e-9", "--max-tokens", "512", "--max-update", "1", "--cpu", "--disable-validation", "--num-workers",
         "0", "--save-dir", folder / "fairseq"])
    path = folder / "fairseq/checkpoint_last.pt"
    state = torch.load(path)
    ours = tensors(run_folder / "best.safetensors")
    for name, value in state["model"].items():
        if name in ours:
            value.copy_(ours[name])
        elif name.endswith("embed_tokens.weight") or name.endswith("output_projection.weight"):
            value.copy_(ours.get("decoder.embed_tokens.weight", ours.get("encoder.embed_tokens.weight")))
        elif re.search(r"\.(in_proj|out_proj|fc[12])_(weight|bias)$|_layer_norm_(weight|bias)$", name):
            pass  # fairseq's copies for torch's fast encoder layer, which it fills when it loads the checkpoint.
        elif not name.endswith(("version", "_float_tensor")):
            raise SystemExit(f"decoding_peers: fairseq has a parameter {name} that {run_folder} has not")
    torch.save(state, path)
    return path


def bleu(hypotheses, references):
    command = [NMT, "--quiet", "score", "--hypotheses", hypotheses, "--references", references, "--tokenize", "none",
               "--metrics", "bleu", "--json"]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["bleu"]["score"]


def join(tokens):
    return (" ".join(tokens) + " ").replace("@@ ", "").strip()


def fairseq(checkpoint, data, langs, references, folder, lines=None):
    """fairseq-generate, and its own clock, which leaves loading out; `lines`: one sentence at a time."""
    out = folder / "generate.out"
    how = ["--batch-size", "1"] if lines else ["--max-tokens", "4096"]
    result = run([sys.executable, "-c", GENERATE, data, "--source-lang", langs[0], "--target-lang", langs[1], "--path",
                  checkpoint, "--beam", "5", *how, "--cpu", "--num-workers", "0", "--gen-subset", "test"], stdout=out)
    text = out.read_text()
    rate = float(re.search(r"\(([\d.]+) sentences/s", text).group(1))
    found = sorted((int(m.group(1)), m.group(2)) for m in re.finditer(r"^H-(\d+)\t\S+\t(.*)$", text, re.M))
    hypotheses = folder / "generate.hypotheses"
    hypotheses.write_text("".join(join(line.split(" ")) + "\n" for _, line in found))
    return {"sentences_per_second": rate, "bleu": bleu(hypotheses, references), "peak_mib": result["peak_mib"]}


# torch 2 wants to be told what kind of mask fairseq gives to its fast encoder layer: 1, padding.
GENERATE = """
import logging, sys, torch
fast = torch._transformer_encoder_layer_fwd
torch._transformer_encoder_layer_fwd = lambda *given: fast(*given, *([1] if torch.__version__ >= "2" else []))
from fairseq_cli.generate import cli_main
logging.basicConfig(stream=sys.stdout, level=logging.INFO, force=True)
cli_main()
"""

# The checkpoint is of our own making, so that what pickle would run is known.
CONVERT = """
import torch
load = torch.load
torch.load = lambda *given, **named: load(*given, **{**named, "weights_only": False})
from ctranslate2.converters.fairseq import main
main()
"""

CTRANSLATE2 = """
import json, resource, sys, time, ctranslate2
model, compute, source, output, inter, intra, alone = sys.argv[1:]
lines = [line.split() for line in open(source, encoding="utf-8")]
translator = ctranslate2.Translator(model, compute_type=compute, inter_threads=int(inter), intra_threads=int(intra))
options = dict(beam_size=5, length_penalty=1, max_decoding_length=200)
translator.translate_batch(lines[:8], **options)
start = time.perf_counter()
if alone == "1":
    found = [translator.translate_batch([line], **options)[0] for line in lines]
else:
    found = translator.translate_batch(lines, max_batch_size=1024, batch_type="tokens", **options)
seconds = time.perf_counter() - start
with open(output, "w", encoding="utf-8") as out:
    for result in found:
        out.write((" ".join(result.hypotheses[0]) + " ").replace("@@ ", "").strip() + "\\n")
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"sentences_per_second": len(lines) / seconds, "peak_mib": peak}))
"""


def ctranslate2(model, compute, source, references, folder, cores, alone=False):
    out = folder / "ctranslate2.hypotheses"
    threads = ["1", str(cores)] if alone else [str(cores), "1"]
    ran = subprocess.run([sys.executable, "-c", CTRANSLATE2, model, compute, source, out, *threads, str(int(alone))],
                         capture_output=True, text=True)
    if ran.returncode != 0:
        raise SystemExit(ran.stderr)
    return {**json.loads(ran.stdout), "bleu": None if alone else bleu(out, references)}


def nmt(run_folder, data, compute, references, folder):
    out = folder / "nmt.hypotheses"
    start = time.perf_counter()
    ran = subprocess.run([NMT, "score", "--model", run_folder, "--data", data, "--beam", "5", "--compute", compute,
                          "--metrics", "bleu", "--output", out], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - start
    rate = float(re.search(r"([\d.]+) sentences/s", ran.stderr).group(1))
    return {"sentences_per_second": rate, "bleu": bleu(out, references), "whole_process_seconds": seconds}


def nmt_alone(run_folder, raw, compute):
    ran = subprocess.run([NMT, "translate", "--model", run_folder, "--beam", "5", "--compute", compute,
                          "--buffer-size", "1", "--input", raw], capture_output=True, text=True, check=True)
    return {"sentences_per_second": float(re.search(r"([\d.]+) sentences/s", ran.stderr).group(1)), "bleu": None}


def main():
    parser = argparse.ArgumentParser(prog="decoding_peers.sh")
    parser.add_argument("run", type=Path, help="a run folder of nmt train")
    parser.add_argument("data", type=Path, help="its data folder, with a split test")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    run_folder, data, facts = given.run.resolve(), given.data.resolve(), machine()
    langs = languages(data)
    cores = facts["cores"]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        show = lambda lang, *more: subprocess.run([NMT, "data", "show", "--data", data, "--split", "test", "--lang", lang, *more],
                                                  capture_output=True, check=True).stdout
        source, references, few = folder / "source", folder / "references", folder / "few"
        source.write_bytes(show(langs[0]))
        few.write_bytes(b"".join(source.read_bytes().splitlines(True)[:LINES_ALONE]))
        words = folder / "words"
        words.write_bytes(b"".join(show(langs[0], "--remove-bpe").splitlines(True)[:LINES_ALONE]))
        references.write_bytes(show(langs[1], "--remove-bpe"))
        checkpoint = fairseq_checkpoint(run_folder, data, langs, folder)
        model = folder / "ctranslate2"
        run([sys.executable, "-c", CONVERT, "--model_path", checkpoint, "--data_dir", data, "--source_lang", langs[0],
             "--target_lang", langs[1], "--output_dir", model])
        import ctranslate2 as package

        computes = [c for c in ["float32", "bfloat16", "int8"] if c in package.get_supported_compute_types("cpu")]
        rounds = []
        for n in range(given.rounds):
            print(f"round {n + 1} of {given.rounds}", file=sys.stderr)
            found = {"fairseq-generate": fairseq(checkpoint, data, langs, references, folder)}
            for compute in computes:
                found[f"CTranslate2 {compute}"] = ctranslate2(model, compute, source, references, folder, cores)
            for compute in ["fp32", "bf16"]:
                found[f"nmt {compute}"] = nmt(run_folder, data, compute, references, folder)
            for compute in computes:
                found[f"one by one: CTranslate2 {compute}"] = ctranslate2(model, compute, few, references, folder, cores, True)
            for compute in ["fp32", "bf16"]:
                found[f"one by one: nmt {compute}"] = nmt_alone(run_folder, words, compute)
            rounds.append(found)
    median = lambda values: statistics.median(list(values))
    print(f"beam 5, {cores} threads, {given.rounds} rounds (medians)\n")
    print(f"{'':34} {'sentences/s':>12} {'/ CTranslate2 float32':>22} {'BLEU':>7}")
    ratios = {}
    for name in rounds[0]:
        base = "one by one: CTranslate2 float32" if name.startswith("one") else "CTranslate2 float32"
        rate = lambda r, name: r[name]["sentences_per_second"]
        ratios[name] = median(rate(r, name) / rate(r, base) for r in rounds)
        score = rounds[0][name]["bleu"]
        print(f"{name:34} {median(rate(r, name) for r in rounds):12.0f} {ratios[name]:21.2f}x "
              f"{'' if score is None else format(score, '.2f'):>7}")
    write_report(given.json, ROOT, facts, ratios=ratios, rounds=rounds)


if __name__ == "__main__":
    main()
