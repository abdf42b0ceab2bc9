"""Mistakes that type checkers must find: each marked line is one, and an unused mark is an error too."""

from __future__ import annotations

import pandas as pd

import parallel_frames as pf

df = pd.DataFrame({"company": ["Acme"]})

pf.enrich(df, "x", procesor="core")  # type: ignore[call-arg]
pf.enrich(df, "x", on_error="rais")  # type: ignore[arg-type]
pf.enrich(df, "x", dedupe="yes")  # type: ignore[arg-type]
pf.enrich(df, "x", "columns")  # type: ignore[call-arg]
pf.enrich(df, "x", basis="all")  # type: ignore[arg-type]
pf.enrich(df, "x", where="mising")  # type: ignore[arg-type]
pf.submit(df, "x", on_row=3)  # type: ignore[arg-type]
pf.plan(df, "x", limit="5")  # type: ignore[arg-type]
pf.enrich("df", "x")  # type: ignore[type-var]
pf.collect(df, "tgrp_1", "x", timeout=3)  # type: ignore[call-arg]
pf.Client("key")  # type: ignore[call-arg]
pf.enrich(df, df)  # type: ignore[arg-type]
pf.enrich(df, 3)  # type: ignore[arg-type]
pf.enrich(df, "x", timeout=[1])  # type: ignore[arg-type]
pf.preview(df, "x", n="3")  # type: ignore[arg-type]
