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
# https://docs.parallel.ai/integrations/mcp: of one run.
MAX_MCP_SERVERS: Final = 10

# The guides (https://docs.parallel.ai/task-api/guides/specify-a-task), of an output schema: objects and arrays inside
# one another, the root included; properties and enum values over the whole schema.
MAX_NESTING: Final = 5
MAX_PROPERTIES: Final = 100
MAX_ENUM_VALUES: Final = 500
# An enum of more than LARGE_ENUM_VALUES values has a limit on their characters, too.
LARGE_ENUM_VALUES: Final = 250
MAX_LARGE_ENUM_CHARACTERS: Final = 7_500
# Keywords that the service refuses in an output schema.
FORBIDDEN_KEYWORDS: Final = frozenset(
    {
        "contains", "format", "maxContains", "maxItems", "maxLength", "maxProperties", "maximum", "minContains",
        "minItems", "minLength", "minProperties", "minimum", "multipleOf", "pattern", "patternProperties",
        "propertyNames", "unevaluatedItems", "unevaluatedProperties", "uniqueItems",
    }
)  # fmt: skip
# Names of fields that the service warns about, because the basis of every answer has them already.
BASIS_NAMES: Final = frozenset(
    {"citations", "confidence", "evidence", "reasoning", "source", "source_urls", "sources"}
)  # fmt: skip
