"""How an attempt on one replica can fail."""

from __future__ import annotations


class ReplicaFailed(Exception):
    """The replica gave no usable answer, and the client has seen no byte of it: another may be tried.

    `reached`: whether it may have seen the request. `suspect`: whether others should be spared it for a while.
    """

    def __init__(self, message: str, *, reached: bool = True, suspect: bool = True) -> None:
        super().__init__(message)
        self.reached, self.suspect = reached, suspect


class StreamCut(Exception):
    """The replica's answer ended before its end, after the client had seen bytes of it."""
