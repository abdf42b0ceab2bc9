"""Rows become inputs: which cells a row sends, the JSON that travels, the form that identifies it, its key.

Pure functions over columns. `select_inputs` decides once, from labels alone; `render_inputs` turns cells into bytes
a column and a slice of rows at a time; `make_keys` and `distinct` turn those bytes into runs. It refuses to know
what a run costs, what a service answers, and where any of this is stored. Rows are known by position, never by label.

Two texts per row, because they answer two questions. *What is sent* keeps what the user sees (a zone, the digits of
a Decimal). *What identifies it* forgets what reading the same data another way changes (the order of columns, CSV or
Parquet, the unit of a timestamp, an integer column turned float by a missing cell).
"""

from parallel_frames._inputs._infer import infer_input_schema
from parallel_frames._inputs._keys import distinct, hash_identity, make_key, make_keys
from parallel_frames._inputs._render import canonical_of_json, canonical_of_sent, render_inputs, render_slices
from parallel_frames._inputs._select import NO_COLUMN, Selection, named_columns, select_inputs

__all__ = [
    "NO_COLUMN",
    "Selection",
    "canonical_of_json",
    "canonical_of_sent",
    "distinct",
    "hash_identity",
    "infer_input_schema",
    "make_key",
    "make_keys",
    "named_columns",
    "render_inputs",
    "render_slices",
    "select_inputs",
]
