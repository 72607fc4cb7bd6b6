"""Secrets at rest: each is a JWE in compact form, bound to the row and column that holds it.

`dir` with `A256CBC-HS512`: AES-256-CBC and HMAC-SHA-512 (RFC 7518, section 5.2.5). The protected header names the key
(`kid`) and the place (`ctx`, such as `sites.access_token:<uuid>`), so that a value copied to another row is refused.
To rotate, put a new key first in CG_ENCRYPTION_KEYS, encrypt again what `needs_rotation`, then drop the old key.

No secret and no key is in a repr or in the text of an error.
"""

import base64
import json
import re
import secrets
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from joserfc.registry import HeaderParameter

from cg_pipeline.errors import ConfigError, Permanent

SETTING = "CG_ENCRYPTION_KEYS"
KEY_BYTES = 64  # the first half authenticates, the second encrypts

# A kid is much shorter than a key: a key written in its place is refused and never shown.
_ENTRY = re.compile(r"([A-Za-z0-9._-]{1,32}):([A-Za-z0-9_-]{86})(?:==)?")
_ALGORITHMS = {"alg": "dir", "enc": "A256CBC-HS512"}
_REGISTRY = jwe.JWERegistry({"ctx": HeaderParameter("Row and column", "str", required=True)}, _ALGORITHMS.values())
_MAKE_ONE = "make one with: python -c 'from cg_pipeline.security.vault import new_key; print(new_key())'"


class KeyRing:
    """The keys of an installation, newest first: the first encrypts, each decrypts what it encrypted."""

    def __init__(self, keys: Mapping[str, OctKey]) -> None:
        self._keys = dict(keys)
        self._newest = next(iter(self._keys))

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._keys)})"

    @classmethod
    def from_setting(cls, text: str) -> "KeyRing":
        """The ring that CG_ENCRYPTION_KEYS spells: `kid:key` entries, newest first, separated by commas.

        A key is 64 random bytes in base64url. Raises ConfigError, which tells an unusable entry by its number.
        """
        if not text.strip():
            raise ConfigError(f"{SETTING} is empty: there is no key for the secrets: make one with `cg init`.")
        keys: dict[str, OctKey] = {}
        for number, entry in enumerate(text.split(","), start=1):
            if not (match := _ENTRY.fullmatch(entry.strip())):
                problem = f"entry {number} is not kid:key with a key of {KEY_BYTES} bytes in base64url"
                raise ConfigError(f"{SETTING}: {problem}; {_MAKE_ONE}")
            kid, key = match.groups()
            if kid in keys:
                raise ConfigError(f"{SETTING}: two keys are named {kid}; give the newer one another name.")
            keys[kid] = OctKey.import_key(base64.urlsafe_b64decode(key + "=="))
        return cls(keys)

    def encrypt(self, secret: str, context: str) -> str:
        """`secret` as a token that only `context`, its table, column and row, can read. Twice never gives the same.

        Raises Permanent when the secret (about 48 kB) or the context is too long to be read again.
        """
        plaintext = secret.encode("utf-8", "surrogatepass")
        header = _header(self._newest, context)
        token = jwe.encrypt_compact(header, plaintext, self._keys[self._newest], registry=_REGISTRY)
        if len(token) > _REGISTRY.max_ciphertext_length or token.index(".") > _REGISTRY.max_protected_header_length:
            raise Permanent(f"{context[:200]}: the value is too long for a secret; nothing was encrypted. Shorten it.")
        return token

    def decrypt(self, token: str, context: str) -> str:
        """The secret in `token`, if it was encrypted for this `context`.

        Raises ConfigError when its key is not in the ring, Permanent when it was changed or is another row's.
        """
        refusal = f"{context} cannot be decrypted: it was changed or copied from another place. Store the secret again."
        header = _claimed_header(token)
        kid = header.get("kid")
        if not isinstance(kid, str) or header != _header(kid, context):
            raise Permanent(refusal)
        if kid not in self._keys:
            problem = f"the key {kid[:32]!r} that encrypted {context} is not in {SETTING}"
            raise ConfigError(f"{problem}; put it back behind the newest, or store the secret again.")
        try:
            plaintext = jwe.decrypt_compact(token, self._keys[kid], registry=_REGISTRY).plaintext
            return (plaintext or b"").decode("utf-8", "surrogatepass")
        except (ValueError, JoseError):
            raise Permanent(refusal) from None

    def needs_rotation(self, token: str) -> bool:
        """Whether `token` does not name the newest key. Does not decrypt: a damaged token may answer either way."""
        return _claimed_header(token).get("kid") != self._newest


def new_key() -> str:
    """A fresh entry for CG_ENCRYPTION_KEYS, with a random name. Goes in front of the older ones."""
    key = base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode().rstrip("=")
    return f"{secrets.token_hex(4)}:{key}"


def read_legacy(text: str, key: bytes, context: str = "a legacy value") -> str:
    """The secret in `iv_hex:ciphertext_hex`, AES-256-CBC with a key of 32 bytes, as schema 1.1.28 kept it.

    That format cannot tell a changed value: a wrong key mostly raises Permanent, and sometimes gives nonsense.
    """
    try:
        iv, _, ciphertext = text.partition(":")
        cipher = Cipher(AES256(key), CBC(bytes.fromhex(iv))).decryptor()
        padded = cipher.update(bytes.fromhex(ciphertext)) + cipher.finalize()
        unpadder = PKCS7(AES256.block_size).unpadder()
        return (unpadder.update(padded) + unpadder.finalize()).decode()
    except ValueError:
        problem = f"{context} is not iv:ciphertext in hex that this legacy key opens"
        raise Permanent(f"{problem}; check the key, or store the secret again.") from None


def _header(kid: str, context: str) -> dict[str, Any]:
    return {**_ALGORITHMS, "kid": kid, "ctx": context}


def _claimed_header(token: str) -> dict[str, Any]:
    """The protected header before anything is verified; empty if there is none."""
    try:
        header = json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))
    except (ValueError, RecursionError):
        return {}
    return header if isinstance(header, dict) else {}
