from __future__ import annotations

import pytest

from loadtest.benchmarks.base import Mode
from loadtest.offline import main
from tests.support.options import options_of


def test_defaults_are_official() -> None:
    options = options_of(main, ["--benchmark", "whisper"])
    assert (options.mode, options.quick, options.target_qps, options.fleet, options.endpoint) == (
        Mode.PERFORMANCE,
        False,
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--benchmark"),
        (["--benchmark", "resnet"], "invalid choice"),
        (["--benchmark", "whisper", "--fleet", "f", "--endpoint", "http://x"], "not allowed with"),
        (["--benchmark", "whisper", "--target-qps", "-1"], "must be a positive number"),
        (["--benchmark", "whisper", "--target-qps", "nan"], "must be a positive number"),
        (["--benchmark", "whisper", "--window", "0"], "must be 1 or more"),
    ],
)
def test_bad_arguments(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
