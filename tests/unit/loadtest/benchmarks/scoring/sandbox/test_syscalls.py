"""The filter's decisions, by running its instructions as the kernel would."""

from __future__ import annotations

import errno
import re
import struct
from functools import cache
from pathlib import Path

import pytest

from loadtest.benchmarks.scoring.sandbox.syscalls import CLONE_THREAD, PROCESSORS, UNIFIED, Processor, filter_program
from tests.support.skips import skip

ALLOW, KILL = 0x7FFF0000, 0x80000000
REFUSE, MISSING = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
REFUSED = (
    *("socket", "socketpair", "execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev"),
    *(
        "kcmp",
        "unshare",
        "setns",
        "mount",
        "umount2",
        "pivot_root",
        "chroot",
        "add_key",
        "request_key",
        "keyctl",
        "bpf",
    ),
    *("perf_event_open", "userfaultfd", "memfd_create", "shmget", "semget", "msgget", "mq_open", "name_to_handle_at"),
    *("open_by_handle_at", "fanotify_init", "inotify_init", "inotify_init1", "io_setup", "personality", "syslog"),
    *("quotactl", "modify_ldt", "mbind", "set_mempolicy", "migrate_pages", "move_pages"),
)


@cache
def instructions(of: Processor) -> tuple[tuple[int, ...], ...]:
    return tuple(struct.iter_unpack("=HBBI", filter_program(of)))


def decide(of: Processor, number: int, argument: int = 0, architecture: int | None = None) -> int:
    """Steps through classic BPF over struct seccomp_data."""
    audit = of.audit if architecture is None else architecture
    call = struct.pack("=iIQ6Q", number, audit, 0, argument, 0, 0, 0, 0, 0)
    program = instructions(of)
    at = loaded = 0
    while True:
        code, if_true, if_false, operand = program[at]
        at += 1
        if code == 0x20:
            (loaded,) = struct.unpack_from("=I", call, operand)
        elif code == 0x06:
            return int(operand)
        else:
            holds = {0x15: loaded == operand, 0x35: loaded >= operand, 0x45: bool(loaded & operand)}[code]
            at += if_true if holds else if_false


@pytest.fixture(params=sorted(PROCESSORS))
def of(request: pytest.FixtureRequest) -> Processor:
    return PROCESSORS[request.param]


def test_what_is_refused(of: Processor) -> None:
    assert {decide(of, number) for number in of.refused} == {REFUSE}
    assert len(set(of.refused)) == len(of.refused)
    assert decide(of, of.clone, argument=0x01200011) == REFUSE
    assert [decide(of, of.prctl, argument=option) for option in (1, 4)] == [REFUSE, REFUSE]


def test_what_is_allowed(of: Processor) -> None:
    assert decide(of, of.clone, argument=CLONE_THREAD | 0x100) == ALLOW
    assert [decide(of, of.prctl, argument=option) for option in (0, 2, 3, 15)] == [ALLOW] * 4
    others = set(range(UNIFIED)) - {*of.refused, of.clone, of.prctl}
    assert {decide(of, number) for number in others} == {ALLOW}


def test_newer_calls_and_other_architectures(of: Processor) -> None:
    assert {decide(of, number) for number in (UNIFIED, 425, 435, 442, 0x40000000 | 41)} == {MISSING}
    assert decide(of, 0, architecture=0x40000003) == KILL


@pytest.mark.parametrize(
    ("machine", "header", "lacks"),
    [
        ("x86_64", "x86_64-linux-gnu/asm/unistd_64.h", set()),
        ("aarch64", "asm-generic/unistd.h", {"fork", "vfork", "inotify_init", "modify_ldt"}),
    ],
)
def test_the_numbers_are_the_kernels_own(machine: str, header: str, lacks: set[str]) -> None:
    file = Path("/usr/include") / header
    if not file.exists():
        skip("kernel-headers")
    numbers = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+)\s+(\d+)", file.read_text())}
    of = PROCESSORS[machine]
    assert {numbers[name] for name in REFUSED if name not in lacks} == set(of.refused)
    assert (numbers["clone"], numbers["prctl"], numbers["seccomp"]) == (of.clone, of.prctl, of.seccomp)
    assert numbers["pidfd_send_signal"] == UNIFIED
