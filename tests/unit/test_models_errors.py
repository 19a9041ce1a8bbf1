"""The table of providers' failures, for what can not be had over HTTP here."""

import pytest
from instructor.core.exceptions import InstructorRetryException
from tenacity import Future, RetryError

from handlers.contract import ModelOptions
from handlers.errors import BadInput
from handlers.models import errors

OPTIONS = ModelOptions(model="anthropic/claude", api_key="a-secret-of-no-known-shape")


class Failure(Exception):
    """Looks like a failure of LiteLLM."""

    def __init__(self, text="no", status_code=None, headers=None):
        super().__init__(text)
        if status_code is not None:
            self.status_code = status_code
        self.litellm_response_headers = headers


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "FAILED_PRECONDITION"), (451, "INVALID_ARGUMENT"), (529, "UNAVAILABLE"), (504, "DEADLINE_EXCEEDED")],
)
def test_the_status_counts_whatever_the_class(status, code):
    error = errors.provider_error(Failure(status_code=status), "main", OPTIONS)
    assert (error.code, error.metadata["status"], error.metadata["provider"]) == (code, str(status), "anthropic")


def test_a_failure_that_says_nothing_is_the_providers():
    assert errors.provider_error(Failure(), "main", OPTIONS).code == "UNAVAILABLE"


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("12", 12, 12), ("0.5", 0.5, 0.5), ("-3", 0, 0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0), ("soon", None, None)],
)
def test_retry_after_in_seconds_or_as_a_date(text, low, high):
    found = errors.provider_error(Failure(status_code=429, headers={"retry-after": text}), "main", OPTIONS)
    assert found.retry_after_s == low == high


def test_wrapped_failures_are_dug_out():
    wrapped = Failure("wrapped")
    wrapped.original_exception = Failure("inside", status_code=401)
    outer = InstructorRetryException("outer", n_attempts=1, total_usage=0)
    outer.__cause__ = RetryError(Future.construct(1, wrapped, has_exception=True))
    assert errors.provider_error(outer, "main", OPTIONS).metadata["status"] == "401"
    mistake = BadInput("mine")
    wrapped.original_exception = mistake
    assert errors.provider_error(outer, "main", OPTIONS) is mistake


def test_keys_are_taken_out_and_texts_are_bounded():
    text = "key a-secret-of-no-known-shape and Bearer abcdefghijklmnop " + "x" * 5000
    error = errors.provider_error(Failure(text, status_code=401), "main", OPTIONS)
    assert "a-secret" not in str(error)
    assert "abcdefghijklmnop" not in str(error)
    assert len(str(error)) < 1000
