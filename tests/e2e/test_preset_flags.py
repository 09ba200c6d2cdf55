"""Every engine flag of every preset, held against vLLM's own parser."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

from cluster.checkpoints.vendored import DATA
from cluster.fleet import Task
from cluster.loading import load_fleet, presets
from cluster.vendors import ENGINE_KINDS
from deployments.engine.engine_spec import engine_spec
from deployments.engine.process import PROJECT_ROOT
from deployments.engine.vllm.backend import CUSTOMIZE, engine_arguments

PARSER = """
import json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = make_arg_parser(FlexibleArgumentParser(allow_abbrev=False))
refused = {}
def refuse(message):
    raise ValueError(message)
parser.error = refuse
parsed = {}
for name, words in json.load(sys.stdin).items():
    try:
        told = parser.parse_args(words)
        events = told.kv_events_config and told.kv_events_config.endpoint
        parsed[name] = [told.model, told.served_model_name, told.max_num_seqs, told.enable_prefix_caching, events]
    except ValueError as error:
        refused[name] = str(error)
from vllm.reasoning import ReasoningParserManager
from vllm.tool_parsers import ToolParserManager
print(json.dumps([parsed, refused, ToolParserManager.list_registered(), ReasoningParserManager.list_registered()]))
"""

TOOLS = {"gpt-oss": "openai", "qwen3-vl": "hermes"}
"""Model family -> vLLM's name for how it writes tool calls: Harmony's, and JSON between <tool_call> tags."""
WITHOUT_TOOLS = {"tiny-qwen3vl-digits"}
"""Small checkpoints whose chat template cannot show tools."""


@dataclass(frozen=True)
class OfVllm:
    """What vLLM makes of a command line, or why it refuses it, by name; and the parsers that it knows."""

    parsed: dict[str, list[object]]
    refused: dict[str, str]
    tool_parsers: list[str]
    reasoning_parsers: list[str]


def in_vllm(command_lines: dict[str, list[str]]) -> OfVllm:
    path = os.pathsep.join([str(CUSTOMIZE), str(PROJECT_ROOT)])
    ended = subprocess.run(
        [sys.executable, "-c", PARSER],
        input=json.dumps(command_lines),
        env={**os.environ, "PYTHONPATH": path, "VLLM_LOGGING_LEVEL": "ERROR"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return OfVllm(*json.loads(ended.stdout.splitlines()[-1]))


def command_lines_and_their_meaning() -> tuple[dict[str, list[str]], dict[str, list[object]]]:
    """Of every model and pool of every preset: its engine's command line, and what vLLM should make of it."""
    lines: dict[str, list[str]] = {}
    expected: dict[str, list[object]] = {}
    for name in presets():
        for mlperf in (False, True):
            fleet = load_fleet(name).model_copy(update={"mlperf": mlperf})
            for model in fleet.models:
                for pool in model.pools:
                    if ENGINE_KINDS[pool.engine].backend == "vllm":
                        case = f"{name}, {model.name} on {pool.name}, mlperf={mlperf}"
                        lines[case] = engine_arguments(engine_spec(fleet, model, pool))
                        caching = None if model.task is Task.TRANSCRIPTION else True
                        caches = [False, None] if mlperf else [caching, caching and "ipc://@SOCKETS@/kv-events"]
                        expected[case] = [model.checkpoint, model.names, pool.slots, *caches]
    return lines, expected


@pytest.fixture(scope="module")
def vllm() -> OfVllm:
    """One process for all tests: it takes seconds to import vLLM."""
    lines, _ = command_lines_and_their_meaning()
    return in_vllm(lines | {"invented": ["--model", "m", "--a-flag-that-is-none", "1"]})


def test_vllms_own_parser_takes_every_flag_of_every_preset(vllm: OfVllm) -> None:
    _, expected = command_lines_and_their_meaning()
    assert set(vllm.refused) == {"invented"}, vllm.refused
    assert vllm.parsed == expected


def test_every_preset_whose_family_calls_tools_names_a_parser_that_vllm_knows(vllm: OfVllm) -> None:
    assert set(TOOLS.values()) <= set(vllm.tool_parsers)
    models = [(name, model) for name in presets() for model in load_fleet(name).models]
    for name, model in models:
        family = next((family for family in TOOLS if family in model.name.lower()), None)
        assert (family is None) == (model.task is Task.TRANSCRIPTION), (name, model.name)
        expected = None if model.checkpoint in WITHOUT_TOOLS or family is None else TOOLS[family]
        assert model.tool_parser == expected, (name, model.name)
        assert model.reasoning_parser is None or model.reasoning_parser in vllm.reasoning_parsers, (name, model.name)
    for checkpoint in WITHOUT_TOOLS:
        assert "tools" not in (DATA / checkpoint / "chat_template.jinja").read_text()
    fleet = load_fleet("qwen3-vl-h200")
    words = engine_arguments(engine_spec(fleet, fleet.models[0], fleet.models[0].pools[0]))
    assert "--enable-auto-tool-choice" in words
    assert words[words.index("--tool-call-parser") + 1] == "hermes"
