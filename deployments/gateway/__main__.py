"""`python -m deployments.gateway`: see `mixfleet gateway`."""

from __future__ import annotations

import sys

from cluster.command_line import run, single
from deployments.commands import GATEWAY
from deployments.gateway.standalone import gateway

if __name__ == "__main__":
    sys.exit(run(single(GATEWAY, gateway), sys.argv[1:]))
