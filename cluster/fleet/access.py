"""Who may ask, and by which keys and certificates."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from cluster.fleet.base import AbsolutePath, ModelName, Name, Strict


def _sha256(value: str) -> str:
    if len(value) != 64 or set(value.lower()) - set("0123456789abcdef"):
        raise ValueError(
            "not a SHA-256 digest, which has 64 hex digits; `mixfleet key` makes a key and its digest. "
            "Write the digest here and never the key, or name a `key_file`"
        )
    return value.lower()


def _hostname(value: str) -> str:
    if not HOSTNAME.fullmatch(value):
        raise ValueError(f"'{value}' is no DNS name that a certificate can have; write one like engines.mixfleet")
    return value


LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
HOSTNAME = re.compile(rf"(?=.{{1,253}}$){LABEL}(\.{LABEL})*")
Hostname = Annotated[str, AfterValidator(_hostname)]


class Limits(Strict):
    """What a tenant may use in a minute or at once, over all gateways together; None is no limit."""

    requests_per_minute: int | None = Field(None, gt=0)
    tokens_per_minute: int | None = Field(None, gt=0, description="prompt and answer together")
    audio_seconds_per_minute: float | None = Field(None, gt=0, allow_inf_nan=False)
    concurrent_requests: int | None = Field(None, gt=0, description="at engines at once; others wait; n counts as n")


class KeyHolder(Strict):
    """Someone with keys of their own.

    A fleet travels: into Ray, to `show`, into results. So it holds the keys' digests, or names a file of keys on the
    gateway's machine, and there is no place in it for a key.
    """

    name: Name
    key_sha256: list[Annotated[str, AfterValidator(_sha256)]] = []
    key_file: AbsolutePath | None = Field(None, description="a key per line; read where and when a gateway starts")

    @model_validator(mode="after")
    def _has_keys(self) -> Self:
        if not self.key_sha256 and self.key_file is None:
            raise ValueError("a tenant or operator without keys can ask nothing; give it `key_sha256` or a `key_file`")
        return self


class Tenant(KeyHolder):
    """Someone who may ask models."""

    priority: int = Field(0, ge=-100, le=100, description="each step doubles the tenant's share where it is contended")
    limits: Limits = Limits()
    models: list[ModelName] | None = Field(None, min_length=1, description="names or aliases; None is all models")


class Operator(KeyHolder):
    """Someone who may read what concerns all tenants: /metrics, /debug, /fleet with addresses."""


class EngineTls(Strict):
    """Files in PEM form on each node, for a fleet whose nodes talk over a network that others can read."""

    certificate: AbsolutePath = Field(description="of the node's engines, signed by the authority")
    key: AbsolutePath = Field(description="of the certificate, without a passphrase")
    authority: AbsolutePath = Field(description="the certificate of the authority that has signed it")
    name: Hostname | None = Field(
        None, description="a DNS name in the certificate of every engine; None: the address that the engine listens on"
    )

    @property
    def files(self) -> list[str]:
        return [self.certificate, self.key, self.authority]
