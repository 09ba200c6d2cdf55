from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from cluster.fleet import Fleet, Gateway, Operator, Tenant
from cluster.fleet_commands import show
from cluster.keys import digest
from cluster.open_fleet import open_to_all
from tests.support.processes import fake_fleet

TENANT = Tenant(name="t", key_sha256=[digest("t")])
OPERATOR = Operator(name="o", key_sha256=[digest("o")])


def fleet(host: str, tenants: list[Tenant] | None = None, operators: list[Operator] | None = None) -> Fleet:
    changes = {"gateway": Gateway(host=host), "tenants": tenants or [], "operators": operators or []}
    return fake_fleet().model_copy(update=changes)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.0.3.1"])
def test_a_fleet_on_loopback_needs_no_warning(host: str) -> None:
    assert open_to_all(fleet(host)) == ""


@pytest.mark.parametrize(("host", "shown"), [("0.0.0.0", "0.0.0.0:8000"), ("::", "[::]:8000"), ("head", "head:8000")])
def test_a_fleet_without_tenants_that_other_machines_reach_warns_in_one_line_how_to_close_it(
    host: str, shown: str
) -> None:
    line = open_to_all(fleet(host))
    assert f"everyone who reaches {shown} may ask its models and read its metrics" in line
    assert "add `tenants`" in line
    assert "or set gateway.host to 127.0.0.1" in line
    assert "\n" not in line


def test_tenants_close_a_fleet_and_operators_alone_close_its_metrics() -> None:
    assert open_to_all(fleet("0.0.0.0", [TENANT])) == ""
    assert "may ask its models; add" in open_to_all(fleet("0.0.0.0", operators=[OPERATOR]))


@pytest.mark.parametrize(("host", "warns"), [("0.0.0.0", True), ("127.0.0.1", False)])
def test_show_prints_the_warning_and_stays_a_fleet_file(
    host: str, warns: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, again = tmp_path / "fleet.yaml", tmp_path / "again.yaml"
    file.write_text(yaml.safe_dump(fleet(host).model_dump(mode="json")))
    assert show(str(file)) == 0
    printed = capsys.readouterr().out
    assert any(line.startswith("# warning: fleet 'fakes' has no tenants") for line in printed.splitlines()) == warns
    again.write_text(printed)
    assert show(str(again)) == 0
    capsys.readouterr()
    assert show(str(file), as_json=True) == 0
    assert len(json.loads(capsys.readouterr().out)["warnings"]) == warns
