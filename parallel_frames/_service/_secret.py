"""The API key, taken out of what a service sends: some servers and proxies repeat what they were sent."""

from __future__ import annotations

from typing import Final

HIDDEN: Final = b"[the API key]"
LEAST_KEY: Final = 8  # anything shorter may well be a word of an answer
NEVER: Final = 0  # a byte that no JSON text holds


class Secret:
    """A key that nothing quoted or stored may hold."""

    def __init__(self, api_key: str | None) -> None:
        key = (api_key or "").encode()
        self._key = key if len(key) >= LEAST_KEY else b""
        self._telltale: int | None = None

    def hide(self, data: bytes) -> bytes:
        """Return what came as it may be quoted and stored."""
        return data.replace(self._key, HIDDEN) if self._key else data

    def telltale(self, sample: bytes) -> int:
        """Return a byte without which there is no key in a text: of the key's the one that is rarest in a sample.

        One byte is found, or found missing, ten times as fast as the key.
        """
        if self._telltale is None:
            self._telltale = min(self._key, key=sample.count, default=NEVER)
        return self._telltale
