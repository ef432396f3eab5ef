"""Lists: simple filters, `search`, the JSON filter, `sort` and pages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from tests.cvat_stand_in.http import Call, Refusal, detail

View = Mapping[str, Any]
Getter = Callable[[View], Any]

MAX_PAGE = 500


def person(field: str) -> Getter:
    return lambda view: (view[field] or {}).get("username")


def plain(*fields: str) -> dict[str, Getter]:
    """Filters that compare a field of the JSON with the text of the query."""
    return {field: lambda view, field=field: view.get(field) for field in fields}


def page(
    call: Call, views: Iterable[View], filters: Mapping[str, Getter], search: Iterable[str] = ()
) -> dict[str, Any]:
    """One page of a list after its filters, newest first unless `sort` says otherwise."""
    rows = list(views)
    for name, getter in filters.items():
        if call.query.get(name):
            rows = [row for row in rows if _same(getter(row), call.query[name])]
    if words := call.query.get("search", "").lower():
        rows = [row for row in rows if any(words in str(row.get(field) or "").lower() for field in search)]
    if text := call.query.get("filter"):
        rule = _rule(text, filters)
        rows = [row for row in rows if rule(row)]
    return _cut(call, _sorted(rows, call.query.get("sort", ""), filters))


def _sorted(rows: list[View], order: str, filters: Mapping[str, Getter]) -> list[View]:
    """Sort by the fields named; a field that is not known is ignored without a word, as in CVAT."""
    for name in reversed([part.strip() for part in order.split(",") if part.strip()]):
        getter = filters.get(name.removeprefix("-"))
        if getter:
            rows = sorted(rows, key=lambda row: (getter(row) is not None, getter(row)), reverse=name.startswith("-"))
    return rows


def _cut(call: Call, rows: list[View]) -> dict[str, Any]:
    size = _number(call.query.get("page_size")) or 10
    size = min(size, MAX_PAGE)
    number = _number(call.query.get("page", "1"))
    pages = max(1, -(-len(rows) // size))
    if number is None or not 1 <= number <= pages:
        raise detail(404, "Invalid page.")
    return {
        "count": len(rows),
        "next": _link(call, number + 1) if number < pages else None,
        "previous": _link(call, number - 1) if number > 1 else None,
        "results": rows[(number - 1) * size : number * size],
    }


def _link(call: Call, number: int) -> str:
    query = {name: value for name, value in call.query.items() if name != "page"}
    if number > 1:
        query["page"] = str(number)
    tail = "?" + urlencode(sorted(query.items())) if query else ""
    return f"{call.base}{call.path}{tail}"


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def _same(value: Any, text: str) -> bool:
    if isinstance(value, bool):
        return value == (text.lower() in ("true", "1"))
    return value is not None and str(value) == text


def _rule(text: str, filters: Mapping[str, Getter]) -> Callable[[View], bool]:
    try:
        tree = json.loads(text)
    except ValueError as error:
        raise Refusal(400, [f"filter: can't parse filter expression: {error}"]) from None
    return _node(tree, filters)


def _node(tree: Any, filters: Mapping[str, Getter]) -> Callable[[View], bool]:
    if not isinstance(tree, dict) or len(tree) != 1:
        raise Refusal(400, ["filter: filter expression should be a JSON object with one operation"])
    [(name, terms)] = tree.items()
    if name in ("and", "or"):
        rules = [_node(term, filters) for term in terms]
        together = all if name == "and" else any
        return lambda row: together(rule(row) for rule in rules)
    if name == "!":
        inner = _node(terms[0] if isinstance(terms, list) else terms, filters)
        return lambda row: not inner(row)
    return _compare(name, terms, filters)


OPERATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}


def _compare(name: str, terms: Any, filters: Mapping[str, Getter]) -> Callable[[View], bool]:
    if name == "in" and isinstance(terms[0], str):
        part, text_of = terms[0].lower(), _getter(terms[1], filters)
        return lambda row: part in str(text_of(row) or "").lower()
    if name == "in":
        several, value_of = terms[1], _getter(terms[0], filters)
        return lambda row: value_of(row) in several
    if name not in OPERATIONS:
        raise Refusal(400, [f"filter: {name} operation is not supported"])
    getter, wanted, operation = _getter(terms[0], filters), terms[1], OPERATIONS[name]
    return lambda row: getter(row) is not None and operation(getter(row), wanted)


def _getter(term: Any, filters: Mapping[str, Getter]) -> Getter:
    name = term.get("var") if isinstance(term, dict) else None
    if name not in filters:
        raise Refusal(400, [f"filter: term '{name}' is not supported"])
    return filters[name]
