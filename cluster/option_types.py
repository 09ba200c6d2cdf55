"""Types of options that several commands have: checked numbers, enums by their values, options that exclude others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import Annotated, Any

from cyclopts import ArgumentCollection, Group, Parameter, Token

Number = int | float


def _checked(holds: Callable[[Number], bool], requirement: str) -> Callable[[Any, Any], None]:
    """A validator of a number, or of each number of a list."""

    def validate(_: Any, value: Any) -> None:
        numbers = value if isinstance(value, list | tuple) else [value]
        if not all(holds(number) for number in numbers if number is not None):
            raise ValueError(requirement)

    return validate


def _whole(_: Any, tokens: Sequence[Token]) -> int:
    """`2.5` is refused; cyclopts itself would cut it to 2."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f"'{tokens[0].value}' is not a whole number") from None


INTEGER = Parameter(converter=_whole)
COUNT = Parameter(converter=_whole, validator=_checked(lambda number: number >= 1, "must be 1 or more"))
INDEX = Parameter(converter=_whole, validator=_checked(lambda number: number >= 0, "must be 0 or more"))
POSITIVE = Parameter(validator=_checked(lambda number: 0 < number < float("inf"), "must be a positive number"))
NOT_NEGATIVE = Parameter(validator=_checked(lambda number: 0 <= number < float("inf"), "must be 0 or more"))
SHARE = Parameter(validator=_checked(lambda number: 0 < number <= 1, "must be above 0 and at most 1"))
FLAG = Parameter(show_default=False)
Json = Annotated[bool, Parameter(name="--json", help="Print JSON for scripts."), FLAG]
LIST = Parameter(consume_multiple=(1, None), show_default=lambda values: " ".join(map(str, values)))
"""An option that takes one value or more, as `--load 0.8 1.2`."""


def _value_of(member: Enum | None) -> str | None:
    return None if member is None else str(member.value)


def by_value(kind: type[Enum]) -> Parameter:
    """An enum's member by its value; cyclopts itself goes by the names in the code."""

    def convert(_: Any, tokens: Sequence[Token]) -> Enum:
        return kind(tokens[0].value)

    return Parameter(converter=convert, choices=tuple(str(member.value) for member in kind), show_default=_value_of)


def one_of(names: Iterable[str]) -> Parameter:
    """One of the names that a registry has."""
    return Parameter(choices=tuple(names))


def mutually_exclusive(title: str, order: int = 0) -> Group:
    """A group of options of which at most one may be given."""

    def validate(arguments: ArgumentCollection) -> None:
        names = [argument.name for argument in arguments.filter_by(value_set=True)]
        if len(names) > 1:
            raise ValueError(f"{names[1]}: not allowed with {names[0]}")

    return Group(title, validator=validate, sort_key=order)
