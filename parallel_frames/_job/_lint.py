"""`lint`: everything there is to say of a schema before a run is paid for, errors and warnings alike."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from parallel_frames._format import format_count
from parallel_frames._job._options import check_processor
from parallel_frames._job._plan import make_options
from parallel_frames._model import Finding
from parallel_frames._prices import price_of
from parallel_frames._schema import find_problems, length_finding, parse_schema
from parallel_frames.errors import InputError, SchemaError, user_facing

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from parallel_frames._inputs import Selection
    from parallel_frames._model import Json, Options, Schema
    from parallel_frames._prices import Price


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
        from parallel_frames._ui._html import render

        return render("findings.html", findings=self)


@user_facing
def lint(
    schema: object,
    *,
    processor: str = "base",
    input_schema: object = None,
    options: Mapping[str, Json] | None = None,
) -> Findings:
    """Check a schema and the options, and return all errors and warnings. It sends nothing.

    Parameters
    ----------
    schema : as for `enrich`
        What to find out.
    processor : str, default "base"
        The processor to check for; each is recommended for a number of fields.
    input_schema : as schema, optional
        Describes the input. ``"infer"`` needs a frame, so there is nothing to check here.
    options : mapping, optional
        Further settings of every run, as for `enrich`.

    Returns
    -------
    Findings
        First errors, which `enrich` would refuse (also if this is not a schema at all), then warnings. Empty if there
        are none.

    Raises
    ------
    InputError
        The processor is no name.

    Examples
    --------
    >>> import parallel_frames as pf
    >>> for finding in pf.lint({"ceo": "full name of the CEO", "sources": list[str]}):
    ...     print(finding.severity, finding.rule, finding.path)
    warning basis_name properties.sources
    warning description properties.sources
    >>> pf.lint({f"field_{n}": int for n in range(101)}).errors[0].rule
    'properties'
    """
    check_processor(processor)
    price = price_of(processor)
    asked = _problems(schema)
    given = _of_the_input(input_schema)
    found = [*asked, *given]
    if not _errors(asked):
        parsed = parse_schema(schema)
        found += [_length_together(parsed, input_schema)] if not _errors(given) else []
        found.append(field_count_finding(parsed, price))
    found += _of_the_options(options)
    if price.per_run is None:
        message = f"processor {processor!r} is not in the price table of {price.as_of}: its price is not known"
        found.append(Finding("warning", "price", "processor", message))
    findings = [finding for finding in found if finding is not None]
    return Findings(sorted(findings, key=lambda finding: finding.severity != "error"))


def _problems(schema: object) -> list[Finding | None]:
    """Return what there is to say of a schema; what is none has an error that says so."""
    try:
        return list(find_problems(schema))
    except SchemaError as error:
        return [Finding("error", "schema", "root", " ".join(str(error).split()))]


def _errors(found: list[Finding | None]) -> bool:
    return any(finding is not None and finding.severity == "error" for finding in found)


def is_described(input_schema: object) -> bool:
    """Return whether a call says what a row's input is, rather than nothing, or to read it off the rows."""
    return input_schema is not None and not (isinstance(input_schema, str) and input_schema == "infer")


def _of_the_input(input_schema: object) -> list[Finding | None]:
    """Return what would keep the input's schema from being sent; what makes better answers is no concern of it."""
    if not is_described(input_schema):
        return []
    errors = [finding for finding in _problems(input_schema) if finding is not None and finding.severity == "error"]
    if not errors and parse_schema(input_schema).form == "auto":
        errors = [Finding("error", "input_schema", "root", "'auto' describes nothing; describe the input of a row")]
    return [replace(finding, path=f"input_schema.{finding.path}".removesuffix(".root")) for finding in errors]


def _of_the_options(options: Mapping[str, Json] | None) -> list[Finding | None]:
    """Return what would keep options from being sent, and what the service would ignore of them."""
    try:
        return [options_finding(make_options(options))]
    except InputError as error:
        return [Finding("error", "options", "options", str(error))]


def options_finding(options: Options) -> Finding | None:
    """Return a warning where the service ignores a part of the options."""
    policy = options.source_policy or {}
    if not (policy.get("include_domains") and policy.get("exclude_domains")):
        return None
    message = (
        "where include_domains says which sources count, the service ignores exclude_domains; leave one of them out"
    )
    return Finding("warning", "source_policy", "options.source_policy.exclude_domains", message)


def _length_together(schema: Schema, input_schema: object) -> Finding | None:
    """Return an error where a schema and the input's, each short enough, are too long together."""
    if not is_described(input_schema):
        return None
    spec = {"output_schema": schema.wire, "input_schema": parse_schema(input_schema).wire}
    return length_finding(spec, whose="schema and input_schema together make")


def field_count_finding(schema: Schema, price: Price) -> Finding | None:
    """Return a warning where a schema asks for more fields, nested ones counted, than its processor is meant for."""
    fields = sum(_fields_of(column.node) for column in schema.columns)
    if schema.form != "json" or price.fields is None or fields <= price.fields:
        return None
    message = (
        f"{fields} fields, and {price.processor!r} is recommended for about {price.fields}: expect weaker answers, or "
        "choose a larger processor"
    )
    return Finding("warning", "field_count", "root", message)


def input_finding(described: Schema, selection: Selection) -> Finding | None:
    """Return a warning where what describes the input is not what a row sends."""
    if (described.form == "json") != (selection.form == "object"):
        form = {"object": "an object", "cell": "the bare cell of a column", "template": "a text"}[selection.form]
        message = f"it describes {'an object' if described.form == 'json' else 'a text'}, and a row sends {form}"
        return Finding("warning", "input_schema", "input_schema", message)
    names = {column.name for column in described.columns}
    if described.form != "json" or names == set(selection.names):
        return None
    strange, lacking = sorted(names.difference(selection.names)), sorted(set(selection.names) - names)
    differences = [
        f"{what} {', '.join(map(repr, which))}"
        for what, which in (("it describes", strange), ("it does not describe", lacking))
        if which
    ]
    message = f"{' and '.join(differences)}, and a row sends {', '.join(map(repr, selection.names))}"
    return Finding("warning", "input_schema", "input_schema", message)


def numbering_finding(labels: Sequence[Hashable]) -> Finding | None:
    """Return what there is to say where the first columns number the rows, and are not sent."""
    if not labels:
        return None
    called = ", ".join(repr(label) if label else "without a name" for label in labels)
    message = f"the first column ({called}) numbers the rows: it is kept, and not sent unless `inputs` names it"
    return Finding("warning", "inputs", "inputs", message)


def gaps_finding(gaps: Mapping[Hashable, int]) -> Finding | None:
    """Return a warning where rows lack a column that is an earlier answer, or that a template has a place for."""
    if not gaps:
        return None
    rows = " and ".join(f"{format_count(number, 'row')} without {label!r}" for label, number in gaps.items())
    labels, is_one = [*gaps], sum(gaps.values()) == 1
    having = f"df[{labels[0]!r}].notna()" if len(labels) == 1 else f"df[{labels!r}].notna().all(axis=1)"
    message = (
        f"{rows} {'is' if is_one else 'are'} sent all the same, and paid for; in Python `where=lambda df: {having}` "
        f"leaves {'it' if is_one else 'them'} out"
    )
    return Finding("warning", "inputs", "inputs", message)


def _fields_of(node: Mapping[str, Json]) -> int:
    """Return how many things a node asks for: an object as many as its properties, a list as many as an element."""
    if "anyOf" in node:
        return max(_fields_of(branch) for branch in node["anyOf"])
    if "properties" in node:
        return sum(_fields_of(child) for child in node["properties"].values())
    return _fields_of(node["items"]) if "items" in node else 1
