"""Builds libraddle with cargo when a wheel is built, or an editable install is made, and puts it beside the package.

The wheel needs no particular Python: its tag is py3-none-PLATFORM.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CargoHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the shared library to what is built."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        built = build(Path(self.root))
        if version == "editable":
            shutil.copyfile(built, Path(self.root, "src", "raddle", built.name))
        else:
            self.shipping = tempfile.TemporaryDirectory()
            shipped = Path(self.shipping.name, built.name)
            shutil.copyfile(built, shipped)
            strip(shipped)
            build_data["force_include"][str(shipped)] = f"raddle/{built.name}"
        build_data["pure_python"] = False
        build_data["tag"] = "py3-none-" + sysconfig.get_platform().replace("-", "_").replace(".", "_")


def build(root: Path) -> Path:
    """Runs cargo; where the library is."""
    # In a clone, or in what a source distribution was unpacked to.
    places = [place for place in (root / "rust", root.parent.parent) if (place / "crates" / "ffi").is_dir()]
    if not places:
        sys.exit(f"raddle: neither {root / 'rust'} nor {root.parent.parent} has the Rust crates")
    if shutil.which("cargo") is None:
        sys.exit("raddle: cargo is needed to build it: https://rustup.rs installs it")
    command = ["cargo", "build", "--release", "--locked", "--package", "raddle-ffi"]
    done = subprocess.run(
        [*command, "--message-format", "json-render-diagnostics"], cwd=places[0], stdout=subprocess.PIPE, check=True
    )
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and "cdylib" in message["target"]["kind"]:
            for name in map(Path, message["filenames"]):
                if name.suffix in (".so", ".dylib", ".dll"):
                    return name
    sys.exit("raddle: cargo has built no shared library")


def strip(library: Path) -> None:
    """Leaves the debugging information out, where the tool for that is there."""
    if sys.platform.startswith("linux") and shutil.which("strip"):
        subprocess.run(["strip", "--strip-debug", str(library)], check=False)
