from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from cluster.__main__ import main
from cluster.environment_files import EnvironmentFileError, read_values
from cluster.fleet import Pool
from cluster.loading import FleetError, parse_fleet

VALUE = "hf_a-value-that-nobody-may-see"
FLEET = """\
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


def pool(**changes: object) -> Pool:
    return Pool.model_validate({"name": "p", "vendor": "cpu", "engine": "fake", **changes})


def test_a_variable_has_the_files_line(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{VALUE}\r\n")
    assert read_values({"HF_TOKEN": str(file)}) == {"HF_TOKEN": VALUE}


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb\n", b"a\0b", b"\xff", b"x" * 65_537])
def test_a_file_that_holds_no_value_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(EnvironmentFileError, match=r"HF_TOKEN: .*; write the value alone into it"):
        read_values({"HF_TOKEN": str(file)})


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(EnvironmentFileError, match="it must be readable on every node of the pool"):
        read_values({"HF_TOKEN": str(tmp_path / name)})


@pytest.mark.parametrize("variable", ["HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "openai_api_key", "PASSWORD", "X_SECRET"])
def test_a_fleet_file_holds_no_secret(variable: str) -> None:
    with pytest.raises(FleetError) as refused:
        parse_fleet(f"{FLEET}        env: {{{variable}: {VALUE}}}\n", "fleet.yaml")
    assert "name that in `env_files`" in str(refused.value)
    assert VALUE not in str(refused.value)


def test_a_mistake_elsewhere_in_a_pool_shows_no_variables_value() -> None:
    with pytest.raises(FleetError, match="below min_replicas") as refused:
        parse_fleet(f"{FLEET}        env: {{A: {VALUE}}}\n        min_replicas: 2\n        max_replicas: 1\n", "f.yaml")
    assert VALUE not in str(refused.value)


@pytest.mark.parametrize("variable", ["TOKENIZERS_PARALLELISM", "VLLM_CPU_KVCACHE_SPACE", "TOKEN_LIMIT", "MONKEY"])
def test_other_variables_are_the_files_to_set(variable: str) -> None:
    assert pool(env={variable: "1"}).env == {variable: "1"}


def test_a_variable_has_one_value() -> None:
    with pytest.raises(ValidationError, match="in `env` and in `env_files`; remove one"):
        pool(env={"A": "1"}, env_files={"A": "/a"})
    with pytest.raises(ValidationError, match="write an absolute path"):
        pool(env_files={"A": "a"})


def test_show_names_the_file_and_not_its_content(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret, file = tmp_path / "token", tmp_path / "fleet.yaml"
    secret.write_text(VALUE)
    file.write_text(f"{FLEET}        env_files: {{HF_TOKEN: {secret}}}\n")
    assert main(["show", str(file)]) == 0
    shown = capsys.readouterr().out
    assert str(secret) in shown
    assert VALUE not in shown
