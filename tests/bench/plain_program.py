"""The program of the benchmark in plain Python: what a call of it is held against.

`python plain_program.py ADDRESS` prints `ready`; each line it reads is a number of calls, and it answers with the
seconds that each took, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import dspy

QUESTION = "Why is the sky blue?"


def main() -> None:
    lm = dspy.LM("openai/stub-0", api_base=sys.argv[1], api_key="none", cache=False, num_retries=0, timeout=60)
    dspy.configure(lm=lm)
    program = dspy.Predict("question -> answer")
    assert program(question=QUESTION).answer
    print("ready", flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            began = time.perf_counter()
            program(question=QUESTION)
            times.append(time.perf_counter() - began)
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main()
