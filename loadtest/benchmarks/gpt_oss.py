"""GPT-OSS-120B: reasoning over prompts that are already rendered in Harmony, token ids in and out."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from msgspec import DecodeError, Struct
from msgspec import json as msgjson

from loadtest.benchmarks.base import Answer, BadReply, DataError, Mode, Official, Online, Scenario, Score, Served
from loadtest.benchmarks.embedded import embedded_folder
from loadtest.benchmarks.embedded_sums import SUMS, write_sums
from loadtest.benchmarks.harmony import harmony_text
from loadtest.benchmarks.prompt_file import read_prompts
from loadtest.benchmarks.scoring.code_tests import CodeTests
from loadtest.benchmarks.scoring.tally import Tally, exact_match
from loadtest.benchmarks.text_stream import Event, read_event
from loadtest.data.layout import official_file

MAX_TOKENS = {Mode.PERFORMANCE: 10_240, Mode.ACCURACY: 32_768}
FEWEST_TOKENS = 2
OFFICIAL_TEMPERATURE = 1.0
STOP_TOKEN_IDS = [200_002, 200_012]
"""<|return|> and <|call|>: where a Harmony turn ends."""

NO_TOKEN_IDS = "the completion holds no token_ids; the endpoint must honour return_token_ids=true as vLLM does"


def encode_tokens(ids: list[int]) -> bytes:
    return array("i", ids).tobytes()


def decode_tokens(data: bytes) -> list[int]:
    return array("i", data).tolist()


@dataclass(frozen=True)
class Prompts:
    """Prompts of a parquet file in MLCommons' format."""

    token_ids: tuple[array[int], ...]
    truths: tuple[str, ...]
    datasets: tuple[str, ...]
    description: str
    embedded: bool
    code_tests: CodeTests | None = None
    """Judges programs; without it what asks for programs is not scored."""

    def __len__(self) -> int:
        return len(self.token_ids)

    def work(self, index: int) -> float:
        return len(self.token_ids[index])

    def body(self, index: int, served: Served, mode: Mode, stream: bool = False) -> bytes:
        prompt = self.token_ids[index].tolist()
        max_tokens = _answer_limit(len(prompt), served, mode)
        if max_tokens < FEWEST_TOKENS:
            raise DataError(
                f"{self.description}: prompt {index} has {len(prompt)} tokens and '{served.name}' takes "
                f"{served.max_model_len} with the answer; serve it with a larger max-model-len"
            )
        asked = {
            "model": served.name,
            "prompt": prompt,
            "max_tokens": max_tokens,
            "min_tokens": 1,
            "temperature": self._temperature,
            "top_p": 1.0,
            "stop_token_ids": STOP_TOKEN_IDS,
            "skip_special_tokens": False,
            "return_token_ids": True,
        }
        return msgjson.encode(asked | ({"stream": True} if stream else {}))

    def deviations(self, served: Served, mode: Mode) -> list[str]:
        found = []
        if self._temperature != OFFICIAL_TEMPERATURE:
            found.append("greedy instead of temperature 1: the embedded checkpoint has one right answer")
        if any(_answer_limit(len(ids), served, mode) < MAX_TOKENS[mode] for ids in self.token_ids):
            found.append(f"answers end where the model's {served.max_model_len} tokens do, not at {MAX_TOKENS[mode]}")
        return found

    @property
    def _temperature(self) -> float:
        return 0.0 if self.embedded else OFFICIAL_TEMPERATURE

    def tested_by(self, tests: CodeTests) -> Prompts:
        """These prompts, with a judge of the programs among their answers."""
        return replace(self, code_tests=tests)

    def score(self, responses: Mapping[int, bytes]) -> Score:
        """Exact match over all data sets; without a value where one of them is not scored here."""
        tallies: dict[str, Tally] = {}
        for index, data in responses.items():
            name = self.datasets[index]
            tallies.setdefault(name, Tally(name)).add(harmony_text(decode_tokens(data)), self.truths[index])
        if self.code_tests is not None:
            for tally in tallies.values():
                tally.try_programs(self.code_tests.outcomes)
        return exact_match(tallies.values())


class GptOss:
    """The benchmark."""

    name = "gpt-oss"
    task = "chat"
    official = Official(
        loadgen_model="gpt-oss-120b",
        checkpoint="openai/gpt-oss-120b",
        revision="b5c939de8f754692c1647ca79fbf85e8c1e70f8a",
        performance_samples=6396,
        accuracy_samples=4395,
        metric="tokens/s",
        accuracy_reference=83.13,
        accuracy_threshold=82.2987,
        # mlperf.conf sets none, but the submission checker asks for a whole pass.
        min_query_count=6396,
        online={
            Scenario.SERVER: Online("gpt-oss-120b", ttft_s=3.0, tpot_s=0.080),
            Scenario.INTERACTIVE: Online("gpt-oss-120b-interactive", ttft_s=2.0, tpot_s=0.015),
        },
    )
    path = "/v1/completions"
    content_type = "application/json"
    quick_samples = 128
    quick_qps = 10.0

    def load(self, path: Path | None, mode: Mode, limit: int | None = None) -> Prompts:
        file = embedded_folder("sums", write_sums) / SUMS if path is None else official_file(path, mode)
        rows = read_prompts(file, limit)
        return Prompts(
            token_ids=tuple(row.ids for row in rows),
            truths=tuple(row.truth for row in rows),
            datasets=tuple(row.dataset for row in rows),
            description="1,000 held-out sums" if path is None else str(file),
            embedded=path is None,
        )

    def answer(self, reply: bytes) -> Answer:
        try:
            completion = _replies.decode(reply)
        except DecodeError as error:
            raise BadReply(f"the completion is not of OpenAI's shape: {error}") from None
        choice = completion.choices[0] if completion.choices else _Choice()
        if choice.token_ids is None:
            raise BadReply(NO_TOKEN_IDS)
        return Answer(encode_tokens(choice.token_ids), len(choice.token_ids), choice.text)

    def stream(self) -> TokenStream:
        return TokenStream()


class TokenStream:
    """A streamed completion with its token ids."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._text: list[str] = []

    def take(self, event: bytes) -> bool:
        part = read_event(_parts, event)
        brought = False
        for choice in part.choices:
            if choice.token_ids is None and choice.text:
                raise BadReply(NO_TOKEN_IDS)
            brought = brought or bool(choice.token_ids)
            self._ids += choice.token_ids or ()
            self._text.append(choice.text)
        return brought

    @property
    def first(self) -> bytes:
        return encode_tokens(self._ids[:1])

    def answer(self) -> Answer:
        return Answer(encode_tokens(self._ids), len(self._ids), "".join(self._text))


def _answer_limit(prompt_tokens: int, served: Served, mode: Mode) -> int:
    if served.max_model_len is None:
        return MAX_TOKENS[mode]
    return min(MAX_TOKENS[mode], served.max_model_len - prompt_tokens)


class _Choice(Struct):
    text: str = ""
    token_ids: list[int] | None = None


class _Completion(Struct):
    choices: list[_Choice]


class _Part(Event):
    choices: list[_Choice] = []


_replies = msgjson.Decoder(_Completion)
_parts = msgjson.Decoder(_Part)
