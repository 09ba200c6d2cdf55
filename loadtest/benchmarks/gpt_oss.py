"""GPT-OSS-120B: reasoning over prompts that are already rendered in Harmony, token ids in and out."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from msgspec import DecodeError, Struct
from msgspec import json as msgjson

from loadtest.benchmarks.base import Answer, BadReply, DataError, Mode, Official, Online, Scenario, Score, Served
from loadtest.benchmarks.embedded import embedded_folder
from loadtest.benchmarks.embedded_sums import write_sums
from loadtest.benchmarks.harmony import harmony_text
from loadtest.benchmarks.parquet import read_columns
from loadtest.benchmarks.scoring.exact_match import answer_kind

MAX_TOKENS = {Mode.PERFORMANCE: 10_240, Mode.ACCURACY: 32_768}
FEWEST_TOKENS = 2
OFFICIAL_TEMPERATURE = 1.0
STOP_TOKEN_IDS = [200_002, 200_012]
"""<|return|> and <|call|>: where a Harmony turn ends."""

NO_TOKEN_IDS = "the completion holds no token_ids; the endpoint must honour return_token_ids=true as vLLM does"

COLUMNS = ["num_tokens", "text_input", "original_messages", "ground_truth", "dataset"]
TOKEN_COLUMNS = ["input_tokens", "tok_input"]


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

    def score(self, responses: Mapping[int, bytes]) -> Score:
        """Right answers per question, each data set's repeats weighing as one question (eval_mlperf_accuracy.py)."""
        asked, right = Counter[str](), Counter[str]()
        for index, data in responses.items():
            name = self.datasets[index]
            asked[name] += 1
            kind = answer_kind(name)
            if kind and kind.right(harmony_text(decode_tokens(data)), self.truths[index]):
                right[name] += 1
        detail: dict[str, Any] = {name: {"right": right[name], "asked": asked[name]} for name in sorted(asked)}
        unscored = [name for name in sorted(asked) if answer_kind(name) is None]
        if unscored or not asked:
            detail["not_scored_here"] = unscored
            return Score("exact match", None, "%", detail)
        repeats = {name: kind.repeats for name in asked if (kind := answer_kind(name))}
        questions = sum(asked[name] / repeats[name] for name in asked)
        answered = sum(right[name] / repeats[name] for name in asked)
        return Score("exact match", 100 * answered / questions, "%", detail)


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
        file = embedded_folder("sums", write_sums) / "sums_eval_ref.parquet" if path is None else path
        table = read_columns(file, [*COLUMNS, *TOKEN_COLUMNS], optional=TOKEN_COLUMNS).slice(0, limit)
        column = next((name for name in TOKEN_COLUMNS if name in table.column_names), None)
        if column is None:
            raise DataError(f"{file}: no column {' or '.join(TOKEN_COLUMNS)} with the prompts' token ids")
        prompts = tuple(array("i", ids) for ids in table.column(column).to_pylist())
        if empty := [number for number, ids in enumerate(prompts) if not ids]:
            raise DataError(f"{file}: prompt {empty[0]} is empty; every row needs the token ids of a rendered prompt")
        return Prompts(
            token_ids=prompts,
            truths=tuple("" if pd.isna(truth) else str(truth) for truth in table.column("ground_truth").to_pylist()),
            datasets=tuple(str(name).lower() for name in table.column("dataset").to_pylist()),
            description="1,000 held-out sums" if path is None else str(path),
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
        try:
            part = _parts.decode(event)
        except DecodeError as error:
            raise BadReply(f"an event of the stream is not of OpenAI's shape: {error}") from None
        if part.error is not None:
            raise BadReply(f"the stream ended with an error: {part.error}")
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


class _Part(Struct):
    choices: list[_Choice] = []
    error: Any = None


_replies = msgjson.Decoder(_Completion)
_parts = msgjson.Decoder(_Part)
