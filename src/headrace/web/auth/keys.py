"""Public keys as issuers publish them: which of them can be used, and with which signature each."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from jwt import PyJWK
from jwt.exceptions import PyJWTError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_KEYS: Final = 100
SMALLEST_RSA: Final = 2_048
FITTING: Final[Mapping[str, tuple[str, str | None]]] = MappingProxyType(
    {
        **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
        "ES256": ("EC", "P-256"),
        "ES384": ("EC", "P-384"),
        "ES512": ("EC", "P-521"),
        "EdDSA": ("OKP", "Ed25519"),
    }
)
"""The kind of key and the curve that a signature needs."""

KeySet: TypeAlias = "dict[tuple[str | None, str], PyJWK]"
"""Keys by id and signature: a token cannot choose another signature than that of the key."""


def read_keys(document: object, allowed: Sequence[str]) -> KeySet:
    """The keys of a JWK set that can check signatures; others are left out.

    Args:
        document: The set, as JSON.
        allowed: Signatures that are accepted; a key that names none gets the first that fits it.

    Raises:
        ValueError: It is no JWK set.
    """
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("the document is no key set")  # noqa: TRY004 - as for any other content
    found: KeySet = {}
    for entry in listed[:MOST_KEYS]:
        key = _usable(entry, allowed)
        if key is not None:
            found.setdefault((key.key_id, key.algorithm_name), key)
    return found


def find_key(keys: KeySet, kid: str | None, algorithm: str) -> PyJWK | None:
    """The key of this id and signature; without an id, the only one of this signature."""
    if kid is not None:
        return keys.get((kid, algorithm))
    fitting = [key for (_, own), key in keys.items() if own == algorithm]
    return fitting[0] if len(fitting) == 1 else None


def _usable(entry: Any, allowed: Sequence[str]) -> PyJWK | None:  # noqa: ANN401 - JSON
    # A private key that lies open is known to everybody.
    if not isinstance(entry, dict) or "d" in entry or not _is_for_signatures(entry):
        return None
    algorithm = next((name for name in _candidates(entry, allowed) if _fits(entry, name)), None)
    if algorithm is None:
        return None
    try:
        key = PyJWK(entry, algorithm)
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None
    is_short = entry["kty"] == "RSA" and key.key.key_size < SMALLEST_RSA
    return None if is_short else key


def _is_for_signatures(entry: dict[str, Any]) -> bool:
    operations = entry.get("key_ops", ["verify"])
    return (
        entry.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and isinstance(entry.get("kid"), str | None)
    )


def _candidates(entry: dict[str, Any], allowed: Sequence[str]) -> Sequence[str]:
    own = entry.get("alg")
    if own is None:
        return allowed
    return [own] if own in allowed else []


def _fits(entry: dict[str, Any], algorithm: str) -> bool:
    kind, curve = FITTING[algorithm]
    return entry.get("kty") == kind and (curve is None or entry.get("crv") == curve)
