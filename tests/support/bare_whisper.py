"""Bare vLLM: loads Whisper as the embedded fleet does, and times one `generate` over a manifest per line of input."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import soundfile

from cluster.checkpoints import resolve

PROMPT = "<|startoftranscript|><|en|><|transcribe|><|notimestamps|>"
MAX_TOKENS = 200


def main(manifest: Path, flags: dict[str, object]) -> None:
    from vllm import LLM, SamplingParams

    llm = LLM(
        model=resolve("whisper-base").path,
        enable_prefix_caching=False,
        mm_processor_cache_gb=0,
        disable_log_stats=True,
        **{flag.replace("-", "_"): value for flag, value in flags.items()},
    )
    sounds = [
        soundfile.read(manifest.parent / entry["files"][0]["fname"]) for entry in json.loads(manifest.read_text())
    ]
    prompts = [
        {
            "encoder_prompt": {"prompt": "", "multi_modal_data": {"audio": (samples.astype("float32"), rate)}},
            "decoder_prompt": PROMPT,
        }
        for samples, rate in sounds
    ]
    sampling = SamplingParams(temperature=0, max_tokens=MAX_TOKENS)
    for _ in sys.stdin:
        started = time.perf_counter()
        llm.generate(prompts, sampling, use_tqdm=False)
        print(f"seconds {time.perf_counter() - started}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
