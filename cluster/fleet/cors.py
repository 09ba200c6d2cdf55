"""Which web pages of other origins may read the gateway's answers (CORS)."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from cluster.fleet.base import Strict

ANY = "*"
ORIGIN = re.compile(r"https?://(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::[1-9][0-9]{0,4})?")


def _origin(value: str) -> str:
    if value != ANY and not ORIGIN.fullmatch(value):
        raise ValueError(
            "not an origin as browsers send it: write the scheme, the host in small letters and a port that is not "
            "the scheme's own, such as https://chat.example.com or http://localhost:3000; or * for all"
        )
    return value


Origin = Annotated[str, AfterValidator(_origin)]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]+$|^\*$", max_length=100)]


class Cors(Strict):
    """Origins whose pages browsers let read answers. Without it they let none."""

    allowed_origins: list[Origin] = Field(min_length=1, description="https://chat.example.com, ...; * is all")
    allowed_headers: list[HeaderName] = Field([ANY], description="headers that pages may send; * is all")
    allow_credentials: bool = Field(False, description="cookies for a proxy in front; keys need none; not with *")
    max_age_s: int = Field(600, ge=0, le=86_400, description="for which browsers need not ask again")

    @model_validator(mode="after")
    def _credentials_are_for_named_origins(self) -> Self:
        if self.allow_credentials and ANY in self.allowed_origins:
            raise ValueError("`allow_credentials` lets pages act as their visitor: name the origins instead of *")
        return self
