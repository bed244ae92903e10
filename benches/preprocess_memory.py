#!/usr/bin/env python3
"""Does the memory of `nmt preprocess` grow with the text?

    benches/preprocess_memory.py PREFIX [--times 10] [--merges 10000] [--source-lang de] [--target-lang en] [--json FILE]

The text PREFIX.de and PREFIX.en (plain or .gz) is preprocessed once as it is and once repeated, which leaves the distinct
words as they are. Exit code 1 when the peak grows by 10 % or more."""

import sys
import tempfile
from pathlib import Path

from measure import machine, raw_text, run, text_arguments, write_report

ROOT = Path(__file__).resolve().parent.parent


def main():
    parser = text_arguments("preprocess_memory.py")
    parser.add_argument("--times", type=int, default=10)
    given = parser.parse_args()
    nmt = ROOT / "target/release/nmt"
    measured = {"start": run([nmt, "config"])}
    print(f"{'':12} {'seconds':>9} {'peak MiB':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for times in [1, given.times]:
            for lang in [given.source_lang, given.target_lang]:
                content = raw_text(given.prefix, lang)
                with open(f"{folder}/text.{lang}", "wb") as sink:
                    for _ in range(times):
                        sink.write(content)
            result = run([nmt, "--quiet", "preprocess", "--source-lang", given.source_lang, "--target-lang",
                          given.target_lang, "--train", f"{folder}/text", "--bpe-merges", str(given.merges),
                          "--joined-dictionary", "--output", f"{folder}/{times}"])
            measured[f"{times}x"] = result
            print(f"{times:>10} x {result['seconds']:9.2f} {result['peak_mib']:9.1f}")
    start, once, often = (measured[name]["peak_mib"] for name in ["start", "1x", f"{given.times}x"])
    growth = often / once - 1
    own = (often - start) / (once - start) - 1
    print(f"growth {100 * growth:.1f} %; without the {start:.0f} MiB of a program that does nothing: {100 * own:.1f} %")
    write_report(given.json, ROOT, machine(), growth=growth, runs=measured)
    sys.exit(growth >= 0.1)


if __name__ == "__main__":
    main()
