"""The gateway: where it listens, and its limits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, IPvAnyNetwork, field_validator

from cluster.fleet.base import Strict
from cluster.fleet.cors import Cors


class TimeLimits(Strict):
    """Within which an engine's answer must come, in seconds. None: as of all routes."""

    first_byte_s: float | None = Field(None, gt=0, description="from the sending of the request to the first byte")
    between_bytes_s: float | None = Field(None, gt=0, description="longest silence after that")
    whole_s: float | None = Field(None, gt=0, description="from the sending of the request to the last byte")


class RouteTimeLimits(Strict):
    """Limits for one route's streams, and for its answers that come as one object."""

    stream: TimeLimits = TimeLimits()
    whole: TimeLimits = TimeLimits()


class AnswerTimeLimits(Strict):
    """How long engines may take for their answers, by kind of answer; `routes` has exceptions by path."""

    stream: TimeLimits = TimeLimits(first_byte_s=300, between_bytes_s=300, whole_s=7200)
    whole: TimeLimits = TimeLimits(first_byte_s=600, between_bytes_s=60, whole_s=600)
    routes: dict[str, RouteTimeLimits] = Field({}, description="/v1/chat/completions: {whole: {whole_s: 60}}, ...")

    @field_validator("routes")
    @classmethod
    def _paths(cls, routes: dict[str, RouteTimeLimits]) -> dict[str, RouteTimeLimits]:
        if wrong := [path for path in routes if not path.startswith("/")]:
            raise ValueError(f"'{wrong[0]}' is no path: write one like /v1/chat/completions")
        return routes


AccessLog = Annotated[
    Literal["off", "errors", "all"], BeforeValidator(lambda value: "off" if value is False else value)
]
"""YAML takes `off` for false."""


class Gateway(Strict):
    """The HTTP face. Sizes in bytes, times in seconds."""

    host: str = Field("127.0.0.1", description="to listen on; `node`: the address by which Ray knows each node")
    nodes: Literal["head", "all"] | dict[str, str] = Field(
        "head", description="of Ray that have a gateway: head, all, or those with these labels"
    )
    port: int = Field(8000, ge=0, le=65_535, description="0 lets the OS choose")
    processes: int = Field(1, ge=1, le=64, description="gateways that share the port on one node")
    policy: str = Field("seconds", description="how a replica is chosen: seconds, or one of the field's own rules")
    max_queue: int = Field(1000, ge=0, description="requests that may wait per model; more get 429")
    queue_timeout_s: float = Field(120, gt=0)
    overcommit: float = Field(2.0, ge=1, description="requests sent to a replica at once, per slot of it")
    attempts: int = Field(3, ge=1, description="replicas that a request may reach, over retries and resumes")
    retry_share: float = Field(0.2, ge=0, le=1, description="of a process's active requests, that may be retries")
    resume: bool = Field(True, description="continue a stream on another replica where its own fails")
    connect_timeout_s: float = Field(5, gt=0)
    read_timeout_s: float | None = Field(None, gt=0, description="longest silence of a replica; caps `time_limits`")
    time_limits: AnswerTimeLimits = AnswerTimeLimits()
    comment_after_s: float = Field(15, gt=0, description="silence of a stream after which it gets an SSE comment")
    body_timeout_s: float = Field(120, gt=0, description="within which a request's body must have come")
    keepalive_s: float = Field(75, ge=65)
    drain_timeout_s: float = Field(600, ge=0, description="within which what is under way may end before it stops")
    max_json_bytes: int = Field(32 * 2**20, ge=1024)
    media_domains: list[str] = Field([], description="hosts that media may be fetched from; others: data: only")
    media_networks: list[IPvAnyNetwork] = Field([], description="not public, and yet media may be fetched from there")
    unknown_fields: Literal["drop", "refuse"] = Field("drop", description="fields of a request that engines lack")
    max_upload_bytes: int = Field(25 * 2**20, ge=1024, description="one audio file")
    max_bytes_in_flight: int = Field(2**30, ge=2**20, description="of all requests in one process; more get 503")
    max_answer_bytes: int = Field(64 * 2**20, ge=2**20, description="one whole answer of an engine, or one event")
    write_timeout_s: float = Field(60, gt=0, description="after which a client that does not read is cut off")
    access_log: AccessLog = Field("off", description="requests that get a line on standard error")
    cors: Cors | None = Field(None, description="web pages of other origins that may read answers; none by default")
    trusted_proxies: list[IPvAnyNetwork] = Field(
        [], description="networks of proxies whose X-Forwarded-For or Forwarded names the client"
    )

    @field_validator("nodes")
    @classmethod
    def _has_labels(cls, nodes: str | dict[str, str]) -> str | dict[str, str]:
        if nodes == {}:
            raise ValueError("no label: write head, all, or labels like {role: gateway}")
        return nodes
