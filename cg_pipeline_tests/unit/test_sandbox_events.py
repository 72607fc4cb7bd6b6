"""The sandbox's webhook events: what each platform tells, how it signs, and what then is so in the world."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from defusedxml import ElementTree
from typer.testing import CliRunner

from cg_pipeline.cli.main import app
from cg_pipeline.errors import CgError
from cg_pipeline.sandbox import events
from cg_pipeline.sandbox.events import EVENTS, Delivery
from cg_pipeline.sandbox.hub import TOPIC
from cg_pipeline.sandbox.server import Sandbox, serving
from cg_pipeline.sandbox.world import Account, Post, World
from cg_pipeline.webhooks.payloads import parse
from cg_pipeline.webhooks.signatures import BadSignature, verify
from cg_pipeline_tests.callbacks import Callback, receiving

NOW = datetime(2026, 4, 5, 12, tzinfo=UTC)
SECRET = "a secret of the test"
ALL = [(platform, kind) for platform, kinds in EVENTS.items() for kind in kinds]
ACTIONS = {"delete": "delete", "revoke": "pause"}  # all others: to read it again


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(World(accounts_each=1, posts_each=5), NOW)


def account_of(sandbox: Sandbox, platform: str) -> Account:
    return sandbox.world.accounts[platform][0]


def made(sandbox: Sandbox, platform: str, kind: str) -> tuple[Account | Post, Delivery]:
    subject = events.subject_of(sandbox, account_of(sandbox, platform), kind)
    return subject, events.event(subject, kind, SECRET, sandbox.now)


def said(sandbox: Sandbox, platform: str, kind: str) -> Any:
    return json.loads(made(sandbox, platform, kind)[1].body)


def digest(body: bytes, algorithm: Any = hashlib.sha256) -> bytes:
    return hmac.new(SECRET.encode(), body, algorithm).digest()


@pytest.fixture
def receiver() -> Iterator[Callback]:
    with receiving(Callback()) as made:
        yield made


@pytest.mark.parametrize(("platform", "kind"), ALL)
def test_an_event_is_signed_as_its_platform_signs(sandbox: Sandbox, platform: str, kind: str) -> None:
    _, delivery = made(sandbox, platform, kind)
    if platform == "tiktok":
        signature = digest(b"%d.%b" % (NOW.timestamp(), delivery.body)).hex()
        assert delivery.headers["TikTok-Signature"] == f"t={int(NOW.timestamp())},s={signature}"
    elif platform == "twitter":
        signature = f"sha256={base64.b64encode(digest(delivery.body)).decode()}"
        assert delivery.headers["X-Twitter-Webhooks-Signature"] == signature
        assert delivery.headers["X-Twitter-Webhooks-Signature-OAuth2"] == signature
    elif platform == "youtube":
        assert delivery.headers["X-Hub-Signature"] == f"sha1={digest(delivery.body, hashlib.sha1).hex()}"
    else:
        assert delivery.headers["X-Hub-Signature-256"] == f"sha256={digest(delivery.body).hex()}"


@pytest.mark.parametrize(("platform", "kind"), ALL)
def test_an_event_is_the_same_at_the_same_time_and_names_its_post(sandbox: Sandbox, platform: str, kind: str) -> None:
    subject, delivery = made(sandbox, platform, kind)
    assert made(sandbox, platform, kind)[1] == delivery
    name = subject.native_id if isinstance(subject, Post) else subject.platform_id
    assert name in delivery.body.decode()


@pytest.mark.parametrize(("platform", "kind"), ALL)
def test_the_receiver_understands_an_event(sandbox: Sandbox, platform: str, kind: str) -> None:
    subject, delivery = made(sandbox, platform, kind)
    headers = {name.lower(): value for name, value in delivery.headers.items()}
    verify(platform, headers, delivery.body, ["another", SECRET], NOW)
    with pytest.raises(BadSignature):
        verify(platform, headers, delivery.body + b" ", [SECRET], NOW)
    (entry,) = parse(platform, delivery.body)
    assert (entry.account, entry.action) == (account_of(sandbox, platform).platform_id, ACTIONS.get(kind, "refresh"))
    assert entry.post == (subject.native_id if isinstance(subject, Post) else None)


@pytest.mark.parametrize(("platform", "kind"), ALL)
def test_only_what_is_the_same_event_has_the_same_fingerprint(sandbox: Sandbox, platform: str, kind: str) -> None:
    """A story ends once, and X numbers its deletions anew."""
    (first,) = parse(platform, made(sandbox, platform, kind)[1].body)
    sandbox.clock.instant += timedelta(minutes=1)
    (second,) = parse(platform, made(sandbox, platform, kind)[1].body)
    is_same = first.fingerprint(platform) == second.fingerprint(platform)
    assert is_same == (kind in {"publish", "insights"})


def test_an_event_without_a_secret_is_not_signed_by_the_hub(sandbox: Sandbox) -> None:
    subject = events.subject_of(sandbox, account_of(sandbox, "youtube"), "publish")
    assert "X-Hub-Signature" not in events.event(subject, "publish", "", NOW).headers


def test_facebook_tells_of_posts_comments_and_reactions(sandbox: Sandbox) -> None:
    page = account_of(sandbox, "facebook")
    told = {kind: said(sandbox, "facebook", kind)["entry"][0] for kind in EVENTS["facebook"]}
    assert {entry["id"] for entry in told.values()} == {page.platform_id}
    values = {kind: entry["changes"][0]["value"] for kind, entry in told.items()}
    assert {kind: (value["item"], value["verb"]) for kind, value in values.items()} == {
        "publish": ("video", "add"),
        "update": ("video", "edited"),
        "comment": ("comment", "add"),
        "reaction": ("reaction", "add"),
        "delete": ("video", "remove"),
    }
    assert {value["post_id"].partition("_")[0] for value in values.values()} == {page.platform_id}


def test_instagram_tells_of_comments_in_both_envelopes_and_of_stories_that_ended(sandbox: Sandbox) -> None:
    usual, flat = (said(sandbox, "instagram", kind)["entry"][0] for kind in ("update", "comment"))
    assert usual["changes"] == [{"field": flat["field"], "value": flat["value"]}]
    assert "changes" not in flat
    ended = said(sandbox, "instagram", "insights")["entry"][0]["changes"][0]
    story = sandbox.world.post(account_of(sandbox, "instagram"), ended["value"]["media_id"], NOW)
    assert ended["field"] == "story_insights"
    assert story is not None
    assert story.media == "story"


def test_threads_tells_flat_objects(sandbox: Sandbox) -> None:
    told = {kind: said(sandbox, "threads", kind) for kind in EVENTS["threads"]}
    assert {kind: (each["topic"], each["values"]["field"]) for kind, each in told.items()} == {
        "publish": ("interaction", "publish"),
        "update": ("moderate", "replies"),
        "delete": ("moderate", "delete"),
    }


def test_tiktok_puts_json_into_json(sandbox: Sandbox) -> None:
    told = {kind: said(sandbox, "tiktok", kind) for kind in EVENTS["tiktok"]}
    assert {kind: each["event"] for kind, each in told.items()} == {
        "publish": "post.publish.publicly_available",
        "update": "comment.update",
        "delete": "post.publish.no_longer_publicaly_available",
        "revoke": "authorization.removed",
    }
    assert json.loads(told["revoke"]["content"]) == {"reason": 1}
    assert {each["user_openid"] for each in told.values()} == {account_of(sandbox, "tiktok").platform_id}


def test_x_tells_of_posts_and_of_the_grant(sandbox: Sandbox) -> None:
    told = {kind: said(sandbox, "twitter", kind)["data"] for kind in EVENTS["twitter"]}
    owner = account_of(sandbox, "twitter").platform_id
    assert {kind: each["event_type"] for kind, each in told.items()} == {
        "publish": "post.create",
        "delete": "post.delete",
        "revoke": "oauth.revoke",
    }
    assert told["publish"]["payload"]["public_metrics"]["like_count_str"] == "0"
    assert told["delete"]["payload"].keys() == {"id", "author_id"}
    assert (told["revoke"]["filter"], told["revoke"]["payload"]["user_id"]) == ({}, owner)


def test_youtube_tells_in_atom(sandbox: Sandbox) -> None:
    names = {"a": "http://www.w3.org/2005/Atom", "y": "http://www.youtube.com/xml/schemas/2015",
             "at": "http://purl.org/atompub/tombstones/1.0"}  # fmt: skip
    post, delivery = made(sandbox, "youtube", "update")
    assert isinstance(post, Post)
    feed = ElementTree.fromstring(delivery.body)
    assert feed.findtext("a:entry/y:videoId", None, names) == post.native_id
    assert feed.findtext("a:entry/y:channelId", None, names) == post.account.platform_id
    assert feed.findtext("a:entry/a:updated", None, names) == NOW.isoformat()
    gone = ElementTree.fromstring(made(sandbox, "youtube", "delete")[1].body).find("at:deleted-entry", names)
    assert gone is not None
    assert (gone.get("ref"), gone.get("when")) == (f"yt:video:{post.native_id}", NOW.isoformat())
    assert delivery.headers["Content-Type"] == "application/atom+xml"
    assert f"<{TOPIC}{post.account.platform_id}>; rel=self" in delivery.headers["Link"]


def test_a_platform_that_has_no_such_event_says_what_it_has(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="instagram sends no event 'delete'; it sends update, comment, insights"):
        events.subject_of(sandbox, account_of(sandbox, "instagram"), "delete")


def test_a_post_that_is_not_there_is_said(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="no post 123 that 'publish'"):
        events.subject_of(sandbox, account_of(sandbox, "facebook"), "publish", "123")


def test_a_deleted_post_is_gone_before_it_is_told(sandbox: Sandbox, receiver: Callback) -> None:
    account = account_of(sandbox, "facebook")
    post = events.subject_of(sandbox, account, "delete")
    assert isinstance(post, Post)
    assert events.happen(sandbox, account, "delete", to=receiver.address) == {receiver.address: 200}
    assert sandbox.world.post(account, post.native_id, sandbox.now) is None
    assert post.native_id in {each.native_id for each in sandbox.world.deletions}
    assert post.native_id in receiver.delivered[0][1].decode()


def test_what_is_only_told_is_not_so(sandbox: Sandbox, receiver: Callback) -> None:
    account = account_of(sandbox, "threads")
    before = sandbox.world.posts(account, sandbox.now)
    receiver.status = 503
    told = events.happen(sandbox, account, "delete", to=receiver.address, only_tell=True)
    assert told == {receiver.address: 503}
    assert sandbox.world.posts(account, sandbox.now) == before


def test_a_revoked_grant_is_dead(sandbox: Sandbox, receiver: Callback) -> None:
    account = account_of(sandbox, "twitter")
    grant = sandbox.tokens.issue(account, timedelta(hours=1))
    events.happen(sandbox, account, "revoke", to=receiver.address)
    assert not sandbox.tokens.is_valid(grant)


@pytest.mark.parametrize("to", [None, "http://192.0.2.1/webhooks"])
def test_nothing_happens_when_nobody_on_this_machine_is_told(sandbox: Sandbox, to: str | None) -> None:
    account = account_of(sandbox, "facebook")
    before = sandbox.world.posts(account, sandbox.now)
    with pytest.raises(ValueError, match=r"Nobody is subscribed|not on this machine"):
        events.happen(sandbox, account, "delete", to=to)
    assert sandbox.world.posts(account, sandbox.now) == before


def test_a_receiver_that_is_down_has_no_status(sandbox: Sandbox) -> None:
    with receiving(Callback()) as gone:
        pass
    assert events.happen(sandbox, account_of(sandbox, "facebook"), "publish", to=gone.address) == {gone.address: None}


def test_the_command_sends_what_happens_in_a_running_sandbox(sandbox: Sandbox, receiver: Callback) -> None:
    account = account_of(sandbox, "facebook")
    address = receiver.address
    with serving(sandbox) as here:
        port = here.rpartition(":")[2]
        asked = ["sandbox", "send", "facebook", account.platform_id]
        done = CliRunner().invoke(app, [*asked, "comment", "--to", address, "--port", port])
        refused = CliRunner().invoke(app, [*asked, "revoke", "--to", address, "--port", port])
        silent = CliRunner().invoke(app, [*asked, "update", "--to", "http://127.0.0.1:1/", "--port", port])
        unknown = requests.post(f"{here}/_sandbox/send/facebook/nobody", json={"kind": "publish"}, timeout=10)
    assert f"{address} answers 200" in done.output
    ((headers, body),) = receiver.delivered
    signature = hmac.new(events.SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert headers["x-hub-signature-256"] == f"sha256={signature}"
    assert isinstance(refused.exception, CgError)
    assert "it sends publish, update, comment, reaction, delete" in str(refused.exception)
    assert (silent.exit_code, silent.output.strip()) == (3, "http://127.0.0.1:1/ does not answer")
    assert unknown.status_code == 404
