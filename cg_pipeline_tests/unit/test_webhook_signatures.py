"""Signatures and handshakes: published test vectors, rotation, the window of TikTok, and nothing secret in an error.

The vector of `appsecret_proof` is left out: our requests to Meta carry none.
"""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cg_pipeline.webhooks.signatures import SCHEMES, BadSignature, answer_challenge, verify

VECTORS = Path(__file__).parents[3] / "shared" / "real_data" / "signature_vectors" / "vectors.json"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
BODY = '{"text": "Grüße \\ud83d\\ude00"}'.encode()
SECRET, OTHER = "the-secret-ä", "another-secret"
HUB, HUB_1 = "x-hub-signature-256", "x-hub-signature"
X, X_OAUTH2 = "x-twitter-webhooks-signature", "x-twitter-webhooks-signature-oauth2"
TIKTOK = "tiktok-signature"


def digest(message: bytes = BODY, method: str = "sha256", secret: str = SECRET) -> bytes:
    return hmac.new(secret.encode(), message, getattr(hashlib, method)).digest()


def in_hex(method: str = "sha256", secret: str = SECRET) -> str:
    return f"{method}={digest(BODY, method, secret).hex()}"


def in_base64(secret: str = SECRET) -> str:
    return f"sha256={base64.b64encode(digest(secret=secret)).decode()}"


def of_tiktok(moment: datetime | str, secret: str = SECRET) -> str:
    time = moment if isinstance(moment, str) else str(int(moment.timestamp()))
    return f"t={time},s={digest(f'{time}.'.encode() + BODY, secret=secret).hex()}"


GOOD = [
    ("facebook", HUB, in_hex()),
    ("instagram", HUB, in_hex()),
    ("threads", HUB, in_hex()),
    ("youtube", HUB_1, in_hex("sha1")),
    ("youtube", HUB_1, in_hex("sha256")),
    ("youtube", HUB_1, in_hex("sha384")),
    ("youtube", HUB_1, in_hex("sha512")),
    ("twitter", X, in_base64()),
    ("twitter", X_OAUTH2, in_base64()),
    ("tiktok", TIKTOK, of_tiktok(NOW)),
]


def vectors() -> list[Any]:
    if not VECTORS.exists():
        return [pytest.param({}, marks=pytest.mark.skip(reason="the published vectors are not beside this checkout"))]
    return [pytest.param(each, id=each["id"]) for each in json.loads(VECTORS.read_text(encoding="utf-8"))]


def refusal(platform: str, headers: dict[str, str], secrets: list[str], now: datetime = NOW) -> str:
    """Why the body is refused; no secret, nothing of the body and no signature is in it."""
    with pytest.raises(BadSignature) as caught:
        verify(platform, headers, BODY, secrets, now)
    told = str(caught.value) + repr(caught.value)
    assert not [secret for secret in (*secrets, *headers.values(), "Grüße") if secret and secret in told]
    return str(caught.value)


def check_vector(vector: dict[str, Any], secret: str) -> None:
    """Raises BadSignature where the published signature does not fit the secret."""
    body, given = vector["body"].encode(), vector["signature"]
    header = vector["scheme"].split()[0].lower()
    if "CRC" in vector["scheme"]:
        if answer_challenge("twitter", {"crc_token": vector["body"]}, [secret], "") != {"response_token": given}:
            raise BadSignature
        return
    verify({HUB: "facebook", HUB_1: "youtube", X: "twitter"}[header], {header: given}, body, [secret], NOW)


@pytest.mark.parametrize("vector", vectors())
def test_every_published_vector_is_verified(vector: dict[str, Any]) -> None:
    if vector["scheme"] == "appsecret_proof":
        pytest.skip("our requests carry no appsecret_proof")
    if vector["secret"] is None:  # a header only: it is read, and none of our secrets fits
        with pytest.raises(BadSignature, match="None of the configured secrets"):
            verify("tiktok", {TIKTOK: vector["header"]}, vector["body"].encode(), [SECRET], NOW)
        return
    if vector.get("valid", True):
        check_vector(vector, vector["secret"])
    else:
        with pytest.raises(BadSignature):
            check_vector(vector, vector["secret"])
    with pytest.raises(BadSignature):
        check_vector(vector, vector["secret"] + "x")


@pytest.mark.parametrize(("platform", "header", "signature"), GOOD)
def test_a_body_that_the_platform_signed_is_accepted(platform: str, header: str, signature: str) -> None:
    verify(platform, {header: signature, "other": "x"}, BODY, [SECRET], NOW)


@pytest.mark.parametrize(("platform", "header", "signature"), GOOD)
def test_every_secret_of_a_rotation_is_tried(platform: str, header: str, signature: str) -> None:
    verify(platform, {header: signature}, BODY, [OTHER, SECRET], NOW)
    verify(platform, {header: signature}, BODY, [SECRET, OTHER], NOW)


@pytest.mark.parametrize(("platform", "header", "signature"), GOOD)
def test_another_secret_or_another_body_is_refused(platform: str, header: str, signature: str) -> None:
    assert "None of the configured secrets" in refusal(platform, {header: signature}, [OTHER])
    with pytest.raises(BadSignature, match="None of the configured secrets"):
        verify(platform, {header: signature}, BODY + b" ", [SECRET], NOW)


@pytest.mark.parametrize("platform", SCHEMES)
def test_a_missing_header_is_told_by_name(platform: str) -> None:
    assert f"{next(iter(SCHEMES[platform]))}" in refusal(platform, {"x-other": "sha256=00"}, [SECRET])
    assert "is missing" in refusal(platform, dict.fromkeys(SCHEMES[platform], ""), [SECRET])


@pytest.mark.parametrize("platform", SCHEMES)
@pytest.mark.parametrize("secrets", [[], [""]])
def test_nothing_is_accepted_where_no_secret_is_configured(platform: str, secrets: list[str]) -> None:
    signed_with_nothing = f"sha256={hmac.new(b'', BODY, 'sha256').hexdigest()}"
    assert "No secret" in refusal(platform, dict.fromkeys(SCHEMES[platform], signed_with_nothing), secrets)


@pytest.mark.parametrize(
    ("platform", "signature"),
    [
        ("facebook", "sha256="),
        ("facebook", digest().hex()),
        ("facebook", in_hex("sha1")),
        ("facebook", in_base64()),
        ("facebook", "sha256=ü"),
        ("youtube", f"md5={digest(method='md5').hex()}"),
        ("twitter", "sha256=not base64"),
        ("twitter", "sha256=ü"),
        ("tiktok", "s=00"),
        ("tiktok", "t=1764000000"),
        ("tiktok", "t=soon,s=00"),
        ("tiktok", "t=²,s=00"),
        ("tiktok", f"t={'9' * 5000},s=00"),
        ("tiktok", "t=-1,s=00"),
        ("tiktok", ",=,"),
    ],
)
def test_a_malformed_signature_is_told(platform: str, signature: str) -> None:
    assert "malformed" in refusal(platform, dict.fromkeys(SCHEMES[platform], signature), [SECRET])


def test_one_of_the_two_signatures_of_x_is_enough() -> None:
    verify("twitter", {X: in_base64(OTHER), X_OAUTH2: in_base64()}, BODY, [SECRET], NOW)
    verify("twitter", {X: in_base64(), X_OAUTH2: "sha256=?"}, BODY, [SECRET], NOW)
    assert "None" in refusal("twitter", {X: in_base64(OTHER), X_OAUTH2: in_base64("third")}, [SECRET])


@pytest.mark.parametrize("age", [timedelta(0), timedelta(hours=73), timedelta(minutes=-5)])
def test_tiktok_may_have_signed_within_its_retries(age: timedelta) -> None:
    verify("tiktok", {TIKTOK: of_tiktok(NOW - age)}, BODY, [SECRET], NOW)


@pytest.mark.parametrize(
    "age", [timedelta(hours=73, seconds=1), timedelta(minutes=-5, seconds=-1), timedelta(days=9999)]
)
def test_an_old_or_future_signature_of_tiktok_is_refused(age: timedelta) -> None:
    assert "time in the signature" in refusal("tiktok", {TIKTOK: of_tiktok(NOW - age)}, [SECRET])
    assert "time in the signature" not in refusal("tiktok", {TIKTOK: of_tiktok(NOW - age)}, [OTHER])


def test_the_parts_of_tiktoks_header_come_in_any_order() -> None:
    time, signature = of_tiktok(NOW).split(",")
    verify("tiktok", {TIKTOK: f"{signature}, {time}"}, BODY, [SECRET], NOW)


@given(st.sampled_from(sorted(SCHEMES)), st.text(), st.binary(), st.text(min_size=1))
def test_no_header_whatsoever_breaks_the_verification(platform: str, header: str, body: bytes, secret: str) -> None:
    for prefix in ("", "sha256=", "sha1=", "t=1,s="):
        with pytest.raises(BadSignature):
            verify(platform, dict.fromkeys(SCHEMES[platform], prefix + header), body, [secret], NOW)


def handshake(sent: str = "tökén", **changed: str) -> dict[str, str]:
    return {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": sent, **changed}


@pytest.mark.parametrize("platform", ["facebook", "instagram", "threads"])
def test_meta_gets_its_challenge_back_for_our_token_only(platform: str) -> None:
    assert answer_challenge(platform, handshake(), [], "tökén") == "1158201444"
    assert answer_challenge(platform, handshake("token"), [], "tökén") is None
    assert answer_challenge(platform, handshake("\udcff"), [], "tökén") is None
    assert answer_challenge(platform, handshake(**{"hub.mode": "unsubscribe"}), [], "tökén") is None
    assert answer_challenge(platform, handshake(""), [], "") is None
    assert answer_challenge(platform, {}, [], "tökén") is None


def test_x_gets_a_proof_with_the_newest_secret() -> None:
    token = "crc-é"
    proof = base64.b64encode(digest(token.encode())).decode()
    assert answer_challenge("twitter", {"crc_token": token}, [SECRET, OTHER], "") == {
        "response_token": f"sha256={proof}"
    }
    assert answer_challenge("twitter", {"crc_token": token}, [], "") is None
    assert answer_challenge("twitter", {"crc_token": token}, [""], "") is None
    assert answer_challenge("twitter", {}, [SECRET], "") is None


@pytest.mark.parametrize("platform", ["tiktok", "youtube"])
def test_who_has_no_handshake_here_is_refused(platform: str) -> None:
    assert answer_challenge(platform, {**handshake("t"), "crc_token": "x"}, [SECRET], "t") is None
