"""TLS between gateways, replicas and engines: each engine shows a certificate of the fleet's authority and name."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from deployments.engine.access.paths import on_this_node

if TYPE_CHECKING:
    from cluster.fleet import EngineTls


class TlsError(ValueError):
    """A file of `engine_tls` that cannot be used. The message is for the person who runs the fleet."""


class _NamedContext(ssl.SSLContext):
    """Demands one name of every server, whichever address it has."""

    name: str

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """What event loops call for each connection, with the host of its URL."""
        return super().wrap_bio(incoming, outgoing, server_side, self.name, session)


def client_context(tls: EngineTls | None) -> ssl.SSLContext | bool:
    """What clients of engines check, as aiohttp takes it: the authority, and `tls.name` or the engine's address.

    Raises TlsError.
    """
    if tls is None:
        return True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if tls.name:
        context = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
        context.name = tls.name
    try:
        context.load_verify_locations(on_this_node(tls.authority))
    except OSError as error:
        raise _unusable("authority", tls.authority, error) from None
    return context


def server_context(tls: EngineTls) -> ssl.SSLContext:
    """What an engine shows that is no vLLM. Raises TlsError."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(on_this_node(tls.certificate), on_this_node(tls.key))
    except OSError as error:
        raise _unusable("certificate` and `key", f"{tls.certificate}, {tls.key}", error) from None
    return context


def _unusable(setting: str, file: str, error: OSError) -> TlsError:
    reason = "not what it should be, in PEM form" if isinstance(error, ssl.SSLError) else error.strerror
    return TlsError(f"`{setting}` of engine_tls, {file}: {reason}; it must be readable on every node of the fleet")
