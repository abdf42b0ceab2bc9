"""`lint`: everything there is to say of a schema before a run is paid for, errors and warnings alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from parallel_frames._model import Finding
from parallel_frames._prices import price_of
from parallel_frames._schema import find_problems, parse_schema
from parallel_frames.errors import InputError, SchemaError

if TYPE_CHECKING:
    from parallel_frames._model import Schema
    from parallel_frames._prices import Price

GIST: Final = {"error": "the service would refuse it", "warning": "worth a look"}


class Findings(tuple[Finding, ...]):
    """What `lint` found: a tuple of findings, errors first, that a notebook shows as a table.

    Each has ``severity`` (``"error"`` or ``"warning"``), ``rule``, ``path`` and ``message``.
    """

    __slots__ = ()

    @property
    def errors(self) -> Findings:
        """Those that the service would refuse the schema for."""
        return Findings(finding for finding in self if finding.severity == "error")

    def __repr__(self) -> str:
        if not self:
            return "no findings"
        return "\n".join(f"{finding.severity:<7}  {finding}" for finding in self)

    def _repr_html_(self) -> str:
        from parallel_frames._html import render

        return render("findings.html", findings=self)


def lint(schema: object, *, processor: str = "base", input_schema: object = None) -> Findings:
    """Say everything there is to say of a schema, without sending anything.

    Parameters
    ----------
    schema : as for `enrich`
        What is to be found out.
    processor : str, default "base"
        The processor it is meant for: each is recommended for so many fields.
    input_schema : as schema, optional
        What describes the input.

    Returns
    -------
    Findings
        Errors first: what the service would refuse. Then warnings. Empty when there is nothing to say.

    Raises
    ------
    SchemaError
        It is no schema at all.

    Examples
    --------
    >>> import parallel_frames as pf
    >>> for finding in pf.lint({"ceo": "full name of the CEO", "sources": list[str]}):
    ...     print(finding.severity, finding.rule, finding.path)
    warning basis_name properties.sources
    >>> pf.lint({f"field_{n}": int for n in range(101)}).errors[0].rule
    'properties'
    """
    if not isinstance(processor, str) or not processor.strip():
        raise InputError(f"processor={processor!r} is not a name such as 'base' or 'core'.")
    price = price_of(processor)
    found = list(find_problems(schema))
    if not any(finding.severity == "error" for finding in found):
        count = field_count_finding(parse_schema(schema), price)
        found += [count] if count is not None else []
    if price.per_run is None:
        message = f"processor {processor!r} is not in the price table of {price.as_of}: its price is not known"
        found.append(Finding("warning", "price", "processor", message))
    found += _of_the_input(input_schema)
    return Findings(sorted(found, key=lambda finding: finding.severity != "error"))


def _of_the_input(input_schema: object) -> list[Finding]:
    """Return what would keep the input's schema from being sent; the limits on what is asked are not its."""
    if input_schema is None or input_schema == "infer":
        return []
    try:
        if parse_schema(input_schema).form == "auto":
            return [Finding("error", "input_schema", "input_schema", "'auto' describes nothing")]
    except SchemaError as error:
        return [Finding("error", "input_schema", "input_schema", str(error))]
    return []


def field_count_finding(schema: Schema, price: Price) -> Finding | None:
    """Return a warning where a schema has more fields than its processor is recommended for."""
    fields = len(schema.columns)
    if schema.form != "json" or price.fields is None or fields <= price.fields:
        return None
    message = (
        f"{fields} fields, and {price.processor!r} is recommended for about {price.fields}: expect weaker answers, or "
        "choose a larger processor"
    )
    return Finding("warning", "field_count", "root", message)
