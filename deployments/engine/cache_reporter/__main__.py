"""`python -m deployments.engine.cache_reporter ...`: reports one engine's cache until standard input ends.

Its owner holds the pipe open: where the owner is gone, however it ended, so is the reporter. The first line of standard
output is a JSON object with its addresses.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
import threading
from dataclasses import asdict
from pathlib import Path

import uvloop

from cluster.fleet_secrets import FleetSecrets, SecretsError, read_secrets
from deployments.encrypted_sockets import SocketKeys
from deployments.engine.cache_reporter.cache_log import CacheLog
from deployments.engine.cache_reporter.publisher import Publisher
from deployments.kv_cache.keying import prefix_keys
from deployments.kv_cache.report_subscriber import PURPOSE
from deployments.kv_cache.subscriber import Subscriber


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deployments.engine.cache_reporter", description=__doc__)
    parser.add_argument("--events", required=True, help="the engine's socket of KV events")
    parser.add_argument("--replays", required=True, help="its socket that repeats them")
    parser.add_argument("--host", required=True, help="the address to listen on for gateways")
    parser.add_argument("--model", required=True, help="the name that gateways know the model by")
    parser.add_argument("--secrets-file", type=Path, required=True, help="a file with the fleet's secrets")
    parser.add_argument("--most-blocks", type=int, help="blocks that the engine's cache has")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="cache reporter: %(levelname)s %(name)s: %(message)s")
    try:
        secrets = read_secrets(arguments.secrets_file)
    except SecretsError as error:
        print(error, file=sys.stderr)
        return 2
    threading.Thread(target=_end_with_owner, daemon=True).start()
    uvloop.run(report(arguments, secrets))
    return 0


async def report(arguments: argparse.Namespace, secrets: FleetSecrets) -> None:
    """Follows the engine and publishes what it holds, until it is cancelled."""
    log = CacheLog(prefix_keys(secrets), arguments.model, arguments.most_blocks)
    publisher = Publisher(log, SocketKeys.of(secrets, PURPOSE), arguments.host)
    try:
        print(json.dumps(asdict(publisher.addresses)), flush=True)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(publisher.run())
            tasks.create_task(Subscriber(arguments.events, arguments.replays, log).run())
    finally:
        publisher.close()


def _end_with_owner() -> None:
    # Not by the event loop: it must work also where that hangs.
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
