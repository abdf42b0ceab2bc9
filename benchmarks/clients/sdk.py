"""The vendor's SDK, used well by hand: batches of 1,000 sent side by side, then one list of runs with their outputs.

It stops at a dict of Python objects for each row: no columns, no types, no memory of what was paid.
"""

from __future__ import annotations

import asyncio
import sys

from common import OUTPUT_SCHEMA, measure, records
from parallel import AsyncParallel

BATCH = 1000
AT_ONCE = 4
SPEC = {"output_schema": {"type": "json", "json_schema": OUTPUT_SCHEMA}}


async def enrich(rows: list[dict[str, object]]) -> int:
    """Send the rows, wait, and read their answers."""
    answers: list[dict[str, object] | None] = [None] * len(rows)
    async with AsyncParallel(api_key="benchmark-key", base_url=sys.argv[1], max_retries=0) as client:
        group = await client.task_group.create()
        group_id = group.task_group_id
        turns = asyncio.Semaphore(AT_ONCE)

        async def send(start: int) -> None:
            inputs = [
                {"input": row, "processor": "base", "metadata": {"row": start + n}}
                for n, row in enumerate(rows[start : start + BATCH])
            ]
            async with turns:
                await client.task_group.add_runs(group_id, inputs=inputs, default_task_spec=SPEC, refresh_status=False)

        await asyncio.gather(*(send(start) for start in range(0, len(rows), BATCH)))
        while (await client.task_group.retrieve(group_id)).status.is_active:
            await asyncio.sleep(0.05)
        async for event in await client.task_group.get_runs(group_id, include_output=True):
            if event.type == "task_run.state" and event.output is not None:
                answers[int(event.run.metadata["row"])] = event.output.content
    return sum(answer is not None for answer in answers)


if __name__ == "__main__":
    measure(lambda rows: asyncio.run(enrich(rows)), records)
