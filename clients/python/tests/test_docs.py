"""The examples of the documents, run as written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from service import Service, repository


def run(command: list[str], service: Service, cwd: Path) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "EXAMPLE_ADDRESS": service.address},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_quickstart(service: Service, tmp_path: Path) -> None:
    guide = (repository / "docs" / "clients.md").read_text()
    match = re.search(
        r"^## Python\n.*?^### Quickstart\n+```python\n(.*?)```", guide, re.DOTALL | re.MULTILINE
    )
    assert match
    code = match.group(1)
    assert "127.0.0.1:50051" in code
    # All but the address, which is that of the service of this test, and the name, which others may have taken.
    code = code.replace("127.0.0.1:50051", service.address).replace('"capitals"', '"capitals-of-python"')
    (tmp_path / "quickstart.py").write_text(code)
    output = run([sys.executable, "quickstart.py"], service, tmp_path)
    output = re.sub(r"p50.*", "p50 …", re.sub(r"runs\w{26}", "runs…", re.sub(r"data\w{26}", "data…", output)))
    assert output.splitlines() == [
        "version 1: 3 created, 0 unchanged",
        "COMPLETED  capitals-of-python on data… version 1  (runs…)",
        "cells      3 = 2 succeeded + 1 failed + 0 missing",
        "latency    p50 …",
        "correct    0.5  n 2 of 2",
        "KeyError   1 ×  'Portugal'",
        'fr answered "Paris"',
        'it answered "Milan"',
        "pt failed: 'Portugal'",
    ]


def test_the_example(service: Service) -> None:
    output = run([sys.executable, "examples/python/main.py"], service, repository)
    for line in (
        r"^version 1, 300 items, digest [0-9a-f]{12}…$",
        r"^cells +600 = \d+ succeeded \+ \d+ failed \+ 0 missing$",
        r"^plan: 12 created, 9 updated, 6 deleted, 285 unchanged$",
        r"^version 2: of 306 rows, 18 were sent with their bodies$",
        r"^once more: nothing to do, no version made$",
        r"^careful is BETTER than hasty in \"correct\": 0\.\d{3} \(95 %: ",
        r"^version 1  300 items  \+300 ~0 -0  edition 1$",
        r"^version 2  306 items  \+12 ~9 -6  edition 2$",
    ):
        assert re.search(line, output, re.MULTILINE), f"{line} is not in\n{output}"
