"""The command line: a skin over the functions of this package, for shells, pipes and scripts.

It owns what is typed and what is printed: options, formats by extension, questions, exit codes. What an enrichment does
it refuses to know. Data goes to the standard output and talk to the error stream. Nothing heavy is imported for a
command that is not asked for.
"""

from parallel_frames._cli._app import app, run

__all__ = ["app", "run"]
