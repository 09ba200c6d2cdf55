"""Trains the tiny Qwen3-VL-MoE to read digits:
`python -m cluster.checkpoints.training.digits --digits digits.csv.gz --held-out IDX.json --out FOLDER`.

Configuration, tokenizer and processor are those of the shipped checkpoint; the weights start from nothing.
"""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from cyclopts import Parameter
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoProcessor, Qwen3VLMoeForConditionalGeneration

from cluster.checkpoints.training.arguments import (
    INK,
    HeldOut,
    Out,
    Seed,
    Steps,
    new_place,
    read_digits,
    read_rows,
    run_training,
)
from cluster.checkpoints.training.schedule import Schedule, train
from cluster.checkpoints.vendored import DATA

SHIPPED = DATA / "tiny-qwen3vl-digits"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SIDE, TOKENS_PER_IMAGE = 64, 4
IMAGE, IMAGE_TOKEN = "<|vision_start|>" + "<|image_pad|>" * TOKENS_PER_IMAGE + "<|vision_end|>", "<|image_pad|>"
EXPERTS = ("gate_up_proj", "down_proj")
BATCH = 48
NOISE = 0.1
IGNORED = -100


def digit_image(scan: NDArray[np.float64]) -> Image.Image:
    """A scan, [64] grey values of 0..16, as a dark digit on white, 64x64 pixels."""
    grey = (255 - scan.reshape(8, 8) / INK * 255).astype("uint8")
    return Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BICUBIC).convert("RGB")


class Examples:
    """All scans, preprocessed once: patches [scans, 16, values] and their grids."""

    def __init__(self, table: NDArray[np.float64]) -> None:
        processor = AutoProcessor.from_pretrained(SHIPPED)
        self._tokenizer = processor.tokenizer
        images = processor.image_processor(images=[digit_image(row[:64]) for row in table], return_tensors="pt")
        self._patches = images["pixel_values"].view(len(table), SIDE * SIDE // 256, -1)
        self._grids = images["image_grid_thw"]
        self.labels: list[int] = table[:, 64].astype(int).tolist()

    def batch(self, scans: list[int], described: list[bool], noise: float = 0.0) -> dict[str, torch.Tensor]:
        """The digit asked for by name, or where `described` a description; only answers count towards the loss."""
        pairs = [self._ids(self.labels[scan], words) for scan, words in zip(scans, described, strict=True)]
        longest = max(len(prompt) + len(answer) for prompt, answer in pairs)
        ids = torch.full((len(pairs), longest), self._tokenizer.pad_token_id)
        labels, mask = torch.full_like(ids, IGNORED), torch.zeros_like(ids)
        for row, (prompt, answer) in enumerate(pairs):
            whole = torch.tensor(prompt + answer)
            ids[row, : len(whole)] = whole
            labels[row, len(prompt) : len(whole)] = whole[len(prompt) :]
            mask[row, : len(whole)] = 1
        patches = self._patches[scans]
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "labels": labels,
            "pixel_values": (patches + noise * torch.randn_like(patches)).reshape(-1, patches.shape[-1]),
            "image_grid_thw": self._grids[scans],
            "mm_token_type_ids": (ids == self._tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)).long(),
        }

    def share_right(self, model: torch.nn.Module, scans: list[int], rows: int = 90) -> float:
        """The share of scans whose digit is the likeliest answer."""
        right = 0
        for start in range(0, len(scans), rows):
            part = self.batch(scans[start : start + rows], [False] * len(scans[start : start + rows]))
            labels = part.pop("labels")[:, 1:]
            likeliest = model(**part).logits[:, :-1].argmax(-1)
            right += int(((likeliest == labels) | (labels == IGNORED)).all(1).sum())
        return right / len(scans)

    def _ids(self, digit: int, described: bool) -> tuple[list[int], list[int]]:
        question = "Describe the image." if described else "What digit is this?"
        answer = f"A handwritten {WORDS[digit]}." if described else str(digit)
        prompt = f"<|im_start|>user\n{IMAGE}{question}<|im_end|>\n<|im_start|>assistant\n"
        asked, answered = (
            self._tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompt, f"{answer}<|im_end|>")
        )
        return asked, answered


def untrained_model() -> torch.nn.Module:
    model: torch.nn.Module = Qwen3VLMoeForConditionalGeneration(AutoConfig.from_pretrained(SHIPPED)).float()
    for name, parameter in model.named_parameters():
        if name.endswith(EXPERTS):
            torch.nn.init.normal_(parameter, std=0.05)
    return model


def save(model: Any, folder: Path) -> None:
    """Saves what vLLM 0.32 loads: it reads the experts' weights transposed against what transformers 5 writes."""
    writing = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(writing, ignore_errors=True)
    shutil.copytree(SHIPPED, writing)
    model.save_pretrained(writing)
    weights = writing / "model.safetensors"
    tensors = {
        name: tensor.transpose(1, 2).contiguous() if name.endswith(EXPERTS) else tensor
        for name, tensor in load_file(weights).items()
    }
    save_file(tensors, weights, metadata={"format": "pt"})
    writing.rename(folder)


def train_digits(
    *,
    digits: Annotated[Path, Parameter(help="scikit-learn's digits.csv.gz.", metavar="FILE")],
    held_out: HeldOut,
    out: Out,
    steps: Steps = 1500,
    seed: Seed = 0,
) -> None:
    """Trains on all rows but those held out. Raises BadInput."""
    table = read_digits(digits)
    rows = read_rows(held_out, len(table))
    folder = new_place(out)
    torch.manual_seed(seed)
    chance = random.Random(seed)
    examples = Examples(table)
    trained = sorted(set(range(len(table))) - set(rows))
    model = untrained_model()

    def batch(step: int) -> dict[str, Any]:
        del step
        return examples.batch(chance.choices(trained, k=BATCH), chance.choices([False, True], k=BATCH), NOISE)

    schedule = Schedule(steps, warm_up=60, weight_decay=0.02)
    train(model, schedule, batch, lambda: examples.share_right(model, rows), every=100)
    save(model, folder)


def main(arguments: Sequence[str]) -> int:
    return run_training("cluster.checkpoints.training.digits", __doc__, train_digits, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
