"""The refusal of what would occupy an engine's server for too long."""

from __future__ import annotations

from deployments.gateway.errors.error_object import ApiError


def too_complex(reason: str, param: str | None = None) -> ApiError:
    """400 with `reason`, which says what there is too much of and what to send instead."""
    message = f"{reason}; its engine would stand still for all others"
    return ApiError(400, message, param=param, code="body_too_complex")
