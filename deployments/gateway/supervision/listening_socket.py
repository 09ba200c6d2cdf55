"""The sockets that a gateway accepts connections from."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack

BACKLOG = 4096
NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""Of an address whose family this machine has switched off."""


def listening_sockets(host: str, port: int) -> list[socket.socket]:
    """A listening socket for each address of `host`, all on one port; 0 lets the OS choose it.

    `host` is an address of IPv4 or IPv6, in brackets or not, or a name. Raises OSError where an address is taken, or
    where none of them is this machine's.
    """
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    sockets: list[socket.socket] = []
    with ExitStack() as opened:
        for family, address in addresses:
            try:
                made = _listening(family, (address[0], port, *address[2:]))
            except OSError as error:
                if error.errno not in NOT_HERE or (not sockets and (family, address) == addresses[-1]):
                    raise
                continue
            sockets.append(opened.enter_context(made))
            port = made.getsockname()[1]
        opened.pop_all()
    return sockets


def _listening(family: int, address: tuple[object, ...]) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        made.listen(BACKLOG)
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    return made
