"""A gateway over a fixed list of replicas: the server as it is, with a file in the registry's place."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import uvloop

from cluster.fleet import Fleet
from deployments.gateway.server import GatewayServer
from deployments.replica_info import ReplicaInfo


async def main(file: str) -> None:
    content = json.loads(Path(file).read_text())  # noqa: ASYNC240  # before anything is served
    server = GatewayServer(Fleet.model_validate(content["fleet"]))
    await server.start()
    server.update([ReplicaInfo.from_dict(replica) for replica in content["replicas"]])
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()
    await server.drain()
    await server.stop()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
