from __future__ import annotations

import pytest
import yaml
from pydantic import ValidationError

from cluster.fleet import AnswerTimeLimits, Fleet, Gateway, Limits, Model, Pool, Task, TimeLimits, deployment_name


def pool(**changes: object) -> Pool:
    return Pool.model_validate({"name": "p", "vendor": "cpu", "engine": "fake", **changes})


def test_a_model_answers_to_its_name_and_aliases() -> None:
    model = Model(name="org/m:1", aliases=["m"], task=Task.CHAT, checkpoint="c", pools=[pool()])
    assert model.names == ["org/m:1", "m"]
    assert deployment_name(model, model.pools[0]) == "org-m-1@p", "no slash and no colon: it is part of file names"


def test_growth_ends_where_it_starts_unless_said() -> None:
    assert pool(min_replicas=3).most_replicas == 3
    assert pool(min_replicas=3, max_replicas=5).most_replicas == 5


def test_the_cache_folder_is_the_users_own_unless_said() -> None:
    fleet = Fleet(name="f", models=[Model(name="m", task=Task.CHAT, checkpoint="c", pools=[pool()])])
    assert fleet.cache_folder is None
    named = fleet.model_copy(update={"checkpoint_cache": "~/x"})
    assert named.cache_folder is not None
    assert "~" not in str(named.cache_folder)


def test_a_fleet_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(pool(), "slots", 3)  # noqa: B010


@pytest.mark.parametrize("flag", ["port", "--port", "max_num_seqs", "pipeline-parallel-size", "reasoning_parser"])
def test_flags_that_something_else_sets(flag: str) -> None:
    with pytest.raises(ValidationError, match="is set by"):
        pool(flags={flag: 1})


@pytest.mark.parametrize("flag", ["no-enable-prefix-caching", "disable_mm_preprocessor_cache"])
def test_caches_are_not_a_pools_to_set(flag: str) -> None:
    with pytest.raises(ValidationError, match="`mlperf` mode alone"):
        pool(flags={flag: True})


def test_time_limits_of_a_route_are_named_by_its_path() -> None:
    gateway = Gateway.model_validate({"time_limits": {"routes": {"/v1/responses": {"stream": {"whole_s": 60}}}}})
    assert gateway.time_limits.routes["/v1/responses"].stream == TimeLimits(whole_s=60)
    with pytest.raises(ValidationError, match="'v1/responses' is no path"):
        AnswerTimeLimits.model_validate({"routes": {"v1/responses": {}}})
    with pytest.raises(ValidationError):
        TimeLimits(whole_s=0)


def test_a_tenants_concurrent_requests_are_at_least_one() -> None:
    assert Limits(concurrent_requests=1).concurrent_requests == 1
    with pytest.raises(ValidationError):
        Limits(concurrent_requests=0)


@pytest.mark.parametrize("written", ["off", "'off'", "errors", "all"])
def test_access_log_takes_off_as_yaml_reads_it(written: str) -> None:
    read = Gateway.model_validate(yaml.safe_load(f"access_log: {written}"))
    assert read.access_log == written.strip("'")
    with pytest.raises(ValidationError, match="'off', 'errors' or 'all'"):
        Gateway.model_validate(yaml.safe_load("access_log: on"))
