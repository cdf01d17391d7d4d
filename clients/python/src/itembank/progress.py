"""Progress bars."""

from __future__ import annotations

import sys
from typing import Any

from tqdm.auto import tqdm

Bar = Any
"""A tqdm bar, of the kind that suits the terminal or notebook."""


def open_bar(progress: bool | None, what: str, unit: str, total: int | None) -> Bar | None:
    """Opens a progress bar in terminals and notebooks; with `progress` True also elsewhere, with False nowhere."""
    if progress is None:
        progress = sys.stderr.isatty() or _in_notebook()
    if not progress:
        return None
    return tqdm(total=total, desc=what, unit=unit, dynamic_ncols=True)


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"
