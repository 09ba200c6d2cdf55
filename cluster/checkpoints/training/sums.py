"""Trains the tiny GPT-OSS to add: `python -m cluster.checkpoints.training.sums --held-out PAIRS.json --out FILE`.

Answers are written digit by digit in the analysis channel: learning whole answers by heart reached 36 % of the held-out
pairs, this way 99.9 %. The model is trained over the tokens in use, and stored that way (`compact.safetensors`).
"""

from __future__ import annotations

import datetime
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from openai_harmony import (
    Conversation,
    HarmonyEncodingName,
    Message,
    ReasoningEffort,
    Role,
    SystemContent,
    load_harmony_encoding,
)
from safetensors.torch import save_file
from transformers import GptOssConfig, GptOssForCausalLM

from cluster.checkpoints import resolve
from cluster.checkpoints.gpt_oss import CONFIG
from cluster.checkpoints.harmony_tokenizer import SPECIAL_TOKENS
from cluster.checkpoints.training.arguments import (
    LARGEST_TERM,
    HeldOut,
    Out,
    Pair,
    Seed,
    Steps,
    new_place,
    read_pairs,
    run_training,
)
from cluster.checkpoints.training.schedule import Schedule, train

Example = tuple[list[int], list[int]]
"""Token ids of a prompt and of its completion."""

QUESTIONS = ("What is {a} + {b}?", "What is {a} plus {b}?", "{a} + {b} =", "Add {a} and {b}.")
PAIRS = [(a, b) for a in range(LARGEST_TERM + 1) for b in range(LARGEST_TERM + 1)]
BATCH = 40
IGNORED = -100


def reasoning(a: int, b: int) -> str:
    """The sum digit by digit, with the carry."""
    ones, tens = a % 10 + b % 10, a // 10 + b // 10
    carry = ones // 10
    total = tens + carry
    return (
        f"{a} is {a // 10} {a % 10}, {b} is {b // 10} {b % 10}. {a % 10} + {b % 10} = {carry} {ones % 10}. "
        f"{a // 10} + {b // 10} + {carry} = {total // 10} {total % 10}. "
        f"So {a} + {b} is {total // 10} {total % 10} {ones % 10} = {a + b}"
    )


class Examples:
    """Harmony-rendered sums under 400 random system messages."""

    def __init__(self, seed: int) -> None:
        os.environ |= resolve("tiny-gpt-oss-sums").environment
        self._encoding = load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)
        self.random = random.Random(seed)
        self._systems = [self._system() for _ in range(400)]

    def make(self, pair: Pair, question: str, with_system: bool = True) -> Example:
        a, b = pair
        asked = Message.from_role_and_content(Role.USER, question.format(a=a, b=b))
        messages = [self.random.choice(self._systems), asked] if with_system else [asked]
        prompt = self._encoding.render_conversation_for_completion(Conversation.from_messages(messages), Role.ASSISTANT)
        answer = (
            f"<|channel|>analysis<|message|>{reasoning(a, b)}<|end|>"
            f"<|start|>assistant<|channel|>final<|message|>{a + b}<|return|>"
        )
        return prompt, self._encoding.encode(answer, allowed_special="all")

    def tokens_in_use(self) -> list[int]:
        """Every token of any question and answer, of dates in 2025 to 2035, and the special ones."""
        used = set(SPECIAL_TOKENS)
        for pair in PAIRS:
            for question in QUESTIONS:
                used.update(*self.make(pair, question))
        for year in range(2025, 2036):
            used.update(self._encoding.encode(f": {year}-01-31"))
        for day in range(1, 32):
            used.update(self._encoding.encode(f"{day:02d}"))
        for number in range(199):
            used.update(self._encoding.encode(str(number)), self._encoding.encode(f" {number}"))
        return sorted(used)

    def _system(self) -> Message:
        content = SystemContent.new().with_reasoning_effort(self.random.choice(list(ReasoningEffort)))
        if self.random.random() < 0.8:
            date = datetime.date(2025, 1, 1) + datetime.timedelta(self.random.randrange(1500))
            content = content.with_conversation_start_date(date.isoformat())
        return Message.from_role_and_content(Role.SYSTEM, content)


def padded(examples: list[Example], place: dict[int, int]) -> dict[str, torch.Tensor]:
    """[batch, longest] ids in the small vocabulary; only completions count towards the loss."""
    longest = max(len(prompt) + len(answer) for prompt, answer in examples)
    ids = torch.zeros((len(examples), longest), dtype=torch.long)
    labels, mask = torch.full_like(ids, IGNORED), torch.zeros_like(ids)
    for row, (prompt, answer) in enumerate(examples):
        known = torch.tensor([place.get(token, 0) for token in prompt] + [place[token] for token in answer])
        ids[row, : len(known)] = known
        labels[row, len(prompt) : len(known)] = known[len(prompt) :]
        mask[row, : len(known)] = 1
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def share_exact(model: torch.nn.Module, batch: dict[str, torch.Tensor], rows: int = 250) -> float:
    """The share of examples of which every completion token is the likeliest one (teacher-forced)."""
    right = 0
    for start in range(0, len(batch["input_ids"]), rows):
        part = {name: tensor[start : start + rows] for name, tensor in batch.items()}
        labels = part.pop("labels")[:, 1:]
        likeliest = model(**part).logits[:, :-1].argmax(-1)
        right += int(((likeliest == labels) | (labels == IGNORED)).all(1).sum())
    return right / len(batch["input_ids"])


def small_model(vocabulary: int) -> torch.nn.Module:
    no_tokens = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    config = GptOssConfig(**{**CONFIG, "vocab_size": vocabulary, "dtype": "float32", **no_tokens})
    model: torch.nn.Module = GptOssForCausalLM(config).float()
    for name, parameter in model.named_parameters():
        if name.endswith(("gate_up_proj", "down_proj")):
            torch.nn.init.normal_(parameter, std=0.06)
        if name.endswith("sinks"):
            torch.nn.init.zeros_(parameter)
    return model


def save(model: torch.nn.Module, used: list[int], file: Path) -> None:
    """The weights over the tokens in use, in bfloat16, and which tokens those are."""
    rows = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in model.state_dict().items()}
    writing = file.with_name(f".{file.name}.writing")
    save_file({**rows, "used_ids": torch.tensor(used)}, writing)
    writing.rename(file)


def train_sums(*, held_out: HeldOut, out: Out, steps: Steps = 2000, seed: Seed = 0) -> None:
    """Trains on all pairs but those held out. Raises BadInput."""
    pairs_held_out = read_pairs(held_out)
    file = new_place(out)
    torch.manual_seed(seed)
    examples = Examples(seed)
    trained = sorted(set(PAIRS) - set(pairs_held_out))
    used = examples.tokens_in_use()
    place = {token: row for row, token in enumerate(used)}
    model = small_model(len(used))
    test = padded([examples.make(pair, QUESTIONS[0]) for pair in pairs_held_out], place)

    def batch(step: int) -> dict[str, Any]:
        pairs = examples.random.sample(trained, BATCH)
        questions = examples.random.choices(QUESTIONS, k=BATCH)
        return padded([examples.make(p, q, step % 4 == 0) for p, q in zip(pairs, questions, strict=True)], place)

    schedule = Schedule(steps, warm_up=100, weight_decay=0.1, floor=0.02)
    train(model, schedule, batch, lambda: share_exact(model, test))
    save(model, used, file)


def main(arguments: Sequence[str]) -> int:
    return run_training("cluster.checkpoints.training.sums", __doc__, train_sums, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
