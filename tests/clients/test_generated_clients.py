"""What `bridge client gen` writes passes the compilers of its languages, and calls a real server.

A toolchain that is missing skips its test and says so: Go with grpc-go (by modules, or as Debian's
golang-google-grpc-dev), Elixir, Node with the client's packages.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
APP = ROOT / "tests/rpc/typed/typed_app.py"
NODE_CLIENT = ROOT / "clients/typescript"
GO_CLIENT = ROOT / "clients/go"
CONFIG = """
[models.default]
model = "bridge/test"
[pools.general]
size = 1
[pools.llm]
size = 1
[pools.embeddings]
size = 0
"""

pytestmark = pytest.mark.timeout(600)


def run(*command: str, cwd: Path, timeout_s: float = 240.0, **environment: str) -> str:
    """Runs a command and returns its stdout; fails with all its output where its exit code is not 0."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def address(start_shared_server: Any) -> str:
    server: Any = start_shared_server(APP, CONFIG)
    return str(server.address)


@pytest.fixture
def generated(address: str, tmp_path: Path) -> Any:
    """`generated(language)`: the folder that the command wrote to."""

    def one(language: str) -> Path:
        command = [sys.executable, "-m", "bridge.cli", "client", "gen", "--lang", language, "--package", "shop.v1"]
        run(*command, "--address", address, "--out", str(tmp_path), cwd=tmp_path)
        assert "up to date" in run(*command, "--address", address, "--out", str(tmp_path), "--check", cwd=tmp_path)
        return tmp_path

    return one


PYTHON = """
import asyncio, sys
from typing_extensions import assert_type
from bridge_client import connect, connect_async
from shop_v1 import AsyncShopClient, Item, TypedAppClient, AsyncTypedAppClient

with connect(sys.argv[1]) as client:
    shop = TypedAppClient(client)
    assert_type(shop.score("abcdef", limit=3), str)
    assert shop.score("abcdef", limit=3) == "billing:abc"
    assert shop.score("abcdef", queue="bug-fix") == "bug-fix:abcde"
    item: Item = {"name": "ring", "color": "blue", "inside": {"name": "stone"}}
    sold = shop.sell(item, count=2)
    assert sold["name"] == "ring" and sold["price"] == 2.0 and sold["inside"] is not None
    assert [one["name"] for one in shop.count(2)] == ["0", "1"]
    assert shop.anything({"deep": [1]}, maybe=None, data=b"xyz") == {"value": {"deep": [1]}, "maybe": None, "size": 3}
    assert shop.pets([{"kind": "cat", "lives": 9}])["pet0"]["kind"] == "cat"
    assert shop.triage("I was charged twice")["queue"] in ("billing", "technical")
    shop.near("x")


async def main() -> None:
    async with connect_async(sys.argv[1]) as client:
        shop = AsyncTypedAppClient(client)
        assert await shop.score("abc") == "billing:abc"
        assert [tick async for tick in shop.ticks(3)] == [0, 1, 2]


asyncio.run(main())
print("called")
""".replace("AsyncShopClient, ", "")

PYTHON_WRONG = """
from bridge_client import connect
from shop_v1 import TypedAppClient

shop = TypedAppClient(connect("127.0.0.1:1"))
shop.score(5)
shop.score("a", queue="sales")
shop.sell({"title": "x"})
number: int = shop.score("a")
"""


def test_python_passes_mypy_and_calls(generated: Any, address: str) -> None:
    folder = generated("python")
    (folder / "use.py").write_text(PYTHON)
    run(sys.executable, "-m", "mypy", "--strict", "shop_v1.py", "use.py", cwd=folder)
    assert run(sys.executable, "use.py", address, cwd=folder) == "called\n"


def test_python_that_is_wrong_does_not_pass_mypy(generated: Any) -> None:
    folder = generated("python")
    (folder / "wrong.py").write_text(PYTHON_WRONG)
    command = [sys.executable, "-m", "mypy", "--strict", "wrong.py"]
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False).stdout
    for line in (6, 7, 8, 9):
        assert f"wrong.py:{line}: error" in found, found


TYPESCRIPT = """
import assert from "node:assert/strict";
import { connect } from "@polyglot-bridge/client";
import { type Item, TypedAppClient } from "./shop_v1.js";

const bridge = connect(process.argv[2] as string);
const shop = new TypedAppClient(bridge);
const scored: string = await shop.score({ text: "abcdef", limit: 3 });
assert.equal(scored, "billing:abc");
assert.equal(await shop.score({ text: "abc", queue: "bug-fix" }), "bug-fix:abc");
const item: Item = { name: "ring", color: "blue", inside: { name: "stone" } };
const sold: Item = await shop.sell({ item, count: 2 });
assert.equal(sold.price, 2);
assert.equal(sold.inside?.name, "stone");
const names: string[] = [];
for await (const one of shop.count({ to: 2 })) names.push(one.name);
assert.deepEqual(names, ["0", "1"]);
const pets = await shop.pets({ pets: [{ kind: "cat", lives: 9 }, { kind: "dog", barks: true }] });
assert.deepEqual(Object.keys(pets), ["pet0", "pet1"]);
assert.ok(["billing", "technical"].includes((await shop.triage({ ticket: "charged twice" })).queue));
// @ts-expect-error a number is no text
await assert.rejects(shop.score({ text: 5 }));
// @ts-expect-error no such queue
await assert.rejects(shop.score({ text: "x", queue: "sales" }));
bridge.close();
console.log("called");
"""
TSCONFIG = """
{"compilerOptions": {"target": "ES2022", "module": "NodeNext", "moduleResolution": "NodeNext", "strict": true,
 "exactOptionalPropertyTypes": true, "noUncheckedIndexedAccess": true, "types": ["node"], "outDir": "dist",
 "typeRoots": ["node_modules/@types"], "skipLibCheck": true}, "include": ["*.ts"]}
"""


def test_typescript_passes_tsc_and_calls(generated: Any, address: str) -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    if not (NODE_CLIENT / "node_modules/.package-lock.json").exists():
        run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=NODE_CLIENT, timeout_s=300)
    run("npm", "run", "build", cwd=NODE_CLIENT)
    folder = generated("typescript")
    modules = folder / "node_modules"
    (modules / "@polyglot-bridge").mkdir(parents=True)
    (modules / "@polyglot-bridge/client").symlink_to(NODE_CLIENT)
    (modules / "@types").symlink_to(NODE_CLIENT / "node_modules/@types")
    (modules / "undici-types").symlink_to(NODE_CLIENT / "node_modules/undici-types")
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "tsconfig.json").write_text(TSCONFIG)
    (folder / "use.ts").write_text(TYPESCRIPT)
    run(str(NODE_CLIENT / "node_modules/.bin/tsc"), "-p", "tsconfig.json", cwd=folder)
    assert run("node", "dist/use.js", address, cwd=folder) == "called\n"


GO = """
package main

import (
	"context"
	"fmt"
	"os"

	"example.test/shopv1"
	bridgeclient "github.com/polyglot-bridge/polyglot-bridge/clients/go"
)

func main() {
	client, err := bridgeclient.Connect(os.Args[1])
	check(err)
	defer client.Close()
	shop := shopv1.NewTypedAppClient(client)
	ctx := context.Background()
	scored, err := shop.Score(ctx, shopv1.ScoreRequest{Text: "abcdef", Limit: bridgeclient.Ptr(int64(3))})
	check(err)
	ring := shopv1.Item{Name: "ring", Color: bridgeclient.Ptr(shopv1.ColorBlue)}
	sold, err := shop.Sell(ctx, shopv1.SellRequest{Item: ring}, bridgeclient.WithRequestID("sold"))
	check(err)
	var names []string
	items := shop.Count(ctx, shopv1.CountRequest{To: 2})
	for items.Next() {
		names = append(names, items.Value().Name)
	}
	check(items.Err())
	_, err = shop.Pets(ctx, shopv1.PetsRequest{})
	check(err)
	check(shop.Fail(ctx, shopv1.FailRequest{Message: "broken"}))
	fmt.Println(scored, *sold.Color, *sold.Price, names)
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
	}
}
"""
MISSING = 3
"""What the Go client's tool.sh ends with where something is missing."""


def test_go_passes_vet_and_calls(generated: Any, address: str) -> None:
    folder = generated("go")
    workspace = folder / "go/src/example.test"
    workspace.mkdir(parents=True)
    (workspace / "shopv1").symlink_to(folder / "shopv1")
    (workspace / "use").mkdir()
    (workspace / "use/main.go").write_text(GO)
    environment = {"GO_CLIENT_PATH": str(folder / "go")}
    found = subprocess.run(["sh", "tool.sh", "list", "."], cwd=GO_CLIENT, capture_output=True, text=True, check=False)
    if found.returncode == MISSING:
        pytest.skip(found.stderr.strip())
    packages = ("example.test/shopv1", "example.test/use")
    run("sh", "tool.sh", "vet", *packages, cwd=GO_CLIENT, timeout_s=500, **environment)
    run("sh", "tool.sh", "build", "-o", str(folder / "use"), packages[1], cwd=GO_CLIENT, timeout_s=500, **environment)
    first, last = run(str(folder / "use"), address, cwd=folder).strip().splitlines()
    assert "RuntimeError: broken" in first
    assert last == "billing:abc blue 1 [0 1]"


ELIXIR = """
client = fn
  :call, "score", %{"text" => "abc", "limit" => 2} -> {:ok, "billing:ab"}
  :call, "sell", %{"item" => %{"name" => "ring"} = item} -> {:ok, Map.merge(item, %{"price" => 2.0, "tags" => []})}
  :stream, "count", %{"to" => 1} -> {:ok, [%{"name" => "0"}]}
  _, "fail", _ -> {:error, :broken}
end

alias Shop.V1.{Item, TypedApp}
{:ok, "billing:ab"} = TypedApp.score(client, "abc", limit: 2)
{:ok, %Item{name: "ring", price: 2.0, inside: nil}} = TypedApp.sell(client, %Item{name: "ring"})
{:ok, items} = TypedApp.count(client, 1)
[%Item{name: "0"}] = Enum.to_list(items)
{:error, :broken} = TypedApp.fail(client, "x")
IO.puts("called")
"""


def test_elixir_compiles_and_calls_through_any_transport(generated: Any) -> None:
    if shutil.which("elixirc") is None:
        pytest.skip("elixir is not installed")
    folder = generated("elixir")
    (folder / "use.exs").write_text(ELIXIR)
    run("elixirc", "--warnings-as-errors", "-o", str(folder), "shop_v1.ex", cwd=folder)
    assert run("elixir", "-pa", str(folder), "use.exs", cwd=folder) == "called\n"
