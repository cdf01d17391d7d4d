"""Generates the messages and stubs of the contract into src/itembank/v1: python generate.py"""

import os
import subprocess
import sys
from pathlib import Path

here = Path(__file__).parent
proto = here.parent.parent / "proto"


def generate(out: Path) -> None:
    """Writes modules and type stubs for every file of the contract below `out`."""
    files = sorted(str(path.relative_to(proto)) for path in (proto / "itembank").rglob("*.proto"))
    services = [file for file in files if file.endswith("_service.proto")]
    compile_to(out, ("python", "mypy"), files)
    compile_to(out, ("grpc_python", "mypy_grpc"), services)


def compile_to(out: Path, kinds: tuple[str, ...], files: list[str]) -> None:
    plugins = [f"--{kind}_out={'quiet:' if kind.startswith('mypy') else ''}{out}" for kind in kinds]
    # The plugins are programs beside this interpreter, also where its environment is not activated.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={proto}", *plugins, *files],
        check=True,
        env={**os.environ, "PATH": path},
    )


if __name__ == "__main__":
    generate(here / "src")
