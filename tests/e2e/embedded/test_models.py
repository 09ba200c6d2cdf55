"""Each embedded model answers right, and token for token as transformers does, through the gateway."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import requests
import soundfile
import torch
from openai import OpenAI
from PIL import Image

from cluster.checkpoints import resolve
from loadtest.benchmarks.scoring.word_errors import word_error_rate
from tests.e2e.embedded.conftest import RunningFleet
from tests.support.data import WORDS, clips, held_out_digits, held_out_sums

PROMPTS = 20
END_TOKENS = {200002, 200012, 199999, 258}


def folder(checkpoint: str) -> Path:
    return Path(resolve(checkpoint).path)


def chat(fleet: RunningFleet, **body: object) -> dict[str, object]:
    answer = requests.post(f"{fleet.url}/v1/chat/completions", json={"temperature": 0, **body}, timeout=120)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def without_end(ids: list[int]) -> list[int]:
    return ids[:-1] if ids and ids[-1] in END_TOKENS else ids


def test_gpt_oss_adds_with_its_reasoning_apart(client: OpenAI) -> None:
    for a, b in held_out_sums(5):
        question = [{"role": "user", "content": f"What is {a} + {b}?"}]
        answer = client.chat.completions.create(model="gpt-oss", messages=question, temperature=0, max_tokens=128)
        assert answer.choices[0].message.content == str(a + b)
        assert f"So {a} + {b} is" in (answer.choices[0].message.model_extra or {})["reasoning"]


def test_gpt_oss_streams_the_same_reasoning_and_answer(client: OpenAI) -> None:
    question = [{"role": "user", "content": "What is 27 + 58?"}]
    options = {"model": "gpt-oss", "messages": question, "temperature": 0, "max_tokens": 128}
    whole = client.chat.completions.create(**options).choices[0].message
    deltas = [c.choices[0].delta for c in client.chat.completions.create(**options, stream=True) if c.choices]
    assert "".join(delta.content or "" for delta in deltas) == whole.content == "85"
    streamed = "".join((delta.model_extra or {}).get("reasoning") or "" for delta in deltas)
    assert streamed == (whole.model_extra or {})["reasoning"]
    assert len(deltas) > 20


@pytest.mark.slow
def test_gpt_oss_equals_transformers_token_for_token(fleet: RunningFleet) -> None:
    from transformers import GptOssForCausalLM

    model = GptOssForCausalLM.from_pretrained(folder("tiny-gpt-oss-sums"), dtype=torch.float32).eval()
    for a, b in held_out_sums(PROMPTS):
        question = [{"role": "user", "content": f"What is {a} + {b}?"}]
        answer = chat(fleet, model="gpt-oss", messages=question, max_tokens=128, return_token_ids=True)
        prompt, served = answer["prompt_token_ids"], answer["choices"][0]["token_ids"]
        # Each served token is what transformers chooses after those before it: by induction its greedy run is the same.
        with torch.no_grad():
            chosen = model(input_ids=torch.tensor([prompt + served])).logits[0].argmax(-1).tolist()
        assert served == chosen[len(prompt) - 1 : -1], (a, b)
        assert served[-1] in END_TOKENS
        assert len(served) > 40


def test_qwen3_vl_reads_digits(client: OpenAI) -> None:
    digits = held_out_digits(40)
    read = [
        client.chat.completions.create(model="qwen3-vl", messages=digit.messages(), temperature=0, max_tokens=8)
        .choices[0]
        .message.content
        for digit in digits
    ]
    right = sum(answer == str(digit.label) for answer, digit in zip(read, digits, strict=True))
    assert right >= 38, read


def test_qwen3_vl_equals_transformers_token_for_token(fleet: RunningFleet) -> None:
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoProcessor, Qwen3VLMoeForConditionalGeneration

    path = folder("tiny-qwen3vl-digits")
    model = Qwen3VLMoeForConditionalGeneration(AutoConfig.from_pretrained(path)).float().eval()
    weights = load_file(path / "model.safetensors")
    for name in weights:
        if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            weights[name] = weights[name].transpose(1, 2).contiguous()  # stored as vLLM reads them
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected
    assert all("lm_head" in name for name in missing)
    processor = AutoProcessor.from_pretrained(path)
    for number, digit in enumerate(held_out_digits(PROMPTS)):
        question = ("What digit is this?", "Describe the image.")[number % 2]
        answer = chat(fleet, model="qwen3-vl", messages=digit.messages(question), max_tokens=32, return_token_ids=True)
        parts = [{"type": "image"}, {"type": "text", "text": question}]
        text = processor.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True)
        inputs = processor(text=[text], images=[Image.open(io.BytesIO(digit.png))], return_tensors="pt")
        assert answer["prompt_token_ids"] == inputs["input_ids"][0].tolist()
        with torch.no_grad():
            whole = model.generate(**inputs, max_new_tokens=32, do_sample=False)
        reference = whole[0, inputs["input_ids"].shape[1] :].tolist()
        assert without_end(answer["choices"][0]["token_ids"]) == without_end(reference), number
        if number % 2 and answer["choices"][0]["message"]["content"] == f"A handwritten {WORDS[digit.label]}.":
            assert len(reference) > 10


@pytest.mark.slow
def test_whisper_makes_as_many_word_errors_as_transformers(client: OpenAI) -> None:
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    path = folder("whisper-base")
    processor = WhisperProcessor.from_pretrained(path)
    model = WhisperForConditionalGeneration.from_pretrained(path, dtype=torch.float32).eval()
    served, reference = [], []
    for clip, transcript in clips():
        with clip.open("rb") as file:
            heard = client.audio.transcriptions.create(model="whisper", file=file, language="en", temperature=0)
        served.append((transcript, heard.text))
        samples, rate = soundfile.read(clip, dtype="float32")
        features = processor(samples, sampling_rate=rate, return_tensors="pt").input_features
        with torch.no_grad():
            ids = model.generate(features, language="en", task="transcribe", do_sample=False)
        reference.append((transcript, processor.batch_decode(ids, skip_special_tokens=True)[0]))
    assert word_error_rate(served).words >= 70
    assert word_error_rate(served).errors == word_error_rate(reference).errors


@pytest.mark.parametrize("model", ["gpt-oss", "qwen3-vl"])
def test_token_id_prompts_continue_as_chat_does(fleet: RunningFleet, model: str) -> None:
    """What resuming and the load test rely on: a rendered prompt, sent as ids, gives the chat route's tokens."""
    question = [{"role": "user", "content": "What is 12 + 31?"}]
    chatted = chat(fleet, model=model, messages=question, max_tokens=16, return_token_ids=True)
    body = {
        "model": model,
        "prompt": chatted["prompt_token_ids"],
        "max_tokens": 16,
        "temperature": 0,
        "return_token_ids": True,
    }
    completed = requests.post(f"{fleet.url}/v1/completions", json=body, timeout=120).json()
    assert completed["choices"][0]["token_ids"] == chatted["choices"][0]["token_ids"]
    assert json.dumps(completed["usage"]["prompt_tokens"]) == json.dumps(len(chatted["prompt_token_ids"]))
