"""The command line's entry: `parallel-frames`, and `python -m parallel_frames`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from parallel_frames._cli import run

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
