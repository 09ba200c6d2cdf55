from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ray.serve.schema import ApplicationStatus

from cluster.fleet import Fleet, Gateway
from cluster.loading import load_fleet
from deployments import ready_notice
from deployments.ready_notice import message, start_ready_notice

FLEET = load_fleet("embedded")


@pytest.fixture
def notice(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs the thread to its end, with these states of the application one after another."""

    def run(states: list[Any], fleet: Fleet = FLEET) -> None:
        left = iter(states)

        def status() -> SimpleNamespace:
            state = next(left)
            if isinstance(state, Exception):
                raise state
            return SimpleNamespace(applications={"default": SimpleNamespace(status=state)} if state else {})

        monkeypatch.setattr(ready_notice, "serve", SimpleNamespace(status=status))
        monkeypatch.setattr(ready_notice.ray, "is_initialized", lambda: True)
        monkeypatch.setattr(ready_notice, "gateway_address", lambda: "http://127.0.0.1:4321")
        monkeypatch.setattr(ready_notice, "gets_ready", lambda _: True)
        monkeypatch.setattr(ready_notice, "POLL_S", 0.01)
        monkeypatch.setattr(ready_notice, "SERVE_LINE_WAIT_S", 0.05)
        thread = start_ready_notice(fleet)
        thread.join(5)
        assert not thread.is_alive()
        assert not logging.getLogger(ready_notice.SERVE_LOGGER).filters

    return run


def test_the_line_names_the_address_and_the_models() -> None:
    line = "mixfleet: fleet 'embedded' answers on http://127.0.0.1:8000/v1 (models gpt-oss, qwen3-vl, whisper)"
    assert message(FLEET, "http://127.0.0.1:8000", True) == line
    assert "http://10.0.0.7:8000 does not answer from this machine" in message(FLEET, "http://10.0.0.7:8000", False)


def test_it_is_printed_once_the_application_runs(
    notice: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    notice([None, ApplicationStatus.DEPLOYING, ApplicationStatus.RUNNING])
    assert "answers on http://127.0.0.1:4321/v1" in capsys.readouterr().err


def test_a_fleet_that_is_open_to_all_says_so_right_before_its_address(
    notice: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    notice([ApplicationStatus.RUNNING], FLEET.model_copy(update={"gateway": Gateway(host="0.0.0.0")}))
    warning, address = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: fleet 'embedded' has no tenants: everyone who reaches 0.0.0.0:8000 may ask")
    assert "answers on" in address


@pytest.mark.parametrize(
    "states",
    [
        [None, ApplicationStatus.DEPLOYING, ApplicationStatus.DEPLOY_FAILED],
        [ApplicationStatus.DEPLOYING, None],
        [ApplicationStatus.DEPLOYING, ApplicationStatus.DELETING],
        [ApplicationStatus.DEPLOYING, RuntimeError("Ray has ended")],
    ],
)
def test_nothing_is_printed_where_the_start_fails_or_is_interrupted(
    states: list[Any], notice: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    notice(states)
    assert capsys.readouterr().err == ""
