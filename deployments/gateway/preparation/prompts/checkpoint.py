"""What rendering needs of a checkpoint, read once by a process of its own.

Transformers decides how a tokenizer is built, but holds much memory. So a process that ends again reads the checkpoint,
and the gateway keeps the tokenizer's own library (150 MB with GPT-OSS's vocabulary). PyTorch and its companions are
hidden from that process, because their import takes four fifths of its time. Few tokenizers need them: those that are
known by their model's configuration alone, for which transformers imports the model. Then the process starts anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from cluster.native_libraries import mend

READ_TIMEOUT_S = 180
MODULE = "deployments.gateway.preparation.prompts.checkpoint"
WITH_TORCH = "--with-torch"
HIDDEN = ("torch", "torchvision", "torchaudio", "torchcodec")
"""Packages that transformers takes for absent: an entry of None in `sys.modules` makes a package look so."""
PROJECT_ROOT = Path(__file__).parents[4]


class CheckpointUnreadable(Exception):
    """A checkpoint whose tokenizer cannot be had here. The message says why."""


class Checkpoint(msgspec.Struct):
    """Attributes:
    tokenizer: the tokenizer as the `tokenizers` library's JSON.
    template: Jinja source of the chat template; None where there is none, or more than one.
    special_tokens: what transformers hands a template beside the messages.
    config: config.json.
    processor: the image processor's settings; empty where the model takes no pictures.
    """

    tokenizer: str
    template: str | None = None
    special_tokens: dict[str, Any] = {}
    config: dict[str, Any] = {}
    processor: dict[str, Any] = {}


def read(checkpoint: str, revision: str | None = None) -> Checkpoint:
    """Reads a checkpoint's folder, or a hub repository. Blocks for seconds. Raises CheckpointUnreadable."""
    answer = os.memfd_create("checkpoint")  # a file on disk would stay where this process is killed
    command = [sys.executable, "-m", MODULE, str(answer), checkpoint, *([revision] if revision else [])]
    try:
        subprocess.run(
            command, check=True, cwd=PROJECT_ROOT, timeout=READ_TIMEOUT_S, capture_output=True, pass_fds=[answer]
        )
        with os.fdopen(answer, "rb", closefd=False) as file:
            file.seek(0)
            return msgspec.json.decode(file.read(), type=Checkpoint)
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
        raise CheckpointUnreadable(last[0][:500]) from error
    except (OSError, subprocess.TimeoutExpired, msgspec.DecodeError) as error:
        raise CheckpointUnreadable(str(error)[:500]) from error
    finally:
        os.close(answer)


def main(arguments: list[str]) -> None:
    """`python -m deployments.gateway.preparation.prompts.checkpoint [--with-torch] ANSWER CHECKPOINT [REVISION]`.

    ANSWER is the number of an open file descriptor.
    """
    if arguments[0] == WITH_TORCH:
        mend()
        _write(*arguments[1:])
        return
    sys.modules.update(dict.fromkeys(HIDDEN))  # type: ignore[arg-type]
    try:
        _write(*arguments)
    except ImportError:
        os.execv(sys.executable, [sys.executable, "-m", MODULE, WITH_TORCH, *arguments])


def _write(answer: str, checkpoint: str, revision: str | None = None) -> None:
    from transformers import AutoTokenizer
    from transformers.utils import cached_file

    def settings(name: str) -> dict[str, Any]:
        found = cached_file(checkpoint, name, revision=revision, _raise_exceptions_for_missing_entries=False)
        content = json.loads(Path(found).read_text(encoding="utf-8")) if found else {}
        return content if isinstance(content, dict) else {}

    tokenizer = AutoTokenizer.from_pretrained(checkpoint, revision=revision)
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    template = tokenizer.chat_template
    of_processor = settings("chat_template.json").get("chat_template")
    if of_processor is not None and of_processor != template:
        template = None
    processor = settings("processor_config.json").get("image_processor") or settings("preprocessor_config.json")
    read = Checkpoint(
        tokenizer=backend.to_str(),
        template=template if isinstance(template, str) else None,
        special_tokens=dict(tokenizer.special_tokens_map),
        config=settings("config.json"),
        processor=processor,
    )
    with os.fdopen(int(answer), "wb") as file:
        file.write(msgspec.json.encode(read, enc_hook=str))


if __name__ == "__main__":
    main(sys.argv[1:])
