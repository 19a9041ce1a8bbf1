"""Regenerate `bridge_client/v1` from the project's proto files: `python clients/python/generate.py`.

Writes one descriptor set with everything the client speaks, one small module per proto file that takes its classes from
it, and a type stub beside each. Needs grpcio-tools, googleapis-common-protos and grpcio-health-checking (the project's
`dev` extra). `--check` writes nothing and exits 1 when the checked-in files differ; `--proto` and `--out` let a test
build a client of another version. A development tool: it is not part of the package.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

HERE = Path(__file__).resolve().parent
GOOGLE_RPC = ("google/rpc/status.proto", "google/rpc/error_details.proto")
SERVERS_OWN = ("bridge/v1/access.proto", "google/protobuf/descriptor.proto")
STUB_IMPORT = re.compile(r"^from (?:bridge\.v1|google\.\w+|grpc\.health\.v1) import (\w+_pb2)", re.MULTILINE)


def main() -> int:
    """Parse the command line and write or compare. Returns the exit status."""
    parser = argparse.ArgumentParser(description="Regenerate bridge_client/v1 from the proto files.")
    parser.add_argument("--proto", type=Path, default=HERE / "../../proto", help="folder with bridge/v1/*.proto")
    parser.add_argument("--out", type=Path, default=HERE / "bridge_client" / "v1", help="folder to write into")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the folder is out of date")
    options = parser.parse_args()
    generated = generate(options.proto)
    if options.check:
        stale = differences(generated, options.out)
        for name in stale:
            print(f"{options.out / name} is not what the proto files give; run {Path(__file__).name}", file=sys.stderr)
        return 1 if stale else 0
    write(generated, options.out)
    print(f"wrote {len(generated)} files to {options.out}")
    return 0


def generate(proto: Path) -> dict[str, bytes]:
    """The content of every generated file, by its name in the output folder."""
    descriptors = compile_descriptors(proto)
    serialized = descriptors.SerializeToString(deterministic=True)
    generated = {"__init__.py": b"", "messages.binpb": serialized}
    for file in descriptors.file:
        generated[f"{stem(file)}.py"] = module(file).encode()
    generated |= stubs(serialized, [file.name for file in descriptors.file])
    return generated


def compile_descriptors(proto: Path) -> FileDescriptorSet:
    """All files that the client needs, imports first. The health service comes from its Python package."""
    from grpc_health.v1 import health_pb2

    ours = sorted(path.relative_to(proto).as_posix() for path in (proto / "bridge" / "v1").glob("*.proto"))
    if not ours:
        msg = f"expected proto files in {proto / 'bridge' / 'v1'}, found none; pass the folder with --proto"
        raise SystemExit(msg)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "set.binpb"
        protoc(f"-I{proto}", f"-I{common_protos()}", "--include_imports", f"--descriptor_set_out={target}",
               *ours, *GOOGLE_RPC)  # fmt: skip
        descriptors = without_roles(FileDescriptorSet.FromString(target.read_bytes()))
    health_pb2.DESCRIPTOR.CopyToProto(descriptors.file.add())
    return descriptors


def without_roles(descriptors: FileDescriptorSet) -> FileDescriptorSet:
    """The files without what says which keys may call what: that is for the server."""
    kept = FileDescriptorSet(file=[file for file in descriptors.file if file.name not in SERVERS_OWN])
    for file in kept.file:
        needed = [name for name in file.dependency if name not in SERVERS_OWN]
        del file.dependency[:]
        file.dependency.extend(needed)
        for method in (method for service in file.service for method in service.method):
            method.ClearField("options")
    return kept


def stubs(serialized: bytes, names: list[str]) -> dict[str, bytes]:
    """Protoc's type stubs, their imports turned to the client's own modules."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "set.binpb"
        source.write_bytes(serialized)
        out = Path(folder) / "stubs"
        out.mkdir()
        protoc(f"--descriptor_set_in={source}", f"--pyi_out={out}", *names)
        return {
            path.name: STUB_IMPORT.sub(r"from bridge_client.v1 import \1", path.read_text()).encode()
            for path in out.rglob("*.pyi")
        }


def module(file: FileDescriptorProto) -> str:
    """The Python module of one proto file."""
    lines = [
        f'"""Messages of {file.name} in the client\'s own descriptor pool. Written by generate.py; do not edit."""',
        "",
        "from bridge_client.descriptors import enum, file, message",
        "",
        f'DESCRIPTOR = file("{file.name}")',
    ]
    for found in file.enum_type:
        lines.append(f'{found.name} = enum("{file.package}.{found.name}")')
        lines += [f'{value.name} = {found.name}.Value("{value.name}")' for value in found.value]
    lines += [f'{found.name} = message("{file.package}.{found.name}")' for found in file.message_type]
    return "\n".join(lines) + "\n"


def stem(file: FileDescriptorProto) -> str:
    """The module name of a proto file: ``bridge/v1/common.proto`` is ``common_pb2``."""
    return Path(file.name).stem + "_pb2"


def differences(generated: dict[str, bytes], out: Path) -> list[str]:
    """Names of files that are missing, stale or no longer generated."""
    present = {path.name for path in out.iterdir() if path.is_file()} if out.is_dir() else set()
    stale = {name for name in generated if name not in present or (out / name).read_bytes() != generated[name]}
    return sorted(stale | (present - generated.keys()))


def write(generated: dict[str, bytes], out: Path) -> None:
    """Write all files and delete those that are no longer generated."""
    out.mkdir(parents=True, exist_ok=True)
    for name in differences(generated, out):
        if name in generated:
            (out / name).write_bytes(generated[name])
        else:
            (out / name).unlink()


def common_protos() -> Path:
    """The folder with google/rpc/*.proto: it comes with googleapis-common-protos."""
    from google.rpc import status_pb2

    return Path(status_pb2.__file__).parent.parent.parent


def protoc(*arguments: str) -> None:
    """Run protoc; it explains what is wrong on stderr."""
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *arguments], check=True)


if __name__ == "__main__":
    sys.exit(main())
