"""What an exit status means, told for people."""

import signal

import pytest

from pool.exits import Killed, describe


@pytest.mark.parametrize(
    ("status", "cause", "name", "code"),
    [
        (0, "exited with code 0", "", 0),
        (3, "exited with code 3", "", 3),
        (-signal.SIGSEGV, "killed by SIGSEGV", "SIGSEGV", None),
        (-signal.SIGABRT, "killed by SIGABRT", "SIGABRT", None),
        (-signal.SIGBUS, "killed by SIGBUS", "SIGBUS", None),
        (-35, "killed by signal 35", "signal 35", None),
    ],
)
def test_an_end_of_its_own(status, cause, name, code):
    assert describe(status, None) == (cause, name, code)


def test_a_kill_that_nobody_here_sent_may_be_the_kernel():
    cause, name, code = describe(-signal.SIGKILL, None)
    assert "did not send" in cause
    assert "maybe the kernel" in cause
    assert (name, code) == ("SIGKILL", None)


def test_a_kill_on_purpose_says_why():
    killed = Killed(why="held 5 bytes", memory_bytes=5)
    assert describe(-signal.SIGKILL, killed) == ("held 5 bytes", "SIGKILL", None)
