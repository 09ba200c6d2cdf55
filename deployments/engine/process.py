"""One engine process under supervision: started on a free port, waited for, watched, ended with all its children."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp

import deployments
from cluster.addresses import http_address
from cluster.environment_files import EnvironmentFileError, read_values
from deployments.engine.access.client import engine_session, is_own_engine
from deployments.engine.access.keys import SECRETS_VARIABLE, EngineKeys
from deployments.engine.access.tls import client_context
from deployments.engine.backend import EngineSpec, backend
from deployments.log_files import append_to, read_from

POLL_S = 0.25
LOG_TAIL_LINES = 30
HEALTH_TIMEOUT = aiohttp.ClientTimeout(total=10)
PROJECT_ROOT = Path(deployments.__file__).resolve().parent.parent


class EngineError(RuntimeError):
    """An engine that did not start or did not stay up. The message ends with its last log lines."""


def free_port(host: str) -> int:
    """A port that the OS chose. Another process may take it first: the engine then fails to start, and is retried."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


class EngineProcess:
    """A running engine. `incarnation` is new at every start, so that nothing known of an old process is believed."""

    def __init__(self, spec: EngineSpec, log: Path, host: str = "127.0.0.1", grace_s: float = 15) -> None:
        """Raises SecretsError or TlsError where the fleet's files cannot be used on this node."""
        self.keys = EngineKeys(Path(spec.secrets_file)) if spec.secrets_file else None
        self._tls = client_context(spec.tls)
        self.spec, self.log, self.host, self.grace_s = spec, log, host, grace_s
        self.backend = backend(spec.backend)
        self.incarnation = ""
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self, timeout_s: float) -> None:
        """Starts the engine and returns once it answers GET /health. Raises EngineError with its log's end."""
        port = free_port(self.host)
        self.url = http_address(self.host, port, "https" if self.spec.tls else "http")
        self.incarnation = uuid.uuid4().hex
        self.log.parent.mkdir(parents=True, exist_ok=True)
        command = self.backend.command(self.spec, self.host, port)
        guard = [sys.executable, "-m", "deployments.engine.guard", "--grace", str(self.grace_s), "--", *command]
        with append_to(self.log) as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220  # returns at once; uvloop's own needs the main thread
                guard,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                start_new_session=True,
            )
        try:
            await self._until_ready(timeout_s)
        except BaseException:
            await self.stop()
            raise

    def _environment(self) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if k not in self.spec.removed_environment}
        path = [*map(str, [*self.backend.python_path(), PROJECT_ROOT]), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {
            **inherited,
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": os.pathsep.join(path),
            **self.backend.environment(self.host),
            **self.spec.environment,
            **self._environment_of_files(),
            SECRETS_VARIABLE: str(Path(self.spec.secrets_file).expanduser()) if self.keys else "",
        }

    def _environment_of_files(self) -> dict[str, str]:
        try:
            return read_values(self.spec.environment_files)
        except EnvironmentFileError as error:
            raise EngineError(f"the engine of {self.spec.names[0]} is not started: {error}") from None

    async def _until_ready(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        keyless = engine_session(None, HEALTH_TIMEOUT, tls=self._tls)
        async with keyless, self.session(HEALTH_TIMEOUT) as session:
            while not (await self._is_own(keyless) and await self.healthy(session)):
                if (code := self.exit_code) is not None:
                    raise EngineError(f"the engine of {self.spec.names[0]} ended with code {code}{self.log_tail()}")
                if time.monotonic() > deadline:
                    raise EngineError(
                        f"the engine of {self.spec.names[0]} was not ready within {timeout_s:.0f} s; "
                        f"raise `readiness_timeout_s` if it only needs longer{self.log_tail()}"
                    )
                await asyncio.sleep(POLL_S)

    def session(self, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientSession:
        """A session with this engine, or with any other of its fleet."""
        return engine_session(self.keys, timeout, tls=self._tls)

    async def healthy(self, session: aiohttp.ClientSession) -> bool:
        """Whether the engine answers its health route with 200 right now. Raises EngineError for a certificate that
        clients refuse."""
        with self._answering():
            async with session.get(f"{self.url}/health") as answer:
                return answer.status == 200
        return False

    async def _is_own(self, keyless: aiohttp.ClientSession) -> bool:
        """Whether it is the engine that answers, and not another server that took its port first, which must not see
        the key: the command line shows the port long before the engine listens."""
        if self.keys is None:
            return True
        with self._answering():
            return await is_own_engine(keyless, self.keys, self.url)
        return False

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Leaves the block where nobody answers. Raises EngineError for a certificate that clients refuse."""
        try:
            yield
        except aiohttp.ClientConnectorCertificateError as error:
            assert self.spec.tls is not None
            raise EngineError(
                f"the engine of {self.spec.names[0]} shows a certificate that clients refuse: "
                f"{error.certificate_error}; `authority` of engine_tls must have signed it, for the name "
                f"{self.spec.tls.name or self.host}"
            ) from None
        except (aiohttp.ClientError, TimeoutError):
            pass

    @property
    def exit_code(self) -> int | None:
        """The engine's exit code once it has ended (128 + n after signal n); None while it runs or never ran."""
        return self._process.poll() if self._process else None

    async def stop(self) -> None:
        """Ends the engine and every process it started. Safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin:
            process.stdin.close()
        try:
            await asyncio.to_thread(process.wait, 2 * self.grace_s + 5)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)

    def log_tail(self) -> str:
        """The end of the engine's log, as a paragraph to append to a message."""
        try:
            with read_from(self.log) as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - 64 * 1024))
                lines = deque(log.read().decode(errors="replace").splitlines(), maxlen=LOG_TAIL_LINES)
        except OSError:
            lines = deque()
        return f"; the last lines of {self.log}:\n" + "\n".join(lines)
