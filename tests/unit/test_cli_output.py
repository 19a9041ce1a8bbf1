"""What people are shown."""

from bridge.cli.output import last_words

CRASH = """Request 1: Traceback (most recent call last):
ValueError: of an earlier call
Fatal Python error: Segmentation fault

Current thread 0x00007f83459bbb80 (most recent call first):
  File "app.py", line 24 in crash
  File "entry.py", line 125 in call
  File "child.py", line 159 in _call

Extension modules: msgspec._core (total: 1)
"""


def test_of_a_crash_the_top_of_its_stack_is_shown():
    assert last_words(CRASH, 3) == [
        "Fatal Python error: Segmentation fault",
        "Current thread 0x00007f83459bbb80 (most recent call first):",
        '  File "app.py", line 24 in crash',
    ]


def test_of_a_hang_the_top_of_its_stack_is_shown():
    stack = "\n".join(["before", "Thread 0x1 (most recent call first):", *(f"  line {n}" for n in range(9))])
    assert last_words(stack, 2) == ["Thread 0x1 (most recent call first):", "  line 0"]


def test_else_the_last_lines():
    assert last_words("one\n\ntwo\nthree\n", 2) == ["two", "three"]
    assert last_words("", 2) == []
