"""How the model endpoint is reached: the real `openai` client over an HTTP transport that keeps strangers in bounds.

What goes out carries the headers named here and no others: the client would add whatever organisation, project and
headers it finds in the environment, and those are for somebody else.  What comes back is bounded, not compressed (a
compressed body unfolds without bounds), and never a redirect that is followed.

Imported where a request is made, and only there: this module needs the extra [codegen].
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from functools import cache
from typing import Final
from urllib.request import getproxies, proxy_bypass

import httpx2
from openai import AsyncOpenAI

from dicem_shared.errors import ConfigError

from .config import EndpointConfig
from .trouble import NotAStream, OutOfBounds

MAX_BODY_BYTES: Final = 8_000_000
"""of one reply, framing and all: some 300 bytes a token"""
SHOWN: Final = 300
"""bytes kept of a body that is no stream, for the message"""
_KEPT: Final = frozenset({"host", "accept", "content-type", "content-length", "connection", "transfer-encoding"})
_NO_KEY: Final = "none"
"""What the client is given where there is no key; it never leaves."""


def make_client(config: EndpointConfig, key: str | None) -> AsyncOpenAI:
    """The client, for one event loop; close it.

    :raises ConfigError: the environment names a proxy that cannot be used
    """
    try:
        inner = httpx2.AsyncHTTPTransport(verify=_authorities(), proxy=_proxy(config))
    except (ValueError, ImportError) as cause:  # a scheme that is not known, or one that needs another package
        raise ConfigError("the environment's proxy cannot be used", got=str(cause)[:120]) from None
    http = httpx2.AsyncClient(
        transport=_Bounded(inner, key), timeout=config.timeout_s, follow_redirects=False, trust_env=False
    )
    return AsyncOpenAI(
        base_url=config.base_url, api_key=key or _NO_KEY, admin_api_key="", organization="", project="",
        webhook_secret="", max_retries=0, timeout=config.timeout_s, http_client=http,
    )  # fmt: skip


@cache
def _authorities() -> ssl.SSLContext:
    """Whom TLS trusts; reading that takes longer than a request on this machine."""
    return httpx2.create_ssl_context()


class _Bounded(httpx2.AsyncBaseTransport):
    """See the module's text."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, key: str | None) -> None:
        self._inner, self._key = inner, key

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        for name in [name for name in request.headers if name.lower() not in _KEPT]:
            del request.headers[name]
        request.headers["User-Agent"] = "dicem"
        request.headers["Accept-Encoding"] = "identity"
        if self._key is not None:
            request.headers["Authorization"] = f"Bearer {self._key}"
        response = await self._inner.handle_async_request(request)
        body = _Body(response.stream)
        response.stream = body
        try:
            await _check_kind(response, body)
        except BaseException:
            await body.aclose()
            raise
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Body(httpx2.AsyncByteStream):
    """A body that is given up once it is over the limit."""

    def __init__(self, inner: object) -> None:
        assert isinstance(inner, httpx2.AsyncByteStream)
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MAX_BODY_BYTES
        async for chunk in self._inner:
            left -= len(chunk)
            if left < 0:
                raise OutOfBounds(f"a reply of more than {MAX_BODY_BYTES:,} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _check_kind(response: httpx2.Response, body: _Body) -> None:
    """:raises OutOfBounds, NotAStream: it is compressed, or a success that is no stream of events"""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise OutOfBounds(f"a compressed reply ({encoding[:20]!a}), which was not asked for")
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if 200 <= response.status_code < 300 and kind != "text/event-stream":
        start = b""
        async for chunk in body:
            start += chunk
            if len(start) >= SHOWN:
                break
        raise NotAStream(kind[:60], start[:SHOWN])


def _proxy(config: EndpointConfig) -> str | None:
    """What the environment says, except for this machine."""
    url = config.url
    if config.is_local or proxy_bypass(url.hostname or ""):
        return None
    found = getproxies()
    proxy = found.get(url.scheme) or found.get("all")
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"
