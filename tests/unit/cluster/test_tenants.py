"""The tenants of a fleet file."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from cluster.__main__ import main
from cluster.fleet import Fleet, Limits, Tenant
from cluster.keys import digest
from cluster.loading import FleetError, load_fleet, parse_fleet, presets

KEY = "mixfleet-_PtnYcArRyxZu5hkiQQh-jooa-hByWcZOquKsXnEfbU"
PART = KEY[9:19]
"""A key is not shown in part either, as those who shorten what they show would do."""
A, B = digest("a" * 20), digest("b" * 20)
FLEET = """\
name: demo
models:
  - {name: chat, aliases: [small], task: chat, checkpoint: c, pools: [{name: p, vendor: cpu, engine: fake}]}
tenants:
"""
GOOD = f"""\
  - name: ours
    key_sha256: [{A}]
    priority: 5
    limits: {{requests_per_minute: 60, audio_seconds_per_minute: 0.5}}
    models: [small]
  - name: theirs
    key_file: /run/secrets/theirs
"""


def test_a_fleet_with_tenants() -> None:
    ours, theirs = parse_fleet(FLEET + GOOD, "f").tenants
    assert (ours.name, ours.key_sha256, ours.priority, ours.models) == ("ours", [A], 5, ["small"])
    assert ours.limits == Limits(requests_per_minute=60, tokens_per_minute=None, audio_seconds_per_minute=0.5)
    assert (theirs.key_file, theirs.priority, theirs.models) == ("/run/secrets/theirs", 0, None)
    assert theirs.limits == Limits()


def test_digests_are_compared_whatever_their_case() -> None:
    assert parse_fleet(FLEET + GOOD.replace(A, A.upper()), "f") == parse_fleet(FLEET + GOOD, "f")


@pytest.mark.parametrize("preset", presets())
def test_presets_have_none(preset: str) -> None:
    assert load_fleet(preset).tenants == []


@pytest.mark.parametrize(
    ("tenants", "place", "words"),
    [
        ("  - {name: a}\n", "f:5: tenants.0", "without keys can ask nothing; give it `key_sha256` or a `key_file`"),
        ("  - {name: a, key_sha256: []}\n", "f:5: tenants.0", "without keys"),
        (GOOD.replace("theirs\n    key", "ours\n    key"), "f:10: tenants.1.name", "'ours' is there twice"),
        (f"{GOOD}    key_sha256: [{A}]\n", "f:12: tenants.1.key_sha256.0", "tenant 'ours' has this key already"),
        (GOOD.replace(A, f"{B}, {A}, {B.upper()}"), "f:6: tenants.0.key_sha256.2", "'ours' has this key already"),
        (GOOD.replace("[small]", "[small, big]"), "f:9: tenants.0.models.1", "'big'; use one of chat, small"),
        (GOOD.replace("[small]", "[]"), "f:9: tenants.0.models", "at least 1"),
        (GOOD.replace("/run", "run"), "f:11: tenants.1.key_file", "absolute path"),
        (GOOD.replace("priority: 5", "priority: 101"), "f:7: tenants.0.priority", "less than or equal to 100"),
        (GOOD.replace("priority: 5", "priority: high"), "f:7: tenants.0.priority", "valid integer"),
        (GOOD.replace(": 60", ": 0"), "f:8: tenants.0.limits.requests_per_minute", "greater than 0"),
        (GOOD.replace(": 60", ": 1.5"), "f:8: tenants.0.limits.requests_per_minute", "integer"),
        (GOOD.replace(": 0.5", ": .inf"), "f:8: tenants.0.limits.audio_seconds_per_minute", "finite"),
        (GOOD.replace("requests_per", "calls_per"), "f:8: tenants.0.limits.calls_per_minute", "requests_per_minute"),
        (GOOD.replace("name: ours", "name: a b"), "f:5: tenants.0.name", "pattern"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_a_remedy(tenants: str, place: str, words: str) -> None:
    with pytest.raises(FleetError) as raised:
        parse_fleet(FLEET + tenants, "f")
    told = str(raised.value)
    assert told.startswith(f"{place}: ")
    assert words in told
    assert "\n" not in told


@pytest.mark.parametrize(
    "tenants",
    [
        f"  - {{name: a, keys: [{KEY}]}}\n",
        f"  - {{name: a, key: {KEY}}}\n",
        f"  - {{name: a, key_sha256: {KEY}}}\n",
        f"  - {{name: a, key_sha256: [{KEY}]}}\n",
        f"  - {{name: a, key_sha256: [[{KEY}]]}}\n",
        f"  - {{name: a, key_sha256: [{PART}]}}\n",
        f"  - {{name: a, key_sha256: {PART}}}\n",
        f"  - {{name: a, key_file: {KEY}}}\n",
        f"  - {{name: a, key_file: /x, priority: {KEY}, limits: {KEY}, models: {KEY}}}\n",
        f"  - {KEY}\n",
        f"  {KEY}: {{name: a}}\n",
        f"  - {{name: a, key_sha256: [{KEY}\n",
    ],
)
def test_a_key_at_a_wrong_place_is_not_shown(tenants: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(FleetError) as raised:
        parse_fleet(FLEET + tenants, "f")
    assert PART not in repr(raised.value)
    assert raised.value.__suppress_context__
    assert capsys.readouterr() == ("", "")


def test_nor_by_the_schema_itself() -> None:
    with pytest.raises(ValidationError) as raised:
        Tenant.model_validate({"name": "a", "key_sha256": [PART]})
    assert PART not in str(raised.value)
    fleet = parse_fleet(FLEET + GOOD, "f").model_dump()
    fleet["tenants"][0]["key_sha256"] = PART
    with pytest.raises(ValidationError) as raised:
        Fleet.model_validate(fleet)
    assert PART not in str(raised.value)


def test_a_fleet_travels_as_json() -> None:
    fleet = parse_fleet(FLEET + GOOD, "f")
    assert Fleet.model_validate(json.loads(json.dumps(fleet.model_dump(mode="json")))) == fleet


def test_the_command_makes_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key"]) == 0
    key_line, digest_line = capsys.readouterr().out.splitlines()
    key, made = key_line.split()[1], digest_line.split()[1]
    assert digest(key) == made
    assert parse_fleet(FLEET + f"  - {{name: a, key_sha256: [{made}]}}\n", "f").tenants[0].key_sha256 == [made]
    assert main(["key"]) == 0
    assert key not in capsys.readouterr().out
