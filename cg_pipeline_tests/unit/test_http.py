"""The way out to the platforms: retries, pauses, renewal, counts, memory, and no secret in a key or a message."""

import socket
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cg_pipeline.clock import FixedClock
from cg_pipeline.errors import (
    AccessDenied,
    CgError,
    Disconnected,
    Gone,
    InvalidMetric,
    Throttled,
    TokenExpired,
    Unavailable,
)
from cg_pipeline.platforms.http import TRIES, Answer, Caller, Http, Request, pages, require_whole, retry_at

NOW = datetime(2026, 4, 5, 12, tzinfo=UTC)
OK = Answer(200, {}, '{"fine": true}')
ERRORS: Mapping[int, CgError] = {
    401: TokenExpired("expired"), 403: AccessDenied("no"), 404: Gone("gone"), 422: InvalidMetric("metric"),
    429: Throttled("slow down"), 430: Throttled("slow down", NOW + timedelta(seconds=20)),
    431: Throttled("slow down", NOW + timedelta(seconds=31)), 500: Unavailable("oops"),
}  # fmt: skip


class World:
    """A platform that gives these answers in turn; tokens and memory that write down what happens to them."""

    def __init__(self, *answers: Answer | int) -> None:
        self.answers = [Answer(each, {}, "{}") if isinstance(each, int) else each for each in answers]
        self.tokens_used: list[str] = []
        self.slept: list[float] = []
        self.kept: dict[str, Answer] = {}
        self.token = "token-1"
        self.caller = Caller(self, FixedClock(NOW), self, self, self, sleep=self.slept.append, chance=lambda: 1.0)

    def __call__(self, request: Request, headers: Mapping[str, str]) -> Answer:
        assert request.method == "GET"
        self.tokens_used.append(headers["token"])
        return self.answers.pop(0)

    def authorize(self, token: str) -> Mapping[str, str]:
        return {"token": token}

    def check(self, answer: Answer, _: datetime) -> Any:
        if answer.status in ERRORS:
            raise ERRORS[answer.status]
        return answer.json()

    def quota(self, answer: Answer, now: datetime) -> tuple[int, datetime] | None:
        return (int(answer.headers["left"]), now) if "left" in answer.headers else None

    def current(self) -> str:
        return self.token

    def renew(self, refused: str) -> str:
        assert refused == self.token
        self.token = f"{refused}+"
        return self.token

    def recall(self, request: Request) -> Answer | None:
        return self.kept.get(request.key)

    def keep(self, request: Request, answer: Answer) -> None:
        self.kept[request.key] = answer


def test_a_good_answer_is_asked_for_once() -> None:
    world = World(OK)
    for _ in range(2):
        assert world.caller.get("http://x/y", a=1, b=None) == {"fine": True}
    assert world.caller.usage.requests == 1
    assert list(world.kept) == ["GET /y?a=1"]


def test_what_may_pass_is_tried_again_with_growing_pauses() -> None:
    world = World(500, 429, 500, OK)
    assert world.caller.get("http://x/y") == {"fine": True}
    assert world.slept == [1, 2, 4]
    usage = world.caller.usage
    assert (usage.requests, usage.retries, usage.paused_seconds) == (4, 3, 7)


def test_after_the_last_try_the_problem_is_told() -> None:
    world = World(*[500] * (TRIES + 1))
    with pytest.raises(Unavailable, match="oops"):
        world.caller.get("http://x/y")
    assert (world.caller.usage.requests, world.caller.usage.retries) == (TRIES, TRIES - 1)
    assert not world.kept


def test_a_pause_that_is_short_is_slept_through_and_a_long_one_is_left_to_others() -> None:
    world = World(430, OK)
    assert world.caller.get("http://x/y") == {"fine": True}
    assert world.slept == [21]
    world = World(431, OK)
    with pytest.raises(Throttled):
        world.caller.get("http://x/y")
    assert (world.slept, world.caller.usage.requests) == ([], 1)


def test_an_expired_token_is_renewed_once_without_a_pause() -> None:
    world = World(401, OK)
    assert world.caller.get("http://x/y") == {"fine": True}
    assert (world.tokens_used, world.slept) == (["token-1", "token-1+"], [])
    with pytest.raises((TokenExpired, Disconnected)):
        World(401, 401, OK).caller.get("http://x/y")


@pytest.mark.parametrize("status", [403, 404, 422])
def test_a_refusal_is_not_tried_again(status: int) -> None:
    world = World(status, OK)
    with pytest.raises(type(ERRORS[status])):
        world.caller.get("http://x/y")
    assert world.caller.usage.requests == 1


@pytest.mark.parametrize("status", [404, 422])
def test_a_refusal_that_a_mapping_lives_with_is_an_answer_like_any_other(status: int) -> None:
    world = World(status)
    for _ in range(2):
        with pytest.raises(type(ERRORS[status])):
            world.caller.get("http://x/y")
    assert world.caller.usage.requests == 1


def test_the_quota_of_the_last_answer_counts_even_of_a_bad_one() -> None:
    world = World(Answer(200, {"left": "9"}, "{}"), Answer(403, {"left": "8"}, "{}"))
    world.caller.get("http://x/y")
    with pytest.raises(AccessDenied):
        world.caller.get("http://x/z")
    assert (world.caller.usage.quota_left, world.caller.usage.quota_reset) == (8, NOW)


def test_the_key_of_a_request_names_neither_host_nor_secrets() -> None:
    params = {"b": 2, "a": "x y", "access_token": "SECRET", "input_token": "SECRET", "refresh_token": "SECRET"}
    request = Request("GET", "https://api.example/v1/me", params)
    assert request.key == "GET /v1/me?a=x+y&b=2"
    assert request.key == Request("GET", "http://127.0.0.1:8080/v1/me", dict(reversed(params.items()))).key
    for body in ({"form": {"client_secret": "SECRET", "c": 1}}, {"json": {"refresh_token": "SECRET", "c": 1}}):
        assert Request("POST", "https://api.example/t", **body).key == "POST /t? {'c': 1}"
    keys = {Request("GET", "http://x/y", {"after": after}).key for after in (None, "c1", "c2")}
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("headers", "moment"),
    [
        ({}, None),
        ({"retry-after": "90"}, NOW + timedelta(seconds=90)),
        ({"retry-after": "Sun, 05 Apr 2026 12:10:00 GMT"}, NOW + timedelta(minutes=10)),
        ({"x-rate-limit-reset": str(int(NOW.timestamp()) + 60)}, NOW + timedelta(minutes=1)),
        ({"x-rate-limit-reset": "soon"}, None),
    ],
)
def test_when_to_ask_again_is_read_in_every_form(headers: Mapping[str, str], moment: datetime | None) -> None:
    assert retry_at(Answer(429, headers, ""), NOW) == moment


def test_an_answer_that_was_cut_off_is_told_as_such() -> None:
    with pytest.raises(Unavailable, match=r"HTTP 200.*no JSON.*cut off"):
        Answer(200, {}, '{"data": [1, 2').json()
    for status in (500, 503):
        with pytest.raises(Unavailable, match=str(status)):
            require_whole(Answer(status, {}, "<html>"), NOW)
    require_whole(Answer(404, {}, ""), NOW)


def test_an_answer_without_its_list_is_asked_for_again_and_never_kept() -> None:
    request, whole = Request("GET", "https://api/posts"), Answer(200, {}, '{"posts": []}')
    world = World(OK, Answer(200, {}, "[]"), Answer(200, {}, '{"posts": null}'), whole)
    assert world.caller.get("https://api/posts", holds="posts") == {"posts": []}
    assert (world.caller.usage.retries, world.kept) == (3, {request.key: whole})
    world.kept[request.key] = OK
    with pytest.raises(Unavailable, match=r"GET https://api/posts has no list `posts`"):
        world.caller.get("https://api/posts", holds="posts")


def test_a_pause_that_is_wanted_in_html_is_one() -> None:
    with pytest.raises(Throttled) as raised:
        require_whole(Answer(429, {"retry-after": "90"}, "<html>"), NOW)
    assert raised.value.retry_at == NOW + timedelta(seconds=90)
    require_whole(Answer(429, {}, '{"error": "its dialect knows better"}'), NOW)


def test_a_listing_is_followed_to_its_end_and_never_in_a_circle() -> None:
    listing: dict[str | None, tuple[list[int], str | None]] = {None: ([1], "b"), "b": ([], "c"), "c": ([2], None)}
    assert list(pages(None, listing.__getitem__)) == [[1], [], [2]]
    for back in ("b", "c"):
        listing["c"] = ([2], back)
        with pytest.raises(Unavailable, match="never end"):
            list(pages(None, listing.__getitem__))


def test_without_a_connection_the_message_holds_no_parameter() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    request = Request("GET", f"http://127.0.0.1:{port}/me", {"access_token": "SECRET"})
    with pytest.raises(Unavailable) as error:
        Http()(request, {})
    assert str(error.value) == f"GET http://127.0.0.1:{port}/me got no whole answer: ConnectionError."
    assert (error.value.__cause__, error.value.__suppress_context__) == (None, True)
