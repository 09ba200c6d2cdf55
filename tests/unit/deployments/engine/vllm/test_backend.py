from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest

from cluster.loading import load_fleet, presets
from deployments.engine.backend import BACKENDS, EngineSpec, backend
from deployments.engine.engine_spec import engine_spec
from deployments.engine.guard import SOCKETS
from deployments.engine.vllm.backend import VllmBackend, arguments, engine_arguments

SPEC = EngineSpec(names=("m", "a"), task="chat", checkpoint="folder", engine="cpu", backend="vllm", slots=8)


def after(words: list[str], flag: str) -> str:
    return words[words.index(flag) + 1]


def test_flags_as_words() -> None:
    assert arguments({"a": True, "b": False, "c": 3, "d": 0.5, "e": "x y", "f": {"image": 4}, "g": [1, "z"]}) == [
        *("--a", "--no-b", "--c", "3", "--d", "0.5", "--e", "x y", "--f", '{"image": 4}', "--g", '[1, "z"]')
    ]


def test_the_least_that_an_engine_is_told() -> None:
    words = engine_arguments(SPEC)
    assert words[:3] == ["--served-model-name", "m", "a"]
    assert after(words, "--model") == "folder"
    assert after(words, "--max-num-seqs") == "8"
    assert after(words, "--tensor-parallel-size") == "1"
    for absent in ("--revision", "--tool-call-parser", "--reasoning-parser", "--no-enable-prefix-caching"):
        assert absent not in words


def test_parsers_and_revision() -> None:
    words = engine_arguments(replace(SPEC, revision="abc", tool_parser="openai", reasoning_parser="openai_gptoss"))
    assert after(words, "--revision") == "abc"
    assert "--enable-auto-tool-choice" in words
    assert after(words, "--tool-call-parser") == "openai"
    assert after(words, "--reasoning-parser") == "openai_gptoss"


@pytest.mark.parametrize("task", ["chat", "vision-chat"])
def test_prefixes_are_cached_and_events_stay_in_the_engines_own_folder(task: str) -> None:
    words = engine_arguments(replace(SPEC, task=task))
    assert "--enable-prefix-caching" in words
    config = json.loads(after(words, "--kv-events-config"))
    assert config.pop("enable_kv_cache_events") is True
    endpoints = {"endpoint": "ipc://@SOCKETS@/kv-events", "replay_endpoint": "ipc://@SOCKETS@/kv-replays"}
    assert config == {"publisher": "zmq", **endpoints}


def test_several_engines_behind_one_address_publish_nothing() -> None:
    words = engine_arguments(replace(SPEC, flags={"data-parallel-size": 2}))
    assert "--enable-prefix-caching" in words
    assert "--kv-events-config" not in words


def test_speech_has_no_prefix_to_tell_of() -> None:
    words = engine_arguments(replace(SPEC, task="transcription"))
    assert not any("prefix" in word or "kv-events" in word for word in words)


def test_an_engine_is_told_its_own_address() -> None:
    assert VllmBackend().environment("10.1.2.3")["VLLM_HOST_IP"] == "10.1.2.3"


def test_an_engines_own_sockets_are_where_their_paths_are_short() -> None:
    assert VllmBackend().environment("10.1.2.3")["VLLM_RPC_BASE_PATH"] == SOCKETS


def test_engines_follow_no_redirections_of_media_hosts() -> None:
    assert VllmBackend().environment("10.1.2.3")["VLLM_MEDIA_URL_ALLOW_REDIRECTS"] == "0"


def test_mlperf_mode_switches_every_cache_off() -> None:
    words = engine_arguments(replace(SPEC, caches=False))
    assert "--no-enable-prefix-caching" in words
    assert "--kv-events-config" not in words
    assert after(words, "--mm-processor-cache-gb") == "0"


@pytest.mark.parametrize("preset", presets())
def test_a_preset_tells_no_flag_twice_and_no_cache(preset: str) -> None:
    fleet = load_fleet(preset)
    for mlperf in (False, True):
        measured = fleet.model_copy(update={"mlperf": mlperf})
        for model in fleet.models:
            for pool in model.pools:
                spec = engine_spec(measured, model, pool)
                flags = [word for word in engine_arguments(spec) if word.startswith("--")]
                assert len(flags) == len(set(flags))
                assert ("--no-enable-prefix-caching" in flags) is mlperf
                assert spec.names == tuple(model.names)


def test_the_command_is_a_module_of_this_python() -> None:
    command = VllmBackend().command(SPEC, "127.0.0.1", 8001)
    assert command[:3] == [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    assert command[-4:] == ["--host", "127.0.0.1", "--port", "8001"]
    assert all((folder / "sitecustomize.py").exists() for folder in VllmBackend().python_path())


@pytest.mark.parametrize("name", BACKENDS)
def test_every_backend_can_be_made_without_its_engine(name: str) -> None:
    assert backend(name).python_path() is not None
    assert "vllm" not in sys.modules


def test_an_unknown_backend() -> None:
    with pytest.raises(KeyError, match="other"):
        backend("other")
