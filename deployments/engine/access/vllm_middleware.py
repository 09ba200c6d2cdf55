"""The class that vLLM's `--middleware` names. Only vLLM's server imports this module.

Its keys are read when it is imported, so that a server without any ends at its start; an ASGI application that fails
later would answer every request with 500 and never end.
"""

from __future__ import annotations

from deployments.engine.access.asgi import Application, EngineAccess
from deployments.engine.access.keys import EngineKeys

KEYS = EngineKeys.of_environment()


class VllmAccess(EngineAccess):
    """vLLM makes it with the application alone."""

    def __init__(self, app: Application) -> None:
        super().__init__(app, KEYS)
