"""Secrets in plain values: found with their place and never shown, and taken out."""

import json

import pytest

from handlers.secret_scan import Scanner

KEYS = {
    "an OpenAI key": "sk-proj-abcdefghijklmnop1234",
    "an AWS key": "AKIAIOSFODNN7EXAMPLE",
    "a GitHub token": "ghp_" + "a1B2" * 9,
    "a GitLab token": "glpat-abcdEFGH1234ijkl5678",
    "a Slack token": "xoxb-123456789012-abcdefghij",
    "a Google key": "AIza" + "Sy0-" * 9,
    "a JSON web token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlLWhlcmU",
    "a header": "Authorization: Bearer abc123def456ghi789",
    "a URL": "postgres://admin:hunter2hunter2@db/prod",
    "a private key": "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----",
    "an assignment": 'password = "correct-horse-7"',
}
INNOCENT = [
    "What is the secret of a good pie?",
    "The password is wrong, says the customer.",
    "task-oriented dialogue with a risk-averse customer",
    "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    "https://example.org/a:b@c/path",
    "Bearer bonds are instruments of debt",
    "max_tokens: 4096",
]


@pytest.mark.parametrize("text", KEYS.values(), ids=list(KEYS))
def test_a_text_of_the_form_of_a_secret_is_found_and_taken_out(text: str) -> None:
    value = {"demos": [{"question": f"see {text} there"}]}
    (found,) = Scanner.of({}).findings(value)
    assert found.path == "demos[0].question"
    cleaned = json.dumps(Scanner.of({}).scrubbed(value))
    assert "[redacted]" in cleaned
    for part in text.replace("Authorization: Bearer ", "").split():
        assert part not in cleaned or part in ("password", "=", "-----BEGIN", "RSA")
    assert text not in str(found)


@pytest.mark.parametrize("text", INNOCENT)
def test_plain_text_is_left_alone(text: str) -> None:
    assert Scanner.of({}).findings({"question": text}) == []
    assert Scanner.of({}).scrubbed([text]) == [text]


def test_values_of_variables_with_such_names_and_configured_keys_are_secrets() -> None:
    environ = {
        "SHOP_API_KEY": "plainwords",
        "HOME": "/srv/somebody",
        "X_TOKEN": "abc",
        "TOKENIZERS_PARALLELISM": "false",
    }
    scanner = Scanner.of(environ, keys=["another plain value"])
    assert [str(one) for one in scanner.findings({"a": "so plainwords it is"})] == [
        "a: holds the value of $SHOP_API_KEY"
    ]
    assert scanner.findings(["/srv/somebody", "abc", "false"]) == []
    assert scanner.scrubbed({"x": ["it is another plain value, yes"]}) == {"x": ["it is [redacted], yes"]}
    assert "plainwords" not in repr(scanner)


def test_texts_under_names_of_secrets_are_secrets_whatever_they_say() -> None:
    value = {"headers": {"Authorization": "x", "X-Api-Key": "y", "accept": "z"}, "max_tokens": "12", "api_key": None}
    assert [one.path for one in Scanner.of({}).findings(value)] == ["headers.Authorization", "headers.X-Api-Key"]
    assert Scanner.of({}).scrubbed(value)["headers"] == {
        "Authorization": "[redacted]",
        "X-Api-Key": "[redacted]",
        "accept": "z",
    }


def test_configured_names_hide_values_of_every_kind_at_every_depth() -> None:
    scanner = Scanner.of({}, names=["Diagnosis"])
    value = {"patients": [{"diagnosis": {"code": 7}, "name": "A"}], "DIAGNOSIS": "flu"}
    assert scanner.scrubbed(value) == {"patients": [{"diagnosis": None, "name": "A"}], "DIAGNOSIS": "[redacted]"}


def test_a_secret_in_a_key_is_taken_out_too() -> None:
    value = {"sk-abcdefghijklmnopqrst": 1}
    (found,) = Scanner.of({}).findings(value, "inputs")
    assert found.path == "inputs"
    assert Scanner.of({}).scrubbed(value) == {"[redacted]": 1}
