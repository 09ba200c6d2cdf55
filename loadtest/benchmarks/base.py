"""What a benchmark is: the official constants, a data set, how a sample is asked and what its answer means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct


class Mode(StrEnum):
    """LoadGen's two kinds of run: how fast, and how right."""

    PERFORMANCE = "performance"
    ACCURACY = "accuracy"


class Scenario(StrEnum):
    """How samples arrive. Interactive is LoadGen's Server with tighter limits."""

    OFFLINE = "Offline"
    SERVER = "Server"
    INTERACTIVE = "Interactive"

    @property
    def loadgen(self) -> str:
        """Its name in LoadGen, which knows no Interactive and would silently take other values for it."""
        return Scenario.SERVER if self is Scenario.INTERACTIVE else self


class DataError(ValueError):
    """A data set that cannot be used. The message says what is wrong with which file, and what to do."""


class BadReply(ValueError):
    """A reply of status 200 that holds no usable answer."""


@dataclass(frozen=True)
class Online:
    """What a Server or Interactive test promises, at LoadGen's 99th percentile.

    Attributes:
        loadgen_model: the name that mlperf.conf knows these limits by.
        ttft_s, tpot_s, e2e_s: limits in seconds; None where the scenario sets none.
        settings: lines of user.conf that set what mlperf.conf does not know, without `model.Server.`.
        unofficial: what of this is ours and not MLCommons'.
    """

    loadgen_model: str
    ttft_s: float | None = None
    tpot_s: float | None = None
    e2e_s: float | None = None
    settings: Mapping[str, int] = field(default_factory=dict)
    unofficial: tuple[str, ...] = ()

    @property
    def token_latencies(self) -> bool:
        return self.ttft_s is not None


@dataclass(frozen=True)
class Accuracy:
    """A reference accuracy and the 99 % of it that are asked for, in the unit of the score; samples of a whole run."""

    samples: int
    reference: float
    threshold: float


@dataclass(frozen=True)
class Official:
    """A benchmark's constants, from MLCommons' mlperf.conf and submission checker (v6.1).

    Attributes:
        loadgen_model: the name that mlperf.conf knows; any other silently gets LoadGen's defaults.
        min_query_count: written to user.conf of Offline where mlperf.conf itself sets none.
        metric: `tokens/s` or `samples/s`: the figure that counts.
        online: the online scenarios that the benchmark knows.
        interactive: data set and accuracy of Interactive, where they are others.
    """

    loadgen_model: str
    checkpoint: str
    revision: str
    performance_samples: int
    accuracy_samples: int
    metric: str
    accuracy_reference: float
    accuracy_threshold: float
    min_query_count: int | None = None
    online: Mapping[Scenario, Online] = field(default_factory=dict)
    interactive: Accuracy | None = None

    def samples(self, mode: Mode, scenario: Scenario = Scenario.OFFLINE) -> int:
        if scenario is Scenario.INTERACTIVE and self.interactive is not None:
            return self.interactive.samples
        return self.performance_samples if mode is Mode.PERFORMANCE else self.accuracy_samples

    def accuracy(self, scenario: Scenario) -> Accuracy:
        if scenario is Scenario.INTERACTIVE and self.interactive is not None:
            return self.interactive
        return Accuracy(self.accuracy_samples, self.accuracy_reference, self.accuracy_threshold)


@dataclass(frozen=True)
class Served:
    """The model under test, as its endpoint names it; `max_model_len` in tokens, None where it does not say."""

    name: str
    max_model_len: int | None = None


class Answer(Struct, array_like=True):
    """One answer: the bytes that LoadGen gets, the number of generated tokens, and the text for people."""

    data: bytes
    tokens: int
    text: str


@dataclass(frozen=True)
class Score:
    """An accuracy. `value` is None where something that cannot be scored here is part of it; `detail` says what."""

    metric: str
    value: float | None
    unit: str
    detail: dict[str, Any] = field(default_factory=dict)


class Dataset(Protocol):
    """Loaded samples, numbered from 0 as LoadGen numbers them."""

    @property
    def description(self) -> str:
        """Where it comes from, for the summary."""

    @property
    def embedded(self) -> bool:
        """True for the small set that comes with the project."""

    def __len__(self) -> int: ...

    def work(self, index: int) -> float:
        """Relative size of a sample; only its order matters."""

    def body(self, index: int, served: Served, mode: Mode, stream: bool = False) -> bytes:
        """The HTTP request body that asks this sample, for one answer or a stream of events.

        Raises DataError where the model cannot take it.
        """

    def deviations(self, served: Served, mode: Mode) -> list[str]:
        """Where its requests differ from the official ones, for the summary."""

    def score(self, responses: Mapping[int, bytes]) -> Score:
        """Accuracy of the LoadGen responses (sample index -> bytes), as the official script computes it."""


class ReplyReader(Protocol):
    """Makes an answer of a whole reply."""

    def answer(self, reply: bytes) -> Answer:
        """Reads a reply of status 200. Raises BadReply."""


class AnswerStream(Protocol):
    """Puts one streamed answer together, event by event."""

    def take(self, event: bytes) -> bool:
        """Books an event's JSON; True where it brings a part of the answer. Raises BadReply."""

    @property
    def first(self) -> bytes:
        """LoadGen's bytes of the first token; b"" before it."""

    def answer(self) -> Answer:
        """The whole answer, after the last event. Raises BadReply where a part of it is missing."""


class Benchmark(ReplyReader, Protocol):
    """A kind of test. One file each; `loadtest.benchmarks.BENCHMARKS` names them."""

    name: str
    task: str
    official: Official
    path: str
    content_type: str
    quick_samples: int
    quick_qps: float
    """Samples/s of a quick online test where none is given: what the embedded fleet carries on two cores."""

    def load(self, path: Path | None, mode: Mode, limit: int | None = None) -> Dataset:
        """The data set at `path` (None: the embedded one), at most its first `limit` samples. Raises DataError."""

    def stream(self) -> AnswerStream:
        """A reader of one streamed answer."""
