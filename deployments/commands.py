"""The commands of this package, for `python -m deployments.gateway` and for `mixfleet`."""

from __future__ import annotations

from cluster.command_line import Command

SERVE = "Serve"

GATEWAY = Command(
    "gateway",
    "deployments.gateway.standalone:gateway",
    SERVE,
    "deployments.gateway",
    "Serve a fleet's API in front of OpenAI-compatible servers that run already, without Ray.\n\n"
    "Prints `listening on http://HOST:PORT` once it accepts requests. SIGTERM ends it after the requests in flight.\n\n"
    "For example: mixfleet gateway --fleet my-fleet.yaml --replica h200=http://10.0.0.5:8000 "
    "--replica mi350x=http://10.0.0.6:8000",
)

COMMANDS = (GATEWAY,)
