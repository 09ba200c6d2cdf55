"""Every engine flag of every preset, held against vLLM's own parser."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from cluster.fleet import Task
from cluster.loading import load_fleet, presets
from cluster.vendors import ENGINE_KINDS
from deployments.engine.engine_spec import engine_spec
from deployments.engine.process import PROJECT_ROOT
from deployments.engine.vllm import CUSTOMIZE, engine_arguments

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


def parse(command_lines: dict[str, list[str]]) -> tuple[dict[str, list[object]], dict[str, str]]:
    """Name -> what vLLM makes of that command line, and name -> why it refuses it."""
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
    parsed, refused = json.loads(ended.stdout.splitlines()[-1])
    return parsed, refused


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
