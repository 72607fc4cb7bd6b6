"""Answers changed on their way from the sandbox, or given instead of its own, for the tests of all platforms."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from cg_pipeline.platforms.http import Answer, Http, Request
from cg_pipeline_tests.contract.readings import Site

Edit = Callable[[Request, Answer], Answer]


def edited(site: Site, edit: Edit) -> Site:
    """The same site behind a network that changes its answers."""
    http = Http()
    site.transport = lambda request, headers: edit(request, http(request, headers))
    return site


def overheard(site: Site) -> list[Request]:
    """What the site asks from now on."""
    asked: list[Request] = []

    def note(request: Request, answer: Answer) -> Answer:
        asked.append(request)
        return answer

    edited(site, note)
    return asked


def first(site: Site, *answers: Answer) -> Site:
    """The same site behind a network that gives these answers before those of the sandbox."""
    http, left = Http(), list(answers)

    def carry(request: Request, headers: Mapping[str, str]) -> Answer:
        return left.pop(0) if left else http(request, headers)

    site.transport = carry
    return site


def in_json(address: str, change: Callable[[Any], None]) -> Edit:
    """The edit that changes what is said by the addresses that end so."""

    def edit(request: Request, answer: Answer) -> Answer:
        if not request.url.endswith(address):
            return answer
        body = answer.json()
        change(body)
        return replace(answer, text=json.dumps(body))

    return edit


def places(value: Any, path: str) -> Iterator[tuple[Any, str]]:
    """The objects that have what a path such as `data.*.text` names, each with the last name; `*` is every item."""
    name, _, rest = path.partition(".")
    if name == "*" and isinstance(value, list):
        for each in value:
            yield from places(each, rest)
    elif isinstance(value, dict) and name in value:
        yield from places(value[name], rest) if rest else [(value, name)]


def fields(value: Any) -> set[str]:
    """The paths of all fields that an object has, at any depth."""
    if isinstance(value, list):
        return {f"*.{path}" for each in value for path in fields(each)}
    if not isinstance(value, dict):
        return set()
    return value.keys() | {f"{name}.{path}" for name, each in value.items() for path in fields(each)}


def told(value: Any, path: str) -> Any:
    """What stands at a path without `*`; None where there is nothing."""
    return next((holder[name] for holder, name in places(value, path)), None)


def drop(*paths: str) -> Callable[[Any], None]:
    """Leaves out what the paths name."""

    def change(body: Any) -> None:
        for holder, name in [place for path in paths for place in places(body, path)]:
            del holder[name]

    return change


def put(value: Any, *paths: str) -> Callable[[Any], None]:
    """Puts a value in the place of what the paths name."""

    def change(body: Any) -> None:
        for holder, name in [place for path in paths for place in places(body, path)]:
            holder[name] = value

    return change


def grow(value: Any) -> None:
    """Adds a field that nobody knows to every object, at any depth."""
    for each in list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ():
        grow(each)
    if isinstance(value, dict):
        value["new_field"] = {"a": 1}
