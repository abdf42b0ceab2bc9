"""One request on its way to an answer: what the endpoints and the faults both work on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import orjson

from ._messages import error_body
from ._replies import reply
from ._validation import Problem, problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from ._runs import Group, Run
    from ._service import Service

TRUE = frozenset({"true", "1", "yes", "on"})


class RefusedError(Exception):
    """The service's refusal, with the answer that says so."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


class Exchange:
    """A request, the service, and how far a fault bends the view of it."""

    def __init__(self, service: Service, request: Request, *, endpoint: str) -> None:
        self.service = service
        self.request = request
        self.endpoint = endpoint
        self.as_of: float | None = None  # runs created later are not shown
        self.keep: float | None = None  # the part of a listing that is shown

    def error(
        self, status: int, message: str, *, headers: Mapping[str, str] | None = None, detail: Any = None
    ) -> Response:
        """Return an answer that is an error."""
        body = error_body(message, ref_id=self.service.next_id("ref_"), detail=detail)
        return reply(body, status=status, headers=headers)

    def refuse(self, status: int, message: str, *, headers: Mapping[str, str] | None = None) -> NoReturn:
        """Answer with an error."""
        raise RefusedError(self.error(status, message, headers=headers))

    def refuse_problems(self, problems: list[Problem]) -> None:
        """Answer 422 if there are problems."""
        if problems:
            raise RefusedError(reply({"detail": problems[:50]}, status=422))

    @property
    def prefix(self) -> str:
        """The version the path begins with."""
        return self.request.url.path.split("/", 2)[1]

    async def body(self) -> Any:
        """Return the request's JSON body."""
        raw = await self.request.body()
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            self.refuse_problems([problem(f"JSON decode error: {error}", kind="json_invalid")])

    def flag(self, name: str) -> bool:
        """Return a yes-or-no query parameter."""
        return self.request.query_params.get(name, "").lower() in TRUE

    def seconds(self, name: str) -> float | None:
        """Return a query parameter that is a number of seconds."""
        text = self.request.query_params.get(name)
        if text is None:
            return None
        try:
            return float(text)
        except ValueError:
            found = problem("Input should be a valid number", kind="float_parsing")
            self.refuse_problems([{**found, "loc": ["query", name]}])
            return None

    def group(self) -> Group:
        """Return the group the path names, or answer 404."""
        group_id = self.request.path_params["group_id"]
        group = self.service.groups.get(group_id)
        if group is None or (group.seed_dialect and self.prefix == "v1"):
            self.refuse(404, f"Task group {group_id} not found")
        return group

    def run(self) -> Run:
        """Return the run the path names, or answer 404."""
        run_id = self.request.path_params["run_id"]
        run = self.service.runs_by_id.get(run_id)
        group_id = self.request.path_params.get("group_id")
        if run is None or (group_id and (run.group is None or run.group.group_id != group_id)):
            self.refuse(404, f"Task run {run_id} not found")
        return run

    def visible_runs(self, group: Group) -> list[Run]:
        """Return the group's runs as far as this exchange shows them."""
        runs = group.runs
        if self.as_of is not None:
            as_of = self.as_of
            runs = [run for run in runs if run.created_at <= as_of]
        if self.keep is not None:
            runs = runs[: int(len(runs) * self.keep)]
        return runs
