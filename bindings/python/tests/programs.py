"""Programs that tests run in interpreters of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

#: Seconds that a program may take.
LIMIT = 60.0


def run(
    program: str, *arguments: str, environment: dict[str, str] | None = None, limit: float = LIMIT
) -> subprocess.CompletedProcess[str]:
    """Runs a program, which may import what lies beside this file, and waits until it has ended."""
    here = Path(__file__).resolve().parent
    paths = [str(here), str(Path(next(iter(__import__("raddle").__path__))).parent)]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONFAULTHANDLER": "1", **(environment or {})}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        env=variables, capture_output=True, text=True, timeout=limit,
    )  # fmt: skip


def scaled(count: int) -> int:
    """So many rounds, or as many times more as the variable ``RADDLE_ROUNDS`` says."""
    return count * int(os.environ.get("RADDLE_ROUNDS", "1"))
