"""Run commands and say how long they took and how much memory their largest process had."""

import argparse
import gzip
import json
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

GNU_TIME = shutil.which("time")


def run(command, stdin=None, stdout=None):
    """Run `command`, from and to files if given; wall seconds, processor seconds and the peak in MiB.

    The system counts the memory of the process that started a program as the program's: GNU time (Debian's package time)
    is small, and this one, which stands in where there is none, has some 50 MiB."""
    with tempfile.NamedTemporaryFile("r") as peak:
        small = [GNU_TIME, "--quiet", "--format", "%M", "--output", peak.name] if GNU_TIME else []
        start = time.perf_counter()
        with open(stdin or os.devnull, "rb") as source, open(stdout or os.devnull, "wb") as sink:
            child = subprocess.Popen([*small, *command], stdin=source, stdout=sink, stderr=subprocess.PIPE)
            complaint = child.stderr.read()
            _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            command = " ".join(map(str, command))
            raise SystemExit(f"{command}: exit {child.returncode}\n{complaint.decode(errors='replace')}")
        kibibytes = int(peak.read()) if GNU_TIME else usage.ru_maxrss
    return {"seconds": seconds, "processor": usage.ru_utime + usage.ru_stime, "peak_mib": kibibytes / 1024}


def repeated(times, command, stdin=None, before=lambda: None):
    """Run a short command several times, `before` each time; the medians, and all wall seconds."""
    runs = []
    for _ in range(times):
        before()
        runs.append(run(command, stdin))
    return {key: statistics.median(r[key] for r in runs) for key in runs[0]} | {"all": [r["seconds"] for r in runs]}


def machine():
    """What the figures depend on. A load average well above 0 says that something else ran."""
    facts = {"cores": len(os.sched_getaffinity(0)), "system": platform.system(), "python": platform.python_version()}
    for path, key, name in [("/proc/cpuinfo", "model name", "processor"), ("/proc/meminfo", "MemTotal", "memory")]:
        try:
            with open(path) as lines:
                facts[name] = next(line for line in lines if line.startswith(key)).split(":", 1)[1].strip()
        except (OSError, StopIteration):
            facts[name] = None
    facts["load_before"] = os.getloadavg()[0]
    return facts


def commit(root):
    """The commit of the checkout, with a + where it has changes."""
    git = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--exclude=*"]
    return subprocess.run(git, capture_output=True, text=True).stdout.strip() or None


def text_arguments(program):
    """The options of a measurement of `nmt preprocess` on a text."""
    parser = argparse.ArgumentParser(prog=program)
    parser.add_argument("prefix")
    parser.add_argument("--merges", type=int, default=10_000)
    parser.add_argument("--source-lang", default="de")
    parser.add_argument("--target-lang", default="en")
    parser.add_argument("--json", type=Path)
    return parser


def raw_text(prefix, lang):
    """The content of PREFIX.LANG or PREFIX.LANG.gz."""
    plain, packed = Path(f"{prefix}.{lang}"), Path(f"{prefix}.{lang}.gz")
    if not plain.exists() and not packed.exists():
        raise SystemExit(f"expected a text {plain} or {packed}, found neither")
    return plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes())


def languages(data):
    """Source and target of a binarised data folder."""
    name = next(data.glob("train.*-*.*.idx"), None)
    if name is None:
        raise SystemExit(f"expected a binarised data folder, found no train.SRC-TGT.LANG.idx in {data}")
    return name.name.split(".")[1].split("-")


def write_report(path, root, facts, **found):
    """Write what was found, with the machine and the commit, as JSON, where a path was given."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"machine": facts, "commit": commit(root), **found}, indent=1) + "\n")
