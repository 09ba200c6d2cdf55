"""Every engine flag of every preset, held against vLLM's own parser."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

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
print(json.dumps([parsed, refused]))
"""


KNOWN_PARSERS = """
import json
from vllm.reasoning import ReasoningParserManager
from vllm.tool_parsers import ToolParserManager
print(json.dumps([ToolParserManager.list_registered(), ReasoningParserManager.list_registered()]))
"""

TOOLS = {"gpt-oss": "openai", "qwen3-vl": "hermes"}
"""Model family -> vLLM's name for how it writes tool calls: Harmony's, and JSON between <tool_call> tags."""
WITHOUT_TOOLS = {"tiny-qwen3vl-digits"}
"""Small checkpoints whose chat template cannot show tools."""


def parse(command_lines: dict[str, list[str]]) -> tuple[dict[str, list[object]], dict[str, str]]:
    """Name -> what vLLM makes of that command line, and name -> why it refuses it."""
    parsed, refused = in_vllm(PARSER, command_lines)
    return parsed, refused


def in_vllm(program: str, given: object = None) -> Any:
    """What a program prints that imports vLLM and reads JSON."""
    path = os.pathsep.join([str(CUSTOMIZE), str(PROJECT_ROOT)])
    ended = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(given),
        env={**os.environ, "PYTHONPATH": path, "VLLM_LOGGING_LEVEL": "ERROR"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout.splitlines()[-1])


def test_vllms_own_parser_takes_every_flag_of_every_preset() -> None:
    lines, expected = {}, {}
    for name in presets():
        for mlperf in (False, True):
            fleet = load_fleet(name).model_copy(update={"mlperf": mlperf})
            for model in fleet.models:
                for pool in model.pools:
                    if ENGINE_KINDS[pool.engine].backend == "vllm":
                        case = f"{name}, {model.name} on {pool.name}, mlperf={mlperf}"
                        lines[case] = engine_arguments(engine_spec(fleet, model, pool))
                        told = None if model.task is Task.TRANSCRIPTION else True
                        caches = [False, None] if mlperf else [told, told and "ipc://@SOCKETS@/kv-events"]
                        expected[case] = [model.checkpoint, model.names, pool.slots, *caches]
    invented = {"invented": ["--model", "m", "--a-flag-that-is-none", "1"]}
    parsed, refused = parse(lines | invented)
    assert set(refused) == {"invented"}, refused
    assert parsed == expected


def test_every_preset_whose_family_calls_tools_names_a_parser_that_vllm_knows() -> None:
    tool_parsers, reasoning_parsers = in_vllm(KNOWN_PARSERS)
    assert set(TOOLS.values()) <= set(tool_parsers)
    models = [(name, model) for name in presets() for model in load_fleet(name).models]
    for name, model in models:
        family = next((family for family in TOOLS if family in model.name.lower()), None)
        assert (family is None) == (model.task is Task.TRANSCRIPTION), (name, model.name)
        expected = None if model.checkpoint in WITHOUT_TOOLS or family is None else TOOLS[family]
        assert model.tool_parser == expected, (name, model.name)
        assert model.reasoning_parser is None or model.reasoning_parser in reasoning_parsers, (name, model.name)
    for checkpoint in WITHOUT_TOOLS:
        assert "tools" not in (DATA / checkpoint / "chat_template.jinja").read_text()
    fleet = load_fleet("qwen3-vl-h200")
    words = engine_arguments(engine_spec(fleet, fleet.models[0], fleet.models[0].pools[0]))
    assert "--enable-auto-tool-choice" in words
    assert words[words.index("--tool-call-parser") + 1] == "hermes"
