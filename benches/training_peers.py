"""The measurement of training_peers.sh: fairseq, plain PyTorch and nmt train the same model on the same data, in turn."""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import languages, machine, run, write_report

ROOT = Path(__file__).resolve().parent.parent
NMT = ROOT / "target/release/nmt"
RECIPE = ROOT / "configs/iwslt14_warmup.toml"
# The first updates of a process allocate and warm up; they are left out for everyone.
WARM_UP = 2

def fairseq(python, data, updates, folder):
    source, target = languages(data)
    out = folder / "fairseq.out"
    result = run([Path(python).parent / "fairseq-train", data, "--source-lang", source, "--target-lang", target,
                  "--arch", "transformer_iwslt_de_en", "--dropout", "0.3", "--attention-dropout", "0.1",
                  "--activation-dropout", "0.1", "--share-decoder-input-output-embed", "--criterion",
                  "label_smoothed_cross_entropy", "--label-smoothing", "0.1", "--optimizer", "adam", "--adam-betas",
                  "(0.9, 0.98)", "--lr", "5e-4", "--lr-scheduler", "inverse_sqrt", "--warmup-updates", "4000",
                  "--weight-decay", "1e-4", "--max-tokens", "4096", "--max-update", str(updates), "--cpu", "--no-save",
                  "--disable-validation", "--log-format", "json", "--log-interval", "1", "--num-workers", "0",
                  "--save-dir", folder / "fairseq", "--seed", "1"], stdout=out)
    # wps is the rate of one update, ups its updates a second (rounded); wpb the tokens of it.
    lines = [json.loads(line.split(" | ")[-1]) for line in out.read_text().splitlines() if '"num_updates"' in line
             and "train_inner" in line]
    rates = [(float(line["wpb"]), float(line["wps"])) for line in lines][WARM_UP:]
    return {"tokens_per_second": sum(t for t, _ in rates) / sum(t / r for t, r in rates), **result}

def pytorch(python, data, updates, folder):
    out = folder / "pytorch.out"
    result = run([python, ROOT / "benches/plain_pytorch.py", data, *languages(data), str(updates)], stdout=out)
    events = [json.loads(line) for line in out.read_text().splitlines()][WARM_UP:]
    return {"tokens_per_second": sum(e["tokens"] for e in events) / sum(e["seconds"] for e in events), **result}

def nmt(data, updates, compute, folder):
    output = folder / f"nmt-{compute}-{len(list(folder.iterdir()))}"
    result = run([NMT, "--quiet", "train", "--data", data, "--config", RECIPE, "--set", f"training.compute={compute}",
                  "--set", "training.log_every=1", "--set", "validation.bleu=false", "--stop-after", str(updates),
                  "--output", output])
    events = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    events = [e for e in events if e["event"] == "update"][WARM_UP:]
    tokens = sum(e["target_tokens"] for e in events)
    return {"tokens_per_second": tokens / sum(e["target_tokens"] / e["tokens_per_second"] for e in events), **result}

def main():
    parser = argparse.ArgumentParser(prog="training_peers.sh")
    parser.add_argument("data", type=Path)
    parser.add_argument("--updates", type=int, default=14)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--fairseq-python", default=sys.executable, help="the Python that fairseq is installed in")
    parser.add_argument("--pytorch-python", default=sys.executable, help="the Python of the plain loop")
    given = parser.parse_args()
    data, facts = given.data.resolve(), machine()
    bf16 = "avx512_bf16" in Path("/proc/cpuinfo").read_text() or "amx_bf16" in Path("/proc/cpuinfo").read_text()
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for n in range(given.rounds):
            print(f"round {n + 1} of {given.rounds}", file=sys.stderr)
            found = {
                "fairseq-train": fairseq(given.fairseq_python, data, given.updates, folder),
                "plain PyTorch": pytorch(given.pytorch_python, data, given.updates, folder),
                "nmt fp32": nmt(data, given.updates, "fp32", folder),
            }
            if bf16:
                found["nmt bf16"] = nmt(data, given.updates, "bf16", folder)
            rounds.append(found)
    median = lambda values: statistics.median(list(values))
    version = lambda python, name: subprocess.run(
        [python, "-c", f"import importlib.metadata as m; print(m.version('{name}'))"], capture_output=True, text=True
    ).stdout.strip()
    versions = {"fairseq": version(given.fairseq_python, "fairseq"), "its torch": version(given.fairseq_python, "torch"),
                "plain torch": version(given.pytorch_python, "torch")}
    print(f"transformer_iwslt_de_en, max-tokens 4096, updates {WARM_UP + 1} to {given.updates}, {given.rounds} rounds "
          f"(medians); {versions}\n")
    print(f"{'':16} {'target tokens/s':>16} {'/ fairseq':>10} {'peak MiB':>9}")
    ratios = {}
    for name in rounds[0]:
        ratios[name] = median(r[name]["tokens_per_second"] / r["fairseq-train"]["tokens_per_second"] for r in rounds)
        print(f"{name:16} {median(r[name]['tokens_per_second'] for r in rounds):16.0f} {ratios[name]:9.2f}x "
              f"{median(r[name]['peak_mib'] for r in rounds):9.0f}")
    write_report(given.json, ROOT, facts, versions=versions, ratios=ratios, rounds=rounds)

if __name__ == "__main__":
    main()
