"""What the benchmark of starts serves: the heavy libraries imported at the top, and a call that uses each of them."""

import gc
import time

import dspy
import litellm
import torch
from dspy.utils import DummyLM

ROUNDS = 3


def work(seed: int) -> float:
    """A product of matrices, a DSPy prediction and a LiteLLM answer, each without a network."""
    torch.set_num_threads(1)
    total = 0.0
    for number in range(ROUNDS):
        left = torch.rand(256, 256, generator=torch.Generator().manual_seed(seed + number))
        total += float((left @ left.T).mean())
        with dspy.context(lm=DummyLM([{"answer": "four"}]), disk_cache=False):
            assert dspy.Predict("question -> answer")(question=f"{seed} {number}").answer == "four"
        answer = litellm.completion(
            model="gpt-4o-mini", messages=[{"role": "user", "content": f"{number}"}], mock_response="four"
        )
        assert answer.choices[0].message.content == "four"
    gc.collect()
    return total


def nap(seconds: float) -> float:
    """Wait as a call does that waits for something, with a little work before it."""
    time.sleep(seconds)
    return seconds + float(torch.zeros(1).sum())
