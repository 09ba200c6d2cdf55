"""Which system calls a jailed program may make: a seccomp filter in classic BPF."""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from dataclasses import dataclass

from loadtest.benchmarks.scoring.sandbox import kernel


@dataclass(frozen=True)
class Processor:
    """Numbers of one architecture: AUDIT_ARCH, the calls that are refused, clone, prctl and seccomp."""

    audit: int
    refused: tuple[int, ...]
    clone: int
    prctl: int
    seccomp: int


# In both lists: sockets; execve, fork; ptrace, process_vm_readv, process_vm_writev, kcmp; unshare, setns, mount,
# umount2, pivot_root, chroot; keyrings; bpf, perf_event_open, userfaultfd; memfd_create, System V and POSIX IPC;
# file handles; fanotify, inotify; io_setup; personality, syslog, quotactl; NUMA placement.
PROCESSORS = {
    "x86_64": Processor(
        audit=0xC000003E,
        refused=(
            *(41, 53, 59, 322, 57, 58, 101, 310, 311, 312, 272, 308, 165, 166, 155, 161, 248, 249, 250, 321, 298, 323),
            *(319, 29, 64, 68, 240, 303, 304, 300, 253, 294, 206, 135, 103, 179, 154, 237, 238, 256, 279),
        ),
        clone=56,
        prctl=157,
        seccomp=317,
    ),
    "aarch64": Processor(
        audit=0xC00000B7,
        refused=(
            *(198, 199, 221, 281, 117, 270, 271, 272, 97, 268, 40, 39, 41, 51, 217, 218, 219, 280, 241, 282),
            *(279, 194, 190, 186, 180, 264, 265, 262, 26, 0, 92, 116, 60, 235, 237, 238, 239),
        ),
        clone=220,
        prctl=167,
        seccomp=277,
    ),
}
"""From the kernel's asm/unistd.h."""

UNIFIED = 424
"""From here on every architecture has the same numbers. They came after Linux 5.0: to a jailed program they are not
there, as on an older kernel, and the C library falls back to older calls."""

FIXED = (kernel.PR_SET_PDEATHSIG, kernel.PR_SET_DUMPABLE)
"""What prctl may not change any more: that a jail ends when its keeper dies, and leaves no core."""

CLONE_THREAD = 0x00010000
_NUMBER, _ARCHITECTURE, _ARGUMENT = 0, 4, 16
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _REFUSE, _MISSING = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
_SET_MODE_FILTER = 1


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


def processor() -> Processor:
    """This machine's. Raises OSError where it is none that the filter knows."""
    machine = platform.machine()
    if machine not in PROCESSORS or struct.calcsize("P") != 8:
        raise OSError(errno.ENOSYS, f"no system call filter for {machine}; it knows {', '.join(PROCESSORS)}")
    return PROCESSORS[machine]


def filter_program(of: Processor) -> bytes:
    """Instructions of struct sock_filter: code, jumps where true and false, operand. Jumps count from the next one."""
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, of.audit),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, UNIFIED),  # also x86_64's x32 calls, which start far above
        (_RETURN, 0, 0, _MISSING),
    ]
    for number in of.refused:
        lines += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE)]
    # A new process is refused, a thread is not.
    lines += [(_EQUAL, 0, 4, of.clone), (_LOAD, 0, 0, _ARGUMENT), (_ANY_BIT, 0, 1, CLONE_THREAD)]
    lines += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)]
    lines += [(_EQUAL, 0, 1 + 2 * len(FIXED), of.prctl), (_LOAD, 0, 0, _ARGUMENT)]
    for option in FIXED:
        lines += [(_EQUAL, 0, 1, option), (_RETURN, 0, 0, _REFUSE)]
    lines.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def refuse_dangerous_calls() -> None:
    """From now on, in all threads of this process, for good. Needs no-new-privileges. Raises OSError."""
    found = processor()
    instructions = ctypes.create_string_buffer(filter_program(found))
    program = _Program((len(instructions) - 1) // 8, ctypes.cast(instructions, ctypes.c_void_p))
    kernel.syscall(found.seccomp, _SET_MODE_FILTER, 0, ctypes.byref(program))
