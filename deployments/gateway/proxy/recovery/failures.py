"""How an attempt on one replica can fail."""

from __future__ import annotations

from deployments.gateway.proxy.recovery.outlier_ejection import Failure


class ReplicaFailed(Exception):
    """The replica gave no usable answer, and the client has seen no byte of it: another may be tried."""

    def __init__(self, message: str, failure: Failure) -> None:
        super().__init__(message)
        self.failure = failure


class StreamCut(Exception):
    """The replica's answer ended before its end, after the client had seen bytes of it. `failure` says how."""

    def __init__(self, message: str, failure: Failure = Failure.LOST) -> None:
        super().__init__(message)
        self.failure = failure
