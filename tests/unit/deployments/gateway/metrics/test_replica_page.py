from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from deployments.gateway.metrics.replica_page import replica_page
from deployments.gateway.replicas.replica_values import REPLICA_GAUGES, ReplicaValues

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=1, max_size=8)
NUMBERS = st.floats() | st.integers(0, 2**53)


@st.composite
def of_model(draw: st.DrawFn) -> ReplicaValues:
    replicas = draw(st.lists(WORDS, max_size=4, unique=True))
    count = len(replicas)
    several = st.lists(WORDS, min_size=count, max_size=count)
    states = st.lists(st.sampled_from(["", "exact", "degraded"]), min_size=count, max_size=count)
    columns = {name: draw(st.lists(NUMBERS, min_size=count, max_size=count)) for name in REPLICA_GAUGES}
    return ReplicaValues("m", draw(several), replicas, draw(states), columns)


@given(st.dictionaries(st.sampled_from(["", "0", "1"]), of_model(), max_size=2))
def test_what_prometheus_reads_is_what_was_written(processes: dict[str, ReplicaValues]) -> None:
    page = replica_page({process: [values] for process, values in processes.items()}).decode()
    families = {family.name: family for family in text_string_to_metric_families(page)}
    assert set(families) == {"gateway_replica_feed_state", *(f"gateway_replica_{name}" for name in REPLICA_GAUGES)}
    for gauge in REPLICA_GAUGES:
        read = {
            (sample.labels.get("process", ""), sample.labels["replica"]): (sample.labels["pool"], sample.value)
            for sample in families[f"gateway_replica_{gauge}"].samples
        }
        written = {
            (process, replica): (pool, float(value))
            for process, values in processes.items()
            for replica, pool, value in zip(values.replicas, values.pools, values.gauges[gauge], strict=True)
        }
        assert read.keys() == written.keys()
        for key, (pool, value) in written.items():
            assert read[key][0] == pool
            assert read[key][1] == value or (math.isnan(value) and math.isnan(read[key][1]))


def test_one_state_of_a_replicas_reports_is_one_and_the_others_nought() -> None:
    values = ReplicaValues("m", ["a", "a"], ["x", "y"], ["exact", ""], {name: [0.0, 1.5] for name in REPLICA_GAUGES})
    page = replica_page({"0": [values]}).decode()
    lines = [line for line in page.splitlines() if line.startswith("gateway_replica_feed_state{")]
    assert {line.rsplit('"', 2)[1]: line.endswith(" 1.0") for line in lines if 'replica="x"' in line} == {
        "exact": True,
        "catching up": False,
        "degraded": False,
    }
    assert not any('replica="y"' in line for line in lines), "nobody reports"
    assert 'gateway_replica_token_seconds{model="m",pool="a",process="0",replica="y"} 1.5' in page
    assert page.endswith("\n")
