"""The vault: what it encrypts only the right row can read, with any key of the ring, and nothing of it leaks."""

import base64
import hashlib
import hmac
import json
import traceback
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from hypothesis import example, given
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwk import OctKey

from cg_pipeline.errors import CgError, ConfigError, Permanent
from cg_pipeline.security.vault import KeyRing, new_key, read_legacy

HERE = "sites.access_token:6f1c1f6e-58c5-4f5e-9a0e-3f8f1a3f0b11"
SECRET = "EAAGm0PX4ZCpsBA-token"
OLD, NEW = new_key(), new_key()
RING = KeyRing.from_setting(NEW)
RFC_KEY = bytes(range(64))  # the key of RFC 7518, appendix B.3
RFC_RING = KeyRing.from_setting(f"b3:{base64.urlsafe_b64encode(RFC_KEY).decode()}")
LEGACY_KEY = bytes(range(32))
# printf 'p\xc3\xa4ss word' | openssl enc -aes-256-cbc -K 000102..1f -iv 1af38c2dc2b96ffdd86694092341bc04
LEGACY = "1af38c2dc2b96ffdd86694092341bc04:2a0b3f2f6d86c227b5aca8cf23aa610c"


def kid(entry: str) -> str:
    return entry.split(":", maxsplit=1)[0]


def decoded(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "==")


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def refusal(kind: type[CgError], action: Callable[[], object]) -> str:
    """The text of the error that must be raised, which must not hold the secret or a key, nor must its traceback."""
    with pytest.raises(kind) as caught:
        action()
    assert type(caught.value) is kind
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert not [hidden for hidden in (SECRET, OLD[20:40], NEW[20:40]) if hidden in told]
    return str(caught.value)


@given(secret=st.text(), context=st.text(max_size=60))
@example(secret="\udce9", context=HERE)  # half a pair, as an undecodable byte of the environment becomes
def test_what_was_encrypted_for_a_place_is_read_there(secret: str, context: str) -> None:
    assert RING.decrypt(RING.encrypt(secret, context), context) == secret


@given(secret=st.text(st.characters(codec="utf-8", categories=["L", "N", "S"]), min_size=8))
def test_a_token_shows_nothing_of_the_secret(secret: str) -> None:
    token = RING.encrypt(secret, HERE)
    assert token.isascii()
    assert secret.encode() not in b"".join(decoded(part) for part in token.split("."))


def test_the_same_secret_never_gives_the_same_token() -> None:
    assert len({RING.encrypt(SECRET, HERE) for _ in range(100)}) == 100


def test_the_header_names_algorithm_key_and_place_and_nothing_else() -> None:
    header, key, *_ = RING.encrypt(SECRET, HERE).split(".")
    assert json.loads(decoded(header)) == {"alg": "dir", "enc": "A256CBC-HS512", "kid": kid(NEW), "ctx": HERE}
    assert key == ""


@pytest.mark.parametrize(
    "elsewhere",
    [
        "sites.refresh_token:6f1c1f6e-58c5-4f5e-9a0e-3f8f1a3f0b11",
        "sites.access_token:6f1c1f6e-58c5-4f5e-9a0e-3f8f1a3f0b12",
        HERE + " ",
        HERE.upper(),
        "",
    ],
)
def test_a_token_of_another_row_or_column_is_refused(elsewhere: str) -> None:
    token = RING.encrypt(SECRET, HERE)
    message = refusal(Permanent, lambda: RING.decrypt(token, elsewhere))
    assert message == (
        f"{elsewhere} cannot be decrypted: it was changed or copied from another place. Store the secret again."
    )


def test_a_token_cannot_be_made_to_fit_another_row_by_rewriting_its_header() -> None:
    header, rest = RING.encrypt(SECRET, HERE).split(".", 1)
    other = HERE.replace("access", "refresh")
    forged = encoded(decoded(header).replace(b"access", b"refresh")) + "." + rest
    refusal(Permanent, lambda: RING.decrypt(forged, other))


@given(data=st.data())
def test_a_token_with_any_character_changed_is_refused(data: st.DataObject) -> None:
    token = RING.encrypt(SECRET, HERE)
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters().filter(lambda character: character != token[at]))
    # ConfigError, a Permanent, when the change is in `kid`: a key is named that the ring does not have.
    with pytest.raises(Permanent):
        RING.decrypt(token[:at] + other + token[at + 1 :], HERE)


@given(segment=st.integers(2, 4), at=st.integers(0), mask=st.integers(1, 255))
def test_a_token_with_any_byte_changed_is_refused(segment: int, at: int, mask: int) -> None:
    parts = RING.encrypt(SECRET, HERE).split(".")
    data = bytearray(decoded(parts[segment]))
    data[at % len(data)] ^= mask
    parts[segment] = encoded(bytes(data))
    refusal(Permanent, lambda: RING.decrypt(".".join(parts), HERE))


@given(at=st.integers(0, 400), more=st.text(min_size=1, max_size=4))
def test_a_token_with_anything_added_is_refused(at: int, more: str) -> None:
    token = RING.encrypt(SECRET, HERE)
    with pytest.raises(Permanent):
        RING.decrypt(token[:at] + more + token[at:], HERE)


@given(length=st.integers(0, 300))
def test_a_token_cut_short_is_refused(length: int) -> None:
    token = RING.encrypt(SECRET, HERE)
    refusal(Permanent, lambda: RING.decrypt(token[: min(length, len(token) - 1)], HERE))


@given(text=st.text())
def test_what_is_no_token_is_refused_and_asks_for_rotation(text: str) -> None:
    refusal(Permanent, lambda: RING.decrypt(text, HERE))
    assert RING.needs_rotation(text)


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 100_000,
        b"[]",
        b"7",
        b'"alg enc"',
        b'{"alg": "dir"}',
        json.dumps({"alg": "dir", "enc": "A256CBC-HS512", "kid": ["a"], "ctx": HERE}).encode(),
        json.dumps({"alg": "dir", "enc": "A256GCM", "kid": kid(NEW), "ctx": HERE}).encode(),
        json.dumps({"alg": "dir", "enc": "A256CBC-HS512", "zip": "DEF", "kid": kid(NEW), "ctx": HERE}).encode(),
        json.dumps({"alg": "dir", "enc": "A256CBC-HS512", "kid": kid(NEW)}).encode(),
    ],
    ids=range(9),
)
def test_a_header_of_another_shape_is_refused(header: bytes) -> None:
    rest = RING.encrypt(SECRET, HERE).split(".", 1)[1]
    refusal(Permanent, lambda: RING.decrypt(f"{encoded(header)}.{rest}", HERE))


def test_a_token_of_the_same_key_without_a_place_is_refused_though_it_is_authentic() -> None:
    header = {"alg": "dir", "enc": "A256CBC-HS512", "kid": "b3"}
    token = jwe.encrypt_compact(header, SECRET, OctKey.import_key(RFC_KEY))
    refusal(Permanent, lambda: RFC_RING.decrypt(token, HERE))


def test_keys_are_rotated_without_a_moment_when_a_secret_cannot_be_read() -> None:
    before, during, after = (KeyRing.from_setting(text) for text in (OLD, f"{NEW},{OLD}", NEW))
    token = before.encrypt(SECRET, HERE)
    assert not before.needs_rotation(token)
    assert during.needs_rotation(token)
    rotated = during.encrypt(during.decrypt(token, HERE), HERE)
    assert json.loads(decoded(rotated.split(".")[0]))["kid"] == kid(NEW)
    assert not during.needs_rotation(rotated)
    assert after.decrypt(rotated, HERE) == SECRET


def test_a_token_whose_key_is_gone_names_the_key_and_the_place() -> None:
    token = KeyRing.from_setting(OLD).encrypt(SECRET, HERE)
    message = refusal(ConfigError, lambda: RING.decrypt(token, HERE))
    assert message == (
        f"the key '{kid(OLD)}' that encrypted {HERE} is not in CG_ENCRYPTION_KEYS; "
        "put it back behind the newest, or store the secret again."
    )


def test_another_key_under_the_same_name_is_refused() -> None:
    namesake = KeyRing.from_setting(f"{kid(NEW)}:{new_key().split(':')[1]}")
    refusal(Permanent, lambda: namesake.decrypt(RING.encrypt(SECRET, HERE), HERE))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "CG_ENCRYPTION_KEYS is empty: there is no key for the secrets: make one with `cg init`"),
        (" \n", "CG_ENCRYPTION_KEYS is empty: there is no key for the secrets: make one with `cg init`"),
        (NEW.split(":")[1], "CG_ENCRYPTION_KEYS: entry 1 is not kid:key with a key of 64 bytes in base64url; make one"),
        (f"{NEW},", "CG_ENCRYPTION_KEYS: entry 2 is not kid:key"),
        (f"{NEW};{OLD}", "CG_ENCRYPTION_KEYS: entry 1 is not kid:key"),
        (NEW[:-2], "CG_ENCRYPTION_KEYS: entry 1 is not kid:key"),
        (NEW + "AA", "CG_ENCRYPTION_KEYS: entry 1 is not kid:key"),
        (f"{OLD}, a:{NEW[9:-1]}+", "CG_ENCRYPTION_KEYS: entry 2 is not kid:key"),
        (NEW[8:], "CG_ENCRYPTION_KEYS: entry 1 is not kid:key"),
        (f"{NEW[9:]}:{NEW[9:]}", "CG_ENCRYPTION_KEYS: entry 1 is not kid:key"),
        (f"clé:{NEW[9:]}", "CG_ENCRYPTION_KEYS: entry 1 is not kid:key"),
        (f"a:{NEW[9:]},a:{OLD[9:]}", "CG_ENCRYPTION_KEYS: two keys are named a; give the newer one another name."),
    ],
    ids=range(12),
)
def test_an_unusable_ring_is_refused_with_the_place_and_the_remedy(text: str, problem: str) -> None:
    assert refusal(ConfigError, lambda: KeyRing.from_setting(text)).startswith(problem)


def test_blanks_around_entries_and_padded_keys_are_taken() -> None:
    ring = KeyRing.from_setting(f"  {NEW}== ,\n {OLD} ")
    assert ring.decrypt(RING.encrypt(SECRET, HERE), HERE) == SECRET


def test_a_ring_shows_the_names_of_its_keys_only() -> None:
    ring = KeyRing.from_setting(f"{NEW},{OLD}")
    assert repr(ring) == str(ring) == f"{ring}" == f"KeyRing({kid(NEW)}, {kid(OLD)})"


def test_new_keys_differ_in_name_and_value_and_make_a_ring() -> None:
    entries = [new_key() for _ in range(50)]
    assert len({kid(entry) for entry in entries}) == len({entry.split(":")[1] for entry in entries}) == 50
    assert {len(decoded(entry.split(":")[1])) for entry in entries} == {64}
    KeyRing.from_setting(",".join(entries))


def test_the_longest_secret_can_be_read_again_and_a_longer_one_is_never_encrypted() -> None:
    secret, length = SECRET, 48_000
    while True:
        try:
            token = RING.encrypt(secret + "x" * length, HERE)
        except Permanent:
            break
        assert RING.decrypt(token, HERE) == secret + "x" * length
        length += 97
    message = refusal(Permanent, lambda: RING.encrypt(SECRET * 5000, HERE))
    assert message == f"{HERE}: the value is too long for a secret; nothing was encrypted. Shorten it."
    refusal(Permanent, lambda: RING.encrypt(SECRET, "x" * 1000))


def test_the_library_computes_appendix_b_3_of_rfc_7518() -> None:
    model = jwe.default_registry.get_enc("A256CBC-HS512")
    iv = bytes.fromhex("1af38c2dc2b96ffdd86694092341bc04")
    plaintext = (
        b"A cipher system must not be required to be secret, and it must be able to fall into the hands of the enemy "
        b"without inconvenience"
    )
    aad = b"The second principle of Auguste Kerckhoffs"
    ciphertext = bytes.fromhex(
        "4affaaadb78c31c5da4b1b590d10ffbd3dd8d5d302423526912da037ecbcc7bd822c301dd67c373bccb584ad3e9279c2"
        "e6d12a1374b77f077553df829410446b36ebd97066296ae6427ea75c2e0846a11a09ccf5370dc80bfecbad28c73f09b3"
        "a3b75e662a2594410ae496b2e2e6609e31e6e02cc837f053d21f37ff4f51950bbe2638d09dd7a4930930806d0703b1f6"
    )
    tag = bytes.fromhex("4dd3b4c088a7f45c216839645b2012bf2e6269a8c56a816dbc1b267761955bc5")
    assert model.encrypt(plaintext, RFC_KEY, iv, aad) == (ciphertext, tag)
    assert model.decrypt(ciphertext, tag, RFC_KEY, iv, aad) == plaintext


def test_a_token_can_be_opened_by_the_letter_of_the_rfc() -> None:
    header, _, *parts = RFC_RING.encrypt(SECRET, HERE).split(".")
    iv, ciphertext, tag = map(decoded, parts)
    signed = header.encode() + iv + ciphertext + (8 * len(header)).to_bytes(8, "big")
    assert hmac.digest(RFC_KEY[:32], signed, hashlib.sha512)[:32] == tag
    cipher = Cipher(AES256(RFC_KEY[32:]), CBC(iv)).decryptor()
    padded = cipher.update(ciphertext) + cipher.finalize()
    assert padded[: -padded[-1]].decode() == SECRET


def test_a_token_that_jwcrypto_made_is_read() -> None:
    """By jwcrypto 1.6.1, which spells the header with blanks: the header is compared by meaning."""
    token = (
        "eyJhbGciOiAiZGlyIiwgImVuYyI6ICJBMjU2Q0JDLUhTNTEyIiwgImtpZCI6ICJiMyIsICJjdHgiOiAic2l0ZXMuYWNjZXNzX3Rva2VuOjEi"
        "fQ..nSEzHcbmF_dbBxU1Ux-dFA.2iLN242z7rkXI2yUsUc0qg.3AXH5WfF9NGPqg9MUjwTEknW5vokfBufvFzwn-onzm4"
    )
    assert RFC_RING.decrypt(token, "sites.access_token:1") == "päss"


def test_a_value_that_openssl_encrypted_in_the_legacy_way_is_read() -> None:
    assert read_legacy(LEGACY, LEGACY_KEY) == "päss word"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (LEGACY, bytes(32)),
        (LEGACY, LEGACY_KEY[:16]),
        (LEGACY[:-2], LEGACY_KEY),
        (LEGACY[:-2] + "0d", LEGACY_KEY),
        (LEGACY[2:], LEGACY_KEY),
        (LEGACY.replace(":", ""), LEGACY_KEY),
        (LEGACY.split(":", maxsplit=1)[0] + ":", LEGACY_KEY),
        (LEGACY.replace("2a", "zz"), LEGACY_KEY),
        ("", LEGACY_KEY),
    ],
    ids=range(9),
)
def test_a_legacy_value_that_does_not_open_is_refused(text: str, key: bytes) -> None:
    message = refusal(Permanent, lambda: read_legacy(text, key, "sites.access_token:1"))
    assert message == (
        "sites.access_token:1 is not iv:ciphertext in hex that this legacy key opens; "
        "check the key, or store the secret again."
    )
