"""A cell as a person reads it: on one line for text, and as what a template draws: texts, lists and named fields.

It knows values of frames (of numpy, pandas and Arrow), and nothing of the tables that they stand in.
"""

from __future__ import annotations

import datetime as dt
import json
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import numpy as np
import pandas as pd

from parallel_frames._format import format_label, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

MISSING: Final = "–"
MAX_CELL: Final = 160
MAX_LABEL: Final = 80
MAX_LINK: Final = 60
# A list or an object of so many texts and so many characters is shown as it is, a larger one once it is opened.
MAX_PARTS: Final = 8
MAX_DEPTH: Final = 2
MAX_LINE: Final = 40


def plain(value: Any) -> Any:
    """Return a cell as texts, lists, dicts, and None for what is missing."""
    if isinstance(value, str):
        return _parsed(value)
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple) or (hasattr(value, "ndim") and value.ndim):
        return [plain(part) for part in value]
    if value is None or pd.isna(value):
        return None
    if isinstance(value, dt.datetime) and value.tzinfo is None and value.time() == dt.time():
        return value.date().isoformat()  # a day, which pandas holds as its midnight
    # 15 digits are those that a float is sure to hold: 11111111.019, not 11111111.019000001.
    return f"{value:.15g}" if isinstance(value, float | np.floating) else str(value)


def _parsed(text: str) -> Any:
    """Return the list or object that a text is the JSON of, as CSV files and Arrow hold it; else the text."""
    if text[:1] + text[-1:] not in ("{}", "[]"):
        return text
    try:
        return plain(json.loads(text))
    except (ValueError, RecursionError):
        return text


def cell_text(value: Any) -> str:
    """Return a cell as one line: ``street: Main St 1, city: Oslo``; lists and objects within others in brackets."""
    return _line(plain(value))


def _line(node: Any, *, is_inner: bool = False) -> str:
    if isinstance(node, dict):
        text = ", ".join(f"{name}: {_line(part, is_inner=True)}" for name, part in node.items())
        return f"{{{text}}}" if is_inner or not node else text
    if isinstance(node, list):
        text = ", ".join(_line(part, is_inner=True) for part in node)
        return f"[{text}]" if is_inner or not node else text
    return MISSING if node is None else node


def cell_values(value: Any) -> dict[str, Any]:
    """Return a cell as a template takes it.

    ``text`` is the whole of it on one line, cut where it is long. ``node`` is what to draw where it is a list or an
    object, or where it was cut; it ``is_open`` if it is small enough to be seen without a click.
    """
    node = plain(value)
    line = _line(node)
    is_nested = isinstance(node, dict | list) and len(node) > 0 and on_one_line(node) is None
    text = shorten(line, MAX_CELL) if len(line) > MAX_CELL else line
    is_link = web_address(node) is not None
    is_open = is_nested and _parts(node) <= MAX_PARTS and _depth(node) <= MAX_DEPTH and len(line) <= MAX_CELL
    return {"text": text, "node": node if is_nested or text != line or is_link else None, "is_open": is_open or is_link}


def on_one_line(node: Any) -> str | None:
    """Return a short list of short texts as one line, whose commas part them; None for anything else."""
    if not isinstance(node, list) or any(isinstance(part, dict | list) or "," in (part or "") for part in node):
        return None
    line = _line(node)
    return line if len(line) <= MAX_LINE else None


def _parts(node: Any) -> int:
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else None
    return 1 if children is None else sum(map(_parts, children))


def _depth(node: Any) -> int:
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else None
    return 0 if children is None else 1 + max(map(_depth, children), default=0)


def common_fields(nodes: list[Any]) -> list[str]:
    """Return the fields of objects that can be the rows of one small table; none where they cannot."""
    if not nodes or not all(isinstance(node, dict) for node in nodes):
        return []
    names = list(dict.fromkeys(name for node in nodes for name in node))
    is_flat = all(not isinstance(part, dict | list) for node in nodes for part in node.values())
    return names if is_flat and len(names) <= 6 else []


def web_address(value: object) -> str | None:
    """Return an address that may become a link: http or https with a host, and nothing that a browser would run."""
    if not isinstance(value, str):
        return None
    try:
        parts = urlsplit(value.strip())
    except ValueError:
        return None
    return value.strip() if parts.scheme in ("http", "https") and parts.netloc else None


def short_address(address: str) -> str:
    """Return an address as the text of its link: without its scheme, and cut in the middle of what is long."""
    text = address.strip().removeprefix("https://").removeprefix("http://")
    return text if len(text) <= MAX_LINK else f"{text[: MAX_LINK - 16]}…{text[-15:]}"


def cut_to_difference(texts: Sequence[str], width: int) -> list[str]:
    """Return texts that are to be compared within a width; long ones begin shortly before they differ."""
    start = 0
    if max(map(len, texts)) > width and len(set(texts)) > 1:
        letters = enumerate(zip(*texts, strict=False))
        same = next((at for at, here in letters if len(set(here)) > 1), min(map(len, texts)))
        start = max(0, same - width // 3)
    cut = [f"…{text[start:]}" if start else text for text in texts]
    return [text if len(text) <= width else f"{text[: width - 1]}…" for text in cut]


def text_width(text: str) -> int:
    """Return how many columns of a terminal a text takes: Chinese, Japanese and Korean letters take two."""
    return sum(
        2 if unicodedata.east_asian_width(letter) in "WF" else not unicodedata.combining(letter) for letter in text
    )


def label_text(label: Any) -> str:
    """Return the label of a row, cut where it is long."""
    parts = label if isinstance(label, tuple) else (label,)
    return shorten(" / ".join(filter(None, map(cell_text, parts))), MAX_LABEL)


def index_name(index: pd.Index[Any]) -> str:
    """Return what the labels of an index are of: its name, or those of its levels, or else "index"."""
    if index.nlevels == 1:
        return "index" if index.name is None else format_label(index.name)
    return " / ".join(f"level_{at}" if name is None else format_label(name) for at, name in enumerate(index.names))
