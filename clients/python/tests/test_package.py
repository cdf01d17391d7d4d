"""The installed package, and its generated part."""

from __future__ import annotations

import importlib.util
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from service import repository

package = repository / "clients" / "python"


def test_the_installed_package_is_complete_with_the_contract_and_needs_no_pandas(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", tmp_path, package],
        check=True,
        timeout=300,
    )
    script = """
import sys
sys.modules["pandas"] = None
import itembank, pathlib
from itembank.v1.run_service_pb2_grpc import RunServiceStub
folder = pathlib.Path(itembank.__file__).parent
assert folder.parent == pathlib.Path(sys.argv[1]), folder
assert (folder / "py.typed").exists() and (folder / "v1" / "item_pb2.pyi").exists()
print(itembank.content_hash({"input": {"q": "2+2?"}, "expected_output": "4"}))
"""
    output = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, tmp_path],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert output.strip() == "b40d637f2214d3567d3c2af64abb232a99725aaf8e846a46a7e9918c6fc2cafd"
    contract = {path.name: path.read_text() for path in (repository / "proto/itembank/v1").iterdir()}
    assert len(contract) > 15
    assert {path.name: path.read_text() for path in (tmp_path / "itembank/v1").glob("*.proto")} == contract


def test_the_stubs_match_the_contract(tmp_path: Path) -> None:
    if importlib.util.find_spec("grpc_tools") is None or importlib.util.find_spec("mypy_protobuf") is None:
        pytest.skip("grpcio-tools and mypy-protobuf are not installed, so nothing can be generated")
    generated_by = f"GRPC_GENERATED_VERSION = '{_version('grpcio-tools')}'"
    if generated_by not in (package / "src/itembank/v1/run_service_pb2_grpc.py").read_text():
        pytest.skip("the grpcio-tools here are not those that pyproject.toml pins")
    runpy.run_path(str(package / "generate.py"))["generate"](tmp_path)
    made = {path.name: path.read_text() for path in (tmp_path / "itembank" / "v1").iterdir()}
    kept = {path.name: path.read_text() for path in (package / "src/itembank/v1").iterdir() if path.is_file()}
    assert sorted(made) == sorted(kept)
    assert [name for name in made if made[name] != kept[name]] == []


def test_types_and_style_are_checked() -> None:
    example = str(repository / "examples" / "python")
    settings = ["--config", "pyproject.toml"]
    for command in (
        ["mypy"],
        ["ruff", "check", *settings, ".", example],
        ["ruff", "format", *settings, "--check", ".", example],
    ):
        if importlib.util.find_spec(command[0]) is None:
            pytest.skip(f"{command[0]} is not installed")
        done = subprocess.run([sys.executable, "-m", *command], cwd=package, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def _version(distribution: str) -> str:
    from importlib.metadata import version

    return version(distribution)
