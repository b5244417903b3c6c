"""How long `kit --help` takes: the median of several starts, and of a bare Python for comparison.

python benchmarks/startup.py [--rounds 10]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median


def seconds(command: list[str]) -> float:
    """Wall time of one run of a command."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    """Alternate the two commands and print their medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    commands = {
        "kit --help": [str(Path(sys.executable).parent / "kit"), "--help"],
        "python": [sys.executable, "-c", ""],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            times[name].append(seconds(command))
    for name, found in times.items():
        print(f"{name:12}{median(found):.2f} s (of {rounds})")
    help_s = median(times["kit --help"])
    print(json.dumps({"help_seconds": round(help_s, 3), "reached": help_s <= 0.5}))


if __name__ == "__main__":
    main()
