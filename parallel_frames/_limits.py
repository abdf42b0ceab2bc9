"""The limits of the service, each once, with the source of the fact.

Constants only. What to do at a limit is decided where it is met. The simulator has its own, on purpose.
"""

from typing import Final

# https://docs.parallel.ai/task-api/group-api: "Up to 1,000 runs per POST request".
MAX_RUNS_PER_BATCH: Final = 1_000
# Ours, the service documents none: gateways before it may take 1 MB, which is what nginx takes by default.
MAX_BYTES_PER_BATCH: Final = 900_000
# https://docs.parallel.ai/resources/rate-limits: per account, each run counts, over all groups; GETs do not count.
MAX_RUNS_PER_MINUTE: Final = 2_000
# Ours, the service documents none: a list of a group's runs has no pages, and is read whole whenever we look at it.
MAX_RUNS_PER_GROUP: Final = 50_000

# OpenAPI 0.1.2, TaskRunInput.metadata: "a maximum length of 16 and 512 characters".
MAX_METADATA_NAME: Final = 16
MAX_METADATA_VALUE: Final = 512

# https://docs.parallel.ai/resources/warnings-and-errors: the task spec alone, and with the input of one run.
MAX_SPEC_CHARACTERS: Final = 15_000
MAX_RUN_CHARACTERS: Final = 25_000
# OpenAPI 0.1.2, SourcePolicy: include_domains and exclude_domains together.
MAX_SOURCE_DOMAINS: Final = 200
