"""The header of a job's folder, read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parallel_frames._checkpoint._places import StoragePath


def read_header(folder: StoragePath) -> dict[str, Any] | None:
    """Return a job folder's header; None where there is none that can be read."""
    try:
        header = json.loads((folder / "header.json").read().decode())
    except (OSError, ValueError):
        return None
    return header if isinstance(header, dict) and isinstance(header.get("job"), dict) else None
