"""`python tests/soak/run.py --minutes 30 [--seed N]`: the long tests, faults for so many minutes, and a long walk."""

from __future__ import annotations

import argparse
import os
import random
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Run them; the exit status is pytest's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long faults go on (default 30)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="repeats the choices of a run")
    options = parser.parse_args()
    print(f"seed {options.seed}; to repeat: --minutes {options.minutes:g} --seed {options.seed}", flush=True)
    walks = max(1, int(options.minutes))
    os.environ |= {
        "TEST_LENGTH": "long",
        "TEST_MINUTES": str(options.minutes),
        "TEST_SEED": str(options.seed),
        "TEST_WALKS": str(walks),
    }
    os.chdir(ROOT)
    return int(pytest.main(["-q", "-s", "tests/soak", "tests/unit/test_pool_walk.py", "--durations=10"]))


if __name__ == "__main__":
    sys.exit(main())
