from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cluster.fleet import Fleet, Task
from cluster.loading import FleetError, load_fleet, parse_fleet, presets

GOOD = """\
name: demo
models:
  - name: chat
    task: chat
    checkpoint: somewhere
    pools:
      - name: one
        vendor: cpu
        engine: fake
"""


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def message(text: str) -> str:
    with pytest.raises(FleetError) as raised:
        parse_fleet(text, "fleet.yaml")
    return str(raised.value)


def test_the_example_is_good() -> None:
    fleet = parse_fleet(GOOD, "fleet.yaml")
    assert (fleet.name, fleet.models[0].task, fleet.models[0].pools[0].slots) == ("demo", Task.CHAT, 64)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        (changed("    task: chat\n", "    task: chat\n    tusk: x\n"), "fleet.yaml:5: models.0.tusk", "unknown key"),
        (changed("    task: chat\n", ""), "fleet.yaml:3: models.0.task", "missing: add it"),
        (changed("task: chat", "task: paint"), "fleet.yaml:4: models.0.task", "'transcription'"),
        (changed("checkpoint: somewhere", "checkpoint: [1]"), "fleet.yaml:5: models.0.checkpoint", "got [1]"),
        (changed("vendor: cpu", "vendor: intel"), "fleet.yaml:8: models.0.pools.0.vendor", "use one of amd, cpu"),
        (changed("engine: fake", "engine: tpu"), "fleet.yaml:9: models.0.pools.0.engine", "use one of cpu, cuda, fake"),
        (changed("engine: fake", "engine: cuda"), "fleet.yaml:7: models.0.pools.0", "it runs on nvidia"),
        (changed("engine: fake", "engine: rocm"), "fleet.yaml:7: models.0.pools.0", "it runs on amd"),
        (GOOD + "        slots: 0\n", "fleet.yaml:10: models.0.pools.0.slots", "greater than or equal to 1"),
        (GOOD + "        slots: many\n", "fleet.yaml:10: models.0.pools.0.slots", "got 'many'"),
        (GOOD + "        min_replicas: 3\n        max_replicas: 2\n", "fleet.yaml:7", "is below min_replicas 3: raise"),
        (GOOD + "        flags: {max-num-seqs: 4}\n", "models.0.pools.0.flags", "the pool's `slots`: remove it"),
        (GOOD + "        flags: {--host: x}\n", "models.0.pools.0.flags", "the replica itself: remove it"),
        (GOOD + "        flags: {tensor_parallel_size: 2}\n", "models.0.pools.0.flags", "`tensor_parallel`: remove it"),
        (GOOD + "        flags: {enable-prefix-caching: true}\n", "models.0.pools.0.flags", "`mlperf` mode alone"),
        (GOOD + "        flags: {mm_processor_cache_gb: 4}\n", "models.0.pools.0.flags", "`mlperf` mode alone"),
        (GOOD + "        fake: {block_size: 0}\n", "fleet.yaml:10: models.0.pools.0.fake.block_size", "equal to 1"),
        (GOOD + "gateway: {keepalive_s: 5}\n", "fleet.yaml:10: gateway.keepalive_s", "greater than or equal to 65"),
        (GOOD + "gateway: {color: red}\n", "fleet.yaml:10: gateway.color", "max_queue"),
        (changed("name: demo\n", ""), "fleet.yaml:1: name", "missing: add it"),
        (changed("name: demo", "name: a/b"), "fleet.yaml:1: name", "got 'a/b'"),
        ("name: x\nmodels: []\n", "fleet.yaml:2: models", "at least 1"),
        ("name: x\nmodels: {a: 1}\n", "fleet.yaml:2: models", "list"),
        (changed("name: chat", "name: chat\n    aliases: [chat]"), "fleet.yaml:1: fleet", "used twice: chat; rename"),
    ],
)
def test_a_mistake_is_told_with_its_line_its_key_and_a_remedy(text: str, place: str, words: str) -> None:
    told = message(text)
    assert place in told
    assert words in told
    assert "\n" not in told


def test_an_unknown_key_is_answered_with_those_there_are() -> None:
    told = message(GOOD + "        slotz: 4\n")
    assert "fleet.yaml:10: models.0.pools.0.slotz: unknown key" in told
    assert "slots" in told
    assert "tensor_parallel" in told


def test_every_mistake_gets_a_line_of_its_own() -> None:
    told = message(changed("vendor: cpu", "vendor: intel\n        colour: red").replace("task: chat", "task: x"))
    assert [line.split(": ")[1] for line in told.splitlines()] == [
        "models.0.task",
        "models.0.pools.0.vendor",
        "models.0.pools.0.colour",
    ]


@pytest.mark.parametrize("what", ["name", "aliases"])
def test_two_models_cannot_share_a_name(what: str) -> None:
    second = GOOD.split("models:\n")[1].replace("name: chat", "name: chat" if what == "name" else "name: other")
    text = GOOD + (second if what == "name" else second.replace("task:", "aliases: [chat]\n    task:"))
    assert "model name or alias used twice: chat; rename or remove one" in message(text)


def test_two_pools_of_a_model_cannot_share_a_name() -> None:
    told = message(GOOD + "      - {name: one, vendor: cpu, engine: fake}\n")
    assert "fleet.yaml:3: models.0: pool name in model 'chat' used twice: one" in told


def test_two_models_that_differ_in_a_slash_need_different_pool_names() -> None:
    second = GOOD.split("models:\n")[1]
    text = changed("name: chat", "name: a/b") + second.replace("name: chat", "name: a-b")
    assert "deployment name used twice: a-b@one" in message(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (changed("task: chat\n", "task: chat\n    task: chat\n"), "fleet.yaml:5: key 'task' stands there twice"),
        (GOOD + "name: again\n", "fleet.yaml:10: key 'name' stands there twice; keep one"),
        (changed("models:", "models: ["), "fleet.yaml:3: not valid YAML"),
        ("name: demo\n  models: 3\n", "fleet.yaml:2: not valid YAML"),
        ("name: \t@x", "fleet.yaml:1: not valid YAML"),
        ("name: a\0b", "fleet.yaml: not valid YAML"),
        ("? [a]\n: b\n", "fleet.yaml:1: not valid YAML"),
        ("", "a fleet file is a mapping with the keys name"),
        ("# nothing\n", "a fleet file is a mapping"),
        ("- a\n- b\n", "a fleet file is a mapping"),
        ("just words", "a fleet file is a mapping"),
        ("name: !!bool maybe\n", "fleet.yaml: not valid YAML"),
        ("name: !!int ''\n", "fleet.yaml: not valid YAML"),
        ("name: !!timestamp x\n", "fleet.yaml: not valid YAML"),
        ("name: 2001-99-99\n", "fleet.yaml: not valid YAML"),
        ("name: &x [*x]\n", "fleet.yaml:1: name"),
        (f"name: {'[' * 3000}{']' * 3000}\n", "fleet.yaml: nested too deeply"),
    ],
    ids=lambda value: value[:20],
)
def test_what_is_no_fleet_at_all(text: str, told: str) -> None:
    assert told in message(text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match=r"no fleet '.*none.yaml': No such file.*one of the presets .*embedded"):
        load_fleet(str(tmp_path / "none.yaml"))
    with pytest.raises(FleetError, match=r"no fleet 'embeded': .*presets .*embedded"):
        load_fleet("embeded")
    with pytest.raises(FleetError, match="Is a directory"):
        load_fleet(str(tmp_path))


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "fleet.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FleetError, match=r"fleet.yaml: not a text file in UTF-8"):
        load_fleet(str(tmp_path / "fleet.yaml"))


def test_a_file_loads_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "fleet.yaml").write_text(GOOD)
    assert load_fleet(str(tmp_path / "fleet.yaml")) == parse_fleet(GOOD, "x")


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_valid(name: str) -> None:
    fleet = load_fleet(name)
    assert fleet.name == name
    assert not fleet.mlperf, "MLPerf mode is chosen by the one who measures"
    assert Fleet.model_validate(fleet.model_dump(mode="json")) == fleet


def test_the_default_is_the_embedded_fleet_with_every_task() -> None:
    assert {model.task for model in load_fleet().models} == set(Task)
    assert {pool.cpus_per_replica for model in load_fleet().models for pool in model.pools} == {0}


def test_flags_are_spelt_in_one_way() -> None:
    pool = parse_fleet(GOOD + "        flags: {--block_size: 32}\n", "f").models[0].pools[0]
    assert pool.flags == {"block-size": 32}


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3), max_leaves=6
)


@pytest.mark.parametrize("name", presets())
def test_engines_of_presets_that_run_eagerly_on_a_cpu_need_no_compiler(name: str) -> None:
    pools = [pool for model in load_fleet(name).models for pool in model.pools if pool.engine == "cpu"]
    for pool in pools:
        assert pool.flags["enforce-eager"] is True
        assert pool.env["TORCH_COMPILE_DISABLE"] == "1"


EMBEDDED = yaml.safe_load(presets()["embedded"].read_text())


@given(st.data())
def test_a_changed_preset_loads_or_says_what_is_wrong(data: st.DataObject) -> None:
    content = copy.deepcopy(EMBEDDED)
    for _ in range(data.draw(st.integers(1, 3))):
        mutate(content, data)
    try:
        assert isinstance(parse_fleet(yaml.safe_dump(content), "fleet.yaml"), Fleet)
    except FleetError as error:
        assert all(line.startswith("fleet.yaml") for line in str(error).splitlines())  # noqa: PT017


def mutate(content: Any, data: st.DataObject) -> None:
    """Replaces, removes or adds something at a random place."""
    while data.draw(st.booleans()) or content is EMBEDDED:
        inner = [v for v in (content.values() if isinstance(content, dict) else content) if isinstance(v, dict | list)]
        if not any(inner):
            break
        content = data.draw(st.sampled_from([value for value in inner if value]))
    keys = list(content) if isinstance(content, dict) else list(range(len(content)))
    action = data.draw(st.sampled_from(["replace", "remove", "add"]))
    if action == "add" or not keys:
        new = data.draw(VALUES)
        if isinstance(content, dict):
            content[data.draw(SCALARS)] = new
        else:
            content.append(new)
    elif action == "remove":
        del content[data.draw(st.sampled_from(keys))]
    else:
        content[data.draw(st.sampled_from(keys))] = data.draw(VALUES)


@given(st.text(max_size=60), st.integers(0, len(GOOD)), st.integers(0, 40))
def test_changed_text_loads_or_says_what_is_wrong(inserted: str, at: int, cut: int) -> None:
    try:
        parse_fleet(GOOD[:at] + inserted + GOOD[at + cut :], "fleet.yaml")
    except FleetError as error:
        assert str(error).startswith("fleet.yaml")  # noqa: PT017
