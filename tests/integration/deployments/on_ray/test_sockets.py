"""Every socket that a fleet on Ray listens on: its own on loopback, and Ray's, which docs/security.md lists."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import pytest
import requests

from deployments.engine.process import PROJECT_ROOT, free_port
from deployments.registry import endpoint
from deployments.run import serving
from tests.support.process_table import descendants, of_session, with_arguments
from tests.support.processes import fake_fleet, fake_pool
from tests.support.sockets import Listening, ZmqStranger, http_answer, listening

PUBLISHERS = {"cache_reports", "registry_news", "bookings"}
ANSWERERS = {"cache_snapshots", "registry_reports"}
OWN = {"gateway", "engine"} | PUBLISHERS | ANSWERERS

GRPC_GREETING = b"\x00\x00\x18\x04"
"""An HTTP/2 server's settings: what Ray's servers send to anyone who connects."""

CALLS = (
    *("/ray.rpc.NodeInfoGcsService/GetAllNodeInfo", "/ray.rpc.InternalKVGcsService/InternalKVKeys"),
    *("/ray.rpc.NodeManagerService/GetNodeStats", "/ray.rpc.ObjectManagerService/Pull"),
    *("/ray.rpc.CoreWorkerService/PushTask", "/ray.serve.ASGIService/HandleRequest"),
    *("/ray.rpc.LogService/ListLogs", "/ray.rpc.ReporterService/GetTraceback"),
)
"""A call of each service; a server that knows none of them would answer UNIMPLEMENTED to all."""


@dataclass(frozen=True)
class Ours:
    """A program of Ray. `metrics`: one of its sockets tells its metrics to anyone."""

    command: str
    metrics: bool = False


RAY = {
    "gcs_server": Ours(r"gcs/gcs_server"),
    "raylet": Ours(r"raylet/raylet"),
    "DashboardAgent": Ours(r"^ray::DashboardAgent", metrics=True),
    # Their ports are fixed: where another Ray of the machine has them, they listen nowhere.
    "dashboard": Ours(r"dashboard/dashboard\.py", metrics=True),
    "monitor": Ours(r"_private/monitor\.py|autoscaler/v2/monitor\.py", metrics=True),
    "RuntimeEnvAgent": Ours(r"^ray::RuntimeEnvAgent"),
    "workers": Ours(r"^ray::(Serve|IDLE|_)"),
    "driver": Ours(r"pytest"),
}


@dataclass(frozen=True)
class Fleet:
    url: str
    replica: dict[str, str]
    others: set[int]
    """Processes of other tests, which share an engine over several files."""

    def own_ports(self) -> dict[int, str]:
        registry = endpoint.find()
        assert registry
        urls = {"gateway": self.url, "engine": self.replica["url"]}
        urls |= {key: self.replica[key] for key in ("cache_reports", "cache_snapshots")}
        urls |= {"registry_reports": registry.reports, "registry_news": registry.news}
        ports = {urlsplit(url).port or 0: name for name, url in urls.items()}
        processes = listening(with_arguments("deployments.gateway.process") & of_session())
        own = {one.pid for one in processes if one.port == urlsplit(self.url).port}  # others may be of another test's
        return {one.port: "bookings" for one in processes if one.pid in own} | ports

    def sockets(self) -> set[Listening]:
        """Also of the gateway's supervisor and its processes, which have left this process."""
        gateway = urlsplit(self.url).port
        detached = {one.pid for one in listening(of_session()) if one.port == gateway}
        return listening({*descendants(), *detached, os.getpid()} - self.others)

    def of_ray(self) -> list[Listening]:
        return [one for one in self.sockets() if one.port not in self.own_ports()]


def until_ready(url: str, timeout_s: float = 60) -> None:
    """A gateway that has just started hears of its replicas within a second or two."""
    deadline = time.monotonic() + timeout_s
    while requests.get(f"{url}/ready", timeout=10).status_code != 200:
        assert time.monotonic() < deadline, "no replica is known"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def fleet(small_ray: set[int]) -> Iterator[Fleet]:
    made = fake_fleet(fake_pool(decode_step_s=0.001), port=free_port("127.0.0.1"), processes=2)
    with serving(made) as url:
        until_ready(url)
        (model,) = requests.get(f"{url}/fleet", timeout=10).json()["models"]
        (replica,) = model["replicas"]
        yield Fleet(url, replica, small_ray)


def program(one: Listening) -> str:
    """Its name in `RAY`; '' where it has none."""
    return next((name for name, ours in RAY.items() if re.search(ours.command, one.command())), "")


def reachable(one: Listening) -> str:
    return "127.0.0.1" if one.host in ("::", "0.0.0.0") else one.host


def test_a_fleet_on_one_node_listens_on_loopback_alone(fleet: Fleet) -> None:
    ours = [one for one in fleet.sockets() if one.port in fleet.own_ports()]
    assert {fleet.own_ports()[one.port] for one in ours} == OWN
    assert {one.host for one in ours} == {"127.0.0.1"}


def test_no_zeromq_socket_gives_a_stranger_anything(fleet: Fleet) -> None:
    """Bookings and the registry's news are published once a second at least."""
    ports = fleet.own_ports()
    publishers = [port for port, name in ports.items() if name in PUBLISHERS]
    answerers = [port for port, name in ports.items() if name in ANSWERERS]

    def receives_nothing(publisher: int, answerer: int) -> None:
        stranger = ZmqStranger(f"tcp://127.0.0.1:{publisher}", f"tcp://127.0.0.1:{answerer}")
        try:
            assert not stranger.events(1.5), ports[publisher]
            assert not stranger.replay(0.5), ports[answerer]
        finally:
            stranger.close()

    with ThreadPoolExecutor() as threads:
        list(threads.map(receives_nothing, *zip(*product(publishers, answerers), strict=True)))


def test_every_other_socket_is_of_a_program_that_the_documentation_lists(fleet: Fleet) -> None:
    others = fleet.of_ray()
    assert {one.command() for one in others if not program(one)} == set()
    assert {program(one) for one in others} >= RAY.keys() - {"dashboard", "monitor"}
    page = (Path(PROJECT_ROOT) / "docs" / "security.md").read_text()
    assert all(f"`{name}`" in page for name in RAY)


def test_rays_sockets_refuse_whoever_has_no_token(fleet: Fleet) -> None:
    """Except those that tell metrics: a firewall must close them."""
    open_to_all = set()
    for one in fleet.of_ray():
        answer = http_answer(reachable(one), one.port, "GET", "/", timeout_s=1)
        if answer.startswith(GRPC_GREETING):
            codes = statuses(one)
            assert grpc.StatusCode.UNAUTHENTICATED in codes, (one.command(), codes)
            assert grpc.StatusCode.OK not in codes, one.command()
        elif b" 200 " in answer.partition(b"\r\n")[0]:
            open_to_all.add(program(one))
        else:
            assert b" 401 " in answer.partition(b"\r\n")[0], (one.command(), answer[:100])
    assert open_to_all <= {name for name, ours in RAY.items() if ours.metrics}


def statuses(one: Listening) -> set[grpc.StatusCode]:
    """What a stranger's calls end with."""
    found = set()
    with grpc.insecure_channel(f"{reachable(one)}:{one.port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
        for call in CALLS:
            try:
                channel.unary_unary(call)(b"", timeout=5)
                found.add(grpc.StatusCode.OK)
            except grpc.RpcError as error:
                found.add(error.code())  # type: ignore[attr-defined]
    return found
