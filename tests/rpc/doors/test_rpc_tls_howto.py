"""The commands of docs/howto/tls.md make certificates that a server and its clients take."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest
from bridge_client import Tls, connect

BLOCK = re.compile(r"^```sh[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the command openssl is missing")
def test_the_openssl_commands(start_server, pytestconfig, tmp_path, add_app, small_config):
    page = (pytestconfig.rootpath / "docs/howto/tls.md").read_text()
    made, used = BLOCK.findall(page)[:2]
    subprocess.run(["sh", "-e", "-c", made], cwd=tmp_path, capture_output=True, timeout=60, check=True)
    names = re.findall(r"--tls-(certificate|key|client-ca) (\S+)", used.splitlines()[0])
    lines = [f"tls_{name.replace('-', '_')} = {json.dumps(str(tmp_path / file))}" for name, file in names]
    server = start_server(add_app, "\n".join(["[server]", *lines, small_config]))

    flags = used.splitlines()[1].partition("--address")[0].split()[1:]
    address = server.address.replace("127.0.0.1", "localhost")
    listed = subprocess.run(
        [sys.executable, "-m", "bridge.cli", *flags, "--address", address],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "add" in listed.stdout, listed.stderr
    tls = Tls(ca=tmp_path / "ca.pem", certificate=tmp_path / "shop.pem", key=tmp_path / "shop.key")
    with connect(server.address, tls=tls) as client:
        assert client.call("add", a=2, b=3) == 5
