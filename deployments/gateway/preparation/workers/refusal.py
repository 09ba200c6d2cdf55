"""An ApiError on its way out of a preparation worker."""

from __future__ import annotations

import msgspec

from deployments.gateway.errors.error_object import ApiError

MOST_MESSAGE = 1000
"""Characters of a message. It may quote the client."""


class Refusal(msgspec.Struct):
    """An ApiError as JSON and MessagePack can hold it."""

    status: int
    message: str
    param: str | None = None
    code: str | None = None

    @classmethod
    def of(cls, error: ApiError) -> Refusal:
        return cls(error.status, error.message[:MOST_MESSAGE], error.param, error.code)

    def error(self) -> ApiError:
        return ApiError(self.status, self.message, param=self.param, code=self.code)
