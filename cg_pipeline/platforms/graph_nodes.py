"""Many nodes of the Graph API in few requests: listings that bring metrics along, batches of 50, and less where less is
granted. What the nodes are and what their metrics mean is in the module of the platform.

Facts: developers.facebook.com/docs/graph-api/batch-requests and /docs/graph-api/guides/field-expansion.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from cg_pipeline.errors import AccessDenied, CgError, Gone, InvalidMetric, Refused, Unavailable
from cg_pipeline.platforms.contract import Reading
from cg_pipeline.platforms.http import Answer, Dialect, Request
from cg_pipeline.platforms.records import Json
from cg_pipeline.platforms.registry import Metric, ask

BATCH = 50
TRIES = 3
ANY = "any"
"""The kind of a node that is not known, or of a listing, in which there may be all kinds."""
TOO_MUCH = "reduce the amount of data"
"""What Meta says, with a code that looks transient, of a request that must be made smaller."""

CURSOR = frozenset({"after", "until", "__paging_token"})

Found = Json | CgError


@dataclass
class Ladder:
    """What is asked of one kind of node. Each step has less than the first. A step that is denied to all is taken away
    for the rest of the reading: a missing permission costs its own family, and is met once.

    `optional` are fields that a step adds by their name; its other parts are families of metrics of the `edge`.
    """

    edge: str
    suffix: str
    fields: str
    optional: Mapping[str, str]
    steps: list[tuple[str, ...]]
    limit: int = 100
    reason: str = ""

    def __post_init__(self) -> None:
        self.whole = self.steps[0]

    def query(self, step: Sequence[str], names: Sequence[str]) -> str:
        """The fields, and the metrics as a field of their own."""
        more = [fields for part, fields in self.optional.items() if part in step]
        metrics = [f"{self.edge}.metric({','.join(names)}){self.suffix}"] if names else []
        return ",".join([self.fields, *more, *metrics])

    def down(self, reason: str) -> bool:
        """Take the first step away; False when it is the last."""
        if len(self.steps) > 1:
            self.steps.pop(0)
            self.reason = reason
            return True
        return False

    def lost(self, step: Sequence[str], reason: str) -> Json:
        """What a node of that step lacks, for its raw data."""
        missing = {part: reason for part in self.whole if part not in step}
        return {"unavailable": missing} if missing else {}


@dataclass(frozen=True)
class Nodes:
    """The nodes of one site, as one reading asks for them."""

    reading: Reading
    dialect: Dialect
    version: str
    metrics: Sequence[Metric]

    def names(self, families: Sequence[str], kind: str) -> list[str]:
        """The metrics of some families that may be asked of such a node today; of any, where the kind is not known."""
        day = self.reading.started_at.date()
        legal = [
            metric.name
            for metric in self.metrics
            if metric.family in families
            and any(metric.is_legal(each, day) for each in ((metric.media or {ANY}) if kind == ANY else {kind}))
        ]
        return self.reading.retired.without(legal, kind)

    def page(self, path: str, ladder: Ladder, cursor: str | None) -> tuple[list[Json], str | None]:
        """One page of a listing and what follows it: fewer nodes when they are too much, less of each when denied."""
        while True:
            try:
                return self._listed(path, ladder, cursor)
            except AccessDenied as denial:
                if not ladder.down(str(denial)):
                    raise
            except Refused as refusal:
                if TOO_MUCH not in str(refusal) or ladder.limit == 1:
                    raise
                ladder.limit //= 2

    def read(self, kinds: Mapping[str, str], ladder: Ladder) -> dict[str, Found]:
        """Nodes by id, each with its kind, as rich as they may be read; else the error that says why not."""
        found: dict[str, Found] = {}
        waiting, reasons = dict(kinds), dict.fromkeys(kinds, ladder.reason)
        for step in tuple(ladder.steps):
            answers = self._at(waiting, ladder, step) if waiting else {}
            for node, answer in answers.items():
                found[node] = answer | ladder.lost(step, reasons[node]) if isinstance(answer, dict) else answer
            denied = {node: str(answer) for node, answer in answers.items() if isinstance(answer, AccessDenied)}
            reasons |= denied
            if denied and len(denied) == len(waiting):
                ladder.down(next(iter(denied.values())))
            waiting = {node: kinds[node] for node in denied}
        return found

    def _listed(self, path: str, ladder: Ladder, cursor: str | None) -> tuple[list[Json], str | None]:
        url, step = f"{self.reading.base_url}/{self.version}/{path}", ladder.steps[0]

        def request(wanted: Sequence[str]) -> Json:
            params = dict(parse_qsl(cursor or "")) | {"fields": ladder.query(step, wanted), "limit": str(ladder.limit)}
            body: Json = self.reading.caller.send(Request("GET", url, params), holds="data")
            return body

        parts = list(ask(self.names(step, ANY), ANY, self.reading.retired, request)) or [request(())]
        lost = ladder.lost(step, ladder.reason)
        nodes = _joined([part["data"] for part in parts], ladder.edge)
        return [node | lost for node in nodes], following(parts[0])

    def _at(self, kinds: Mapping[str, str], ladder: Ladder, step: tuple[str, ...]) -> dict[str, Found]:
        """Nodes at one step. A refused metric is looked for on one node, then the others are asked without it."""
        found: dict[str, Found] = {}
        waiting = dict(kinds)
        while waiting:
            found |= self._batch({node: ladder.query(step, self.names(step, kind)) for node, kind in waiting.items()})
            waiting = {node: kind for node, kind in waiting.items() if isinstance(found[node], InvalidMetric)}
            if waiting:
                first = next(iter(waiting))
                found[first] = self._by_halves(first, waiting.pop(first), ladder, step)
        return found

    def _by_halves(self, node: str, kind: str, ladder: Ladder, step: tuple[str, ...]) -> Found:
        def request(wanted: Sequence[str]) -> Json:
            answer = self._batch({node: ladder.query(step, wanted)})[node]
            if isinstance(answer, CgError):
                raise answer
            return answer

        try:
            parts = list(ask(self.names(step, kind), kind, self.reading.retired, request)) or [request(())]
        except (Refused, Gone) as error:
            return error
        return _joined([[part] for part in parts], ladder.edge)[0]

    def _batch(self, fields: Mapping[str, str]) -> dict[str, Found]:
        """Nodes by id, each with its fields. What timed out is asked again together with the next ones.

        Raises where all of several fail alike: then it is not the nodes that are odd.
        """
        answers: dict[str, Found] = {}
        waiting, tries = list(fields), dict.fromkeys(fields, TRIES)
        while waiting:
            asked, waiting = waiting[:BATCH], waiting[BATCH:]
            items = self.reading.caller.send(self._request({node: fields[node] for node in asked}))
            told = items[: len(asked)] if isinstance(items, list) else []
            for node, item in zip_longest(asked, told):
                answers[node], tries[node] = of_item(self.dialect, item, self.reading.started_at), tries[node] - 1
            waiting += [node for node in asked if isinstance(answers[node], Unavailable) and tries[node]]
        failures = [
            each for each in answers.values() if isinstance(each, CgError) and type(each) in {Refused, Unavailable}
        ]
        if failures and len(failures) == len(answers) > 1:
            raise failures[0]
        return answers

    def _request(self, fields: Mapping[str, str]) -> Request:
        calls = [
            {"method": "GET", "relative_url": f"{self.version}/{node}?{urlencode({'fields': asked})}"}
            for node, asked in fields.items()
        ]
        form = {"batch": json.dumps(calls), "include_headers": "false"}
        return Request("POST", f"{self.reading.base_url}/", form=form)


def of_item(dialect: Dialect, item: Any, now: datetime) -> Found:
    """What one part of a batch's answer means: a body, or an error. Null stands for one that came too late."""
    if item is None:
        return Unavailable("The platform did not come to this part of a batch in time.")
    try:
        body: Json = dialect.check(Answer(int(item["code"]), {}, item.get("body") or ""), now)
    except CgError as error:
        return error
    return body


def following(body: Json) -> str | None:
    """How the listing goes on, without the token that the address bears: there is more as long as `next` is given."""
    url = (body.get("paging") or {}).get("next")
    if url is None:
        return None
    return urlencode(sorted((name, value) for name, value in parse_qsl(urlsplit(url).query) if name in CURSOR))


def without_addresses(value: Any) -> Any:
    """The same without `paging`, whose addresses bear the token, at any depth."""
    if isinstance(value, dict):
        return {name: without_addresses(each) for name, each in value.items() if name != "paging"}
    return [without_addresses(each) for each in value] if isinstance(value, list) else value


def _joined(parts: Sequence[Sequence[Json]], edge: str) -> list[Json]:
    """Nodes that were read in several parts, each with some of the metrics, put together."""
    first, *others = parts
    known = {node["id"]: node for node in first}
    for node in (node for other in others for node in other if node["id"] in known):
        whole = known[node["id"]]
        data = [each for part in (whole, node) for each in (part.get(edge) or {}).get("data") or []]
        whole[edge] = (whole.get(edge) or {}) | {"data": data}
    return list(first)
