"""The last line of `serve run`: the address on which the gateway answers.

Serve's own line names the port of its proxies, which do not run here.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time

import ray
from ray import serve
from ray.serve.schema import ApplicationStatus

from cluster.fleet import Fleet
from cluster.names import APPLICATION
from cluster.open_fleet import open_to_all
from deployments.gateway_endpoint import gateway_address, gets_ready

SERVE_LOGGER = "ray.serve"
SERVE_READY = "is ready"
"""In Serve's own line, after which ours is printed."""

POLL_S = 0.5
SERVE_LINE_WAIT_S = 10.0
"""From a running application to Serve's own line, should that ever read otherwise."""
ENDED = (ApplicationStatus.DEPLOY_FAILED, ApplicationStatus.DELETING)


def start_ready_notice(fleet: Fleet) -> threading.Thread:
    """Prints the line from a daemon thread of this driver process, once the fleet runs, and before it a warning where
    the fleet is open to all. Prints nothing if it fails."""
    notice = _Notice(fleet)
    logging.getLogger(SERVE_LOGGER).addFilter(notice.watch)
    thread = threading.Thread(target=notice.run, name="ready-notice", daemon=True)
    thread.start()
    return thread


def message(fleet: Fleet, url: str, is_ready: bool) -> str:
    """The line."""
    models = ", ".join(sorted(model.name for model in fleet.models))
    if is_ready:
        return f"mixfleet: fleet '{fleet.name}' answers on {url}/v1 (models {models})"
    return f"mixfleet: fleet '{fleet.name}' runs, but {url} does not answer from this machine (models {models})"


class _Notice:
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._serve_line = threading.Event()

    def watch(self, record: logging.LogRecord) -> bool:
        """A filter of Serve's logger that lets everything pass, and sees when Serve reports the application ready."""
        if SERVE_READY in str(record.msg):
            self._serve_line.set()
        return True

    def run(self) -> None:
        # Ctrl-C and a start that fails end Serve and Ray under this thread; Serve then says what there is to say.
        with contextlib.suppress(Exception):
            if self._runs():
                self._serve_line.wait(SERVE_LINE_WAIT_S)
                time.sleep(POLL_S)  # the filter comes before the line itself is written
                url = gateway_address()
                if warning := open_to_all(self._fleet):
                    print(warning, file=sys.stderr)
                print(message(self._fleet, url, gets_ready(url)), file=sys.stderr, flush=True)
        logging.getLogger(SERVE_LOGGER).removeFilter(self.watch)

    def _runs(self) -> bool:
        """Waits for the application; False where it will not run."""
        seen = False
        while ray.is_initialized():
            application = serve.status().applications.get(APPLICATION)
            if application is not None and application.status is ApplicationStatus.RUNNING:
                return True
            if (seen and application is None) or (application is not None and application.status in ENDED):
                return False
            seen = application is not None
            time.sleep(POLL_S)
        return False
