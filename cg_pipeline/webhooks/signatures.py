"""Whether a webhook request comes from its platform: signatures over the raw body, and handshakes.

Nothing else belongs here. The verification of a WebSub subscription needs the database and is done where leases are.
"""

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from cg_pipeline.errors import Permanent

META = ("facebook", "instagram", "threads")
HUB_METHODS = frozenset({"sha1", "sha256", "sha384", "sha512"})  # of W3C WebSub; the hub of YouTube uses sha1
SHA256 = frozenset({"sha256"})

# TikTok retries for 72 hours, and does not say whether a retry is signed anew: the fingerprint stops replays within.
OLDEST = timedelta(hours=73)
NEWEST = timedelta(minutes=5)


class BadSignature(Permanent):
    """A request that its platform did not sign: nothing of its body may be used or kept."""


Signed = tuple[str, bytes, bytes]
"""A method of hashlib, what stands before the body in the signed text, and the signature that was given."""


def verify(platform: str, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime) -> None:
    """Raises BadSignature unless one of the secrets signed the body. Names of headers are in lower case.

    Several secrets are valid during a rotation, and where a platform does not tell which of the app's it signs with. Of
    several signatures one that fits is enough. The rules are those of section 6 in the reference of each platform.
    """
    secrets = [secret for secret in secrets if secret]  # anybody can sign with an empty one
    if not secrets:
        raise BadSignature(f"No secret for the webhooks of {platform} is configured.")
    signatures = _signatures(platform, headers)
    if not any(_fits(signed, body, secret) for signed in signatures for secret in secrets):
        raise BadSignature(f"None of the configured secrets of {platform} signed the body.")
    if platform == "tiktok":
        _require_recent(signatures[0], now)


def answer_challenge(
    platform: str, query: Mapping[str, str], secrets: Sequence[str], verify_token: str
) -> str | dict[str, str] | None:
    """What to answer to a handshake: a text to send as it is, or JSON. None: refuse with 403.

    Meta wants its challenge back if the token is ours; X a proof that we know the secret, for which the first counts.
    """
    if platform in META:
        is_ours = hmac.compare_digest(_bytes(query.get("hub.verify_token", "")), _bytes(verify_token))
        return query.get("hub.challenge") if verify_token and is_ours and _is_subscription(query) else None
    if platform == "twitter" and query.get("crc_token") and secrets and secrets[0]:
        digest = _digest("sha256", secrets[0], _bytes(query["crc_token"]))
        return {"response_token": f"sha256={base64.b64encode(digest).decode()}"}
    return None


def _signatures(platform: str, headers: Mapping[str, str]) -> list[Signed]:
    """Those that the headers hold; at least one."""
    readers = SCHEMES[platform]
    present = [reader(headers[name]) for name, reader in readers.items() if headers.get(name)]
    signatures = [signed for signed in present if signed]
    if not signatures:
        fault = "malformed" if present else "missing"
        raise BadSignature(f"The header {' or '.join(readers)} is {fault}.")
    return signatures


def _is_subscription(query: Mapping[str, str]) -> bool:
    return query.get("hub.mode") == "subscribe"


def _bytes(text: str) -> bytes:
    """Comparable whatever is in it: two texts cannot be compared in constant time unless they are ASCII."""
    return text.encode(errors="surrogatepass")


def _digest(method: str, secret: str, message: bytes) -> bytes:
    return hmac.new(_bytes(secret), message, method).digest()


def _fits(signed: Signed, body: bytes, secret: str) -> bool:
    method, before, given = signed
    return hmac.compare_digest(_digest(method, secret, before + body), given)


def _require_recent(signed: Signed, now: datetime) -> None:
    """Checked after the signature, so that only those who have the secret learn of the window."""
    age = now.timestamp() - int(signed[1][:-1])
    if not -NEWEST.total_seconds() <= age <= OLDEST.total_seconds():
        raise BadSignature("The time in the signature is too long ago, or too far ahead.")


def _hub(header: str, methods: frozenset[str], decode: Callable[[str], bytes]) -> Signed | None:
    """`method=signature`; None where it is not that."""
    method, _, signature = header.strip().partition("=")
    given = _decoded(signature, decode)
    return (method, b"", given) if method in methods and given else None


def _tiktok(header: str) -> Signed | None:
    """`t=1764000000,s=<hex>`, which signs the time, a dot and the body."""
    parts = dict(part.strip().partition("=")[::2] for part in header.split(","))
    moment, given = parts.get("t", ""), _decoded(parts.get("s", ""), binascii.unhexlify)
    is_time = moment.isascii() and moment.isdigit() and len(moment) <= len("1764000000000")
    return ("sha256", f"{moment}.".encode(), given) if is_time and given else None


def _decoded(text: str, decode: Callable[[str], bytes]) -> bytes:
    try:
        return decode(text)
    except ValueError:  # binascii.Error is one; the other is of text that is not ASCII
        return b""


_in_hex = partial(_hub, methods=SHA256, decode=binascii.unhexlify)
_in_base64 = partial(_hub, methods=SHA256, decode=partial(base64.b64decode, validate=True))

# By platform: the headers that may hold a signature, and how each is read.
SCHEMES: Mapping[str, Mapping[str, Callable[[str], Signed | None]]] = {
    **{platform: {"x-hub-signature-256": _in_hex} for platform in META},
    "youtube": {"x-hub-signature": partial(_hub, methods=HUB_METHODS, decode=binascii.unhexlify)},
    "twitter": {"x-twitter-webhooks-signature-oauth2": _in_base64, "x-twitter-webhooks-signature": _in_base64},
    "tiktok": {"tiktok-signature": _tiktok},
}
