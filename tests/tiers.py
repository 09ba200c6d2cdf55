"""The tiers of tests as data: which tests each has, and how many of them run at once."""

from __future__ import annotations

from dataclasses import dataclass

QUICK = "not slow and not soak"
SLOW = "slow and not soak"


@dataclass(frozen=True)
class Tier:
    """Tests that run in one pytest session.

    Attributes:
        paths: of the tests, relative to the checkout.
        marks: a pytest expression over the markers `slow` and `soak`.
        workers: parallel processes. More than cores are of use only where tests wait for something.
        options: further options of pytest.
    """

    name: str
    paths: tuple[str, ...]
    marks: str
    workers: int
    options: tuple[str, ...] = ()


UNIT = Tier("unit", ("tests/unit",), QUICK, workers=3)
GENERATED = Tier(
    "generated", ("tests/unit",), f"hypothesis and {QUICK}", workers=2, options=("--hypothesis-profile=thorough",)
)
SERVING = Tier("serving", ("tests/e2e", "tests/integration"), QUICK, workers=2)
SLOW_SERVING = Tier("slow", ("tests/unit", "tests/e2e", "tests/integration"), SLOW, workers=2)
SOAK = Tier("soak", ("tests",), "soak", workers=0)

RUNS: dict[str, tuple[Tier, ...]] = {
    "unit": (UNIT,),
    "test": (UNIT, SERVING),
    "rest": (SLOW_SERVING, GENERATED),
    "all": (UNIT, SERVING, SLOW_SERVING, GENERATED),
    "soak": (SOAK,),
}
"""What `python -m tests NAME` runs: `test` is what a change must not break, `rest` what `all` has beside it."""
