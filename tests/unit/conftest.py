from __future__ import annotations

import json
import lzma
import os

import pytest
from filelock import FileLock

from cluster.checkpoints.harmony_tokenizer import harmony_tokenizer, read_ranks
from cluster.checkpoints.vendored import DATA


@pytest.fixture(scope="session")
def harmony_tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The content of GPT-OSS's `tokenizer.json`. Several seconds of work, so one worker makes it for all."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    file = shared / "harmony_tokenizer.json"
    with FileLock(f"{file}.lock"):
        if not file.exists():
            ranks = lzma.decompress((DATA / "vocabulary" / "o200k_base.tiktoken.xz").read_bytes())
            file.write_text(json.dumps(harmony_tokenizer(read_ranks(ranks))))
    return file.read_text()
