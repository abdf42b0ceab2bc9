"""`doctor`: what this client assumes about its service and its machine, checked with a few runs.

It goes through the same `Session`, rules and checkpoint files as an enrichment, so that what it finds is what an
enrichment would meet. It keeps nothing: no checkpoint knows of its runs, and an enrichment never adopts them.
"""

from parallel_frames._doctor._call import describe_cost, doctor
from parallel_frames._doctor._diagnosis import ASSUMPTIONS, Check, Diagnosis

__all__ = ["ASSUMPTIONS", "Check", "Diagnosis", "describe_cost", "doctor"]
