"""Linux calls that Python has no function for."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Any

NEW_NAMESPACES = 0x10000000 | 0x00020000 | 0x20000000 | 0x40000000 | 0x08000000 | 0x04000000
"""CLONE_NEWUSER, NEWNS (mounts), NEWPID, NEWNET, NEWIPC, NEWUTS."""

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x8, 0x1000, 0x4000, 0x40000
MNT_DETACH = 2

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 1, 4, 24, 38, 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
HIGHEST_CAPABILITY = 63

_SYS_MOUNT_SETATTR = 442
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_READ_ONLY_NOSUID_NODEV = 0x1 | 0x2 | 0x4
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


def unshare(flags: int) -> None:
    """Gives this process namespaces of its own; that of processes counts for its children. Raises OSError."""
    _checked("unshare", _libc.unshare(ctypes.c_int(flags)))


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Raises OSError."""
    texts = [os.fsencode(text) for text in (source, target, kind, options)]
    result = _libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3] or None)
    _checked(f"mount {source or kind} on {target}", result)


def make_read_only(tree: str) -> None:
    """A mount and all mounts below it: read-only, without devices or set-user-id programs. Needs Linux 5.12."""
    attributes = _MountAttributes(attr_set=_READ_ONLY_NOSUID_NODEV)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    arguments = (_AT_FDCWD, ctypes.c_char_p(os.fsencode(tree)), _AT_RECURSIVE, ctypes.byref(attributes), size)
    _checked("mount_setattr", _libc.syscall(ctypes.c_long(_SYS_MOUNT_SETATTR), *arguments))


def enter_root(tree: str) -> None:
    """Makes a mount the root of all paths, and lets go of the old root. Raises OSError."""
    os.chdir(tree)
    _checked("pivot_root", _libc.pivot_root(b".", b"."))
    _checked("umount2", _libc.umount2(b".", MNT_DETACH))
    os.chdir("/")


def prctl(option: int, *arguments: int) -> None:
    """Raises OSError."""
    padded = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    _checked(f"prctl {option}", _libc.prctl(ctypes.c_int(option), *padded))


def forgo_capabilities() -> None:
    """No program that this process starts can have any. Needs CAP_SETPCAP. Raises OSError."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    for capability in range(HIGHEST_CAPABILITY + 1):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno != errno.EINVAL:  # EINVAL: this kernel has no such capability
                raise
            break


def drop_capabilities() -> None:
    """This process has none any more, and neither a set-user-id program nor anything else gives it one."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _checked("capset", _libc.capset(header, (ctypes.c_uint32 * 6)()))
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def syscall(number: int, *arguments: Any) -> int:
    """Result of a system call. Raises OSError."""
    result = int(_libc.syscall(ctypes.c_long(number), *arguments))
    _checked(f"system call {number}", result)
    return result


def _checked(what: str, result: int) -> None:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
