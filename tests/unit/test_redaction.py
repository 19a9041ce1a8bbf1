"""Secrets in texts that leave the process."""

import pytest

from handlers.redaction import MASK, redact


def test_known_secrets_go_longest_first():
    assert redact("key abcd1234 and abcd", ["abcd", "abcd1234"]) == f"key {MASK} and {MASK}"


@pytest.mark.parametrize(
    "key",
    [
        "sk-0123456789abcdefghij",
        "sk-proj-0123456789_abcdefghij",
        "sk-ant-api03-0123456789abcdef",
        "gsk_0123456789abcdefghij",
        "hf_0123456789abcdefghij",
        "bk_0123456789_0123456789abcdefghij",
        "AIzaSyA0123456789abcdefghij",
    ],
)
def test_what_looks_like_a_providers_key_goes(key):
    assert redact(f"Incorrect API key provided: {key}. Try again.") == f"Incorrect API key provided: {MASK}. Try again."


def test_bearer_tokens_go():
    assert redact("Authorization: Bearer abc.def-123456") == f"Authorization: Bearer {MASK}"


@pytest.mark.parametrize("text", ["", "skills are needed", "task-force-of-many-people-here", "a risk-averse approach"])
def test_ordinary_text_stays(text):
    assert redact(text, ["", "abc"]) == text
