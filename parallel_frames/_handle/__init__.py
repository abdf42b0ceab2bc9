"""`Enrichment`, the handle of one enrichment, and the last one of this process.

`enrich`, `submit`, `collect` and `last()` share it. What a person may ask of an enrichment is here; how it runs is
`_course`.
"""

from parallel_frames._handle._enrichment import Enrichment, last

__all__ = ["Enrichment", "last"]
