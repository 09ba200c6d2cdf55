"""Answers for paths that no route has."""

from __future__ import annotations

from collections.abc import Sequence

from deployments.gateway.api.route import Route
from deployments.gateway.errors.error_object import ApiError, shortened

UNOFFERED = (
    "/v1/embeddings",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/audio/speech",
    "/v1/moderations",
    "/v1/files",
    "/v1/batches",
    "/v1/fine_tuning/jobs",
    "/v1/assistants",
    "/v1/threads",
    "/v1/vector_stores",
    "/v1/realtime",
    "/v1/rerank",
    "/v1/score",
    "/v1/messages",
)
"""Routes of OpenAI's API and its relatives that no task here offers: named, so that the answer can say just that."""


def refusal(method: str, path: str, routes: Sequence[Route]) -> ApiError:
    """405 with `Allow` where the path exists for another method, else 404."""
    methods = {route.method for route in routes if _fits(path, route.path)}
    shown = shortened(path)
    if methods:
        allowed = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
        return ApiError(405, f"{shown} takes {allowed}, not {method}", headers={"Allow": allowed})
    if path.startswith(UNOFFERED):
        return ApiError(404, f"no model of this fleet offers {shown}", code="route_not_offered")
    known = ", ".join(sorted(route.path for route in routes if route.method == "POST"))
    return ApiError(404, f"no route {method} {shown}; there are {known}")


def _fits(path: str, pattern: str) -> bool:
    prefix, variable, _ = pattern.partition("{")
    return path.startswith(prefix) and len(path) > len(prefix) if variable else path == prefix
