"""Adds the contract to builds: its .proto files, next to the code that is generated from them. With the folder of installed
packages as root, generators find `itembank/v1/item.proto`.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ContractHook(BuildHookInterface):  # type: ignore[type-arg]
    """Runs for wheels and source distributions."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Maps the files of the repository to the build. A source distribution has them in place already, and an editable
        installation leaves everything where it is.
        """
        files = Path(self.root, "../../proto/itembank/v1").resolve()
        if files.is_dir() and version != "editable":
            target = "itembank/v1" if self.target_name == "wheel" else "src/itembank/v1"
            build_data["force_include"][str(files)] = target
