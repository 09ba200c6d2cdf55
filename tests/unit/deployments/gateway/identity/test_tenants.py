from __future__ import annotations

import hmac
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from cluster.fleet import Fleet, Limits, Model, Task
from cluster.fleet import Tenant as Listed
from cluster.keys import KeyFileError, digest, new_key
from deployments.gateway.admission.limits import OverLimit, Unit
from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.identity import keyring as module
from deployments.gateway.identity.tenants import Tenants
from tests.support.processes import fake_fleet, fake_pool

OURS, THEIRS = new_key(), new_key()


def fleet(*tenants: Listed, **changes: Any) -> Fleet:
    two = [
        Model(name=name, aliases=[f"{name}-alias"], task=Task.CHAT, checkpoint="c", pools=[fake_pool()])
        for name in ("m", "n")
    ]
    return fake_fleet().model_copy(update={"models": two, "tenants": list(tenants), **changes})


def listed(name: str, key: str, **fields: Any) -> Listed:
    return Listed(name=name, key_sha256=[digest(key)], **fields)


def bearer(key: str) -> CIMultiDict[str]:
    return CIMultiDict({"Authorization": f"Bearer {key}"})


def refusal(tenants: Tenants, headers: dict[str, str]) -> ApiError:
    with pytest.raises(ApiError) as refused:
        tenants.authenticate(CIMultiDict(headers))
    return refused.value


def test_without_tenants_there_is_one_and_no_key_is_asked() -> None:
    tenants = Tenants(fleet())
    anyone = tenants.authenticate({})
    assert tenants.authenticate(bearer("whatever")) is anyone
    assert (anyone.salt, anyone.priority, anyone.models) == ("", 0, None)
    anyone.quota.charge(Unit.REQUESTS)


def test_a_key_says_who_asks() -> None:
    tenants = Tenants(fleet(listed("ours", OURS, priority=7), listed("theirs", THEIRS)))
    for key, name, priority in ((OURS, "ours", 7), (THEIRS, "theirs", 0)):
        tenant = tenants.authenticate(bearer(key))
        assert (tenant.name, tenant.priority) == (name, priority)
    for spelt in (f"bearer {OURS}", f"BEARER  {OURS} "):
        assert tenants.authenticate({"Authorization": spelt}).name == "ours"


def test_keys_come_from_files_too(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{OURS}\n")
    other = new_key()
    tenants = Tenants(fleet(listed("ours", other, key_file=str(file)), listed("theirs", THEIRS)))
    assert {tenants.authenticate(bearer(key)).name for key in (OURS, other)} == {"ours"}
    with pytest.raises(KeyFileError, match="tenants 'theirs' and 'ours' share a key") as raised:
        Tenants(fleet(listed("theirs", OURS), Listed(name="ours", key_file=str(file))))
    assert OURS not in str(raised.value)
    assert digest(OURS) not in str(raised.value)
    with pytest.raises(KeyFileError, match="No such file"):
        Tenants(fleet(Listed(name="ours", key_file=str(tmp_path / "none"))))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer   "},
        {"Authorization": OURS},
        {"Authorization": f"Basic {OURS}"},
        {"Authorization": f"Bearer{OURS}"},
        {"api-key": OURS},
    ],
)
def test_no_key(headers: dict[str, str]) -> None:
    error = refusal(Tenants(fleet(listed("ours", OURS))), headers)
    answer = error.response()
    assert (answer.status, error.code) == (401, None)
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="fakes"'
    assert "Bearer KEY" in error.message
    assert OURS not in repr(error)


@pytest.mark.parametrize(
    "key",
    [
        OURS.swapcase(),
        OURS[:-1],
        OURS + "x",
        f"{OURS} {OURS}",
        digest(OURS),
        "x" * 10_000,
        "ключ",
        "\udcff\udcfe",
        OURS + "\x00",
    ],
    ids=range(9),
)
def test_a_wrong_key(key: str) -> None:
    error = refusal(Tenants(fleet(listed("ours", OURS))), {"Authorization": f"Bearer {key}"})
    assert (error.status, error.code) == (401, "invalid_api_key")
    assert error.response().headers["WWW-Authenticate"] == 'Bearer realm="fakes", error="invalid_token"'
    assert error.message == "no tenant of this fleet has the key that you sent; check it"


@given(st.text(max_size=50))
def test_whatever_stands_in_the_header_is_no_key(given_header: str) -> None:
    assert refusal(Tenants(fleet(listed("ours", OURS))), {"Authorization": given_header}).status == 401


@pytest.mark.parametrize("place", [0, 5, 9, None])
def test_every_key_is_compared_whichever_it_is(place: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [new_key() for _ in range(10)]
    tenants = Tenants(fleet(*[listed(f"t{n}", key) for n, key in enumerate(keys)]))
    compared = []

    class Counting:
        @staticmethod
        def compare_digest(one: bytes, other: bytes) -> bool:
            compared.append((len(one), len(other)))
            return hmac.compare_digest(one, other)

    monkeypatch.setattr(module, "hmac", Counting)
    if place is None:
        refusal(tenants, {"Authorization": "Bearer short"})
    else:
        assert tenants.authenticate(bearer(keys[place])).name == f"t{place}"
    assert compared == [(32, 32)] * 10, "all of them, each as long as the other"


def test_salts_differ_by_tenant_and_fleet_and_are_not_of_keys() -> None:
    def salts(*keys: str, **changes: Any) -> list[str]:
        tenants = Tenants(fleet(*[listed(f"t{n}", key) for n, key in enumerate(keys)], **changes))
        return [tenants.authenticate(bearer(key)).salt for key in keys]

    first = salts(OURS, THEIRS)
    assert len({*first, *salts(OURS, THEIRS, name="other")}) == 4
    assert salts(THEIRS, OURS) == first, "the same after the keys were changed, and in every process"
    assert all(first)


def test_models_are_known_by_alias_too() -> None:
    made = fleet(listed("all", OURS), listed("one", THEIRS, models=["n-alias"]))
    tenants = Tenants(made)
    m, n = made.models
    everything, one = (tenants.authenticate(bearer(key)) for key in (OURS, THEIRS))
    assert [everything.may_use(model) for model in (m, n)] == [True, True]
    assert [one.may_use(model) for model in (m, n)] == [False, True]


def test_an_mlperf_fleet_sheds_nothing() -> None:
    limited = listed("ours", OURS, limits=Limits(requests_per_minute=1))
    for mlperf, refused in ((False, True), (True, False)):
        quota = Tenants(fleet(limited, mlperf=mlperf)).authenticate(bearer(OURS)).quota
        quota.charge(Unit.REQUESTS)
        try:
            quota.charge(Unit.REQUESTS)
        except OverLimit:
            assert refused
        else:
            assert not refused


def test_nothing_that_is_printed_of_a_tenant_is_a_key() -> None:
    tenants = Tenants(fleet(listed("ours", OURS)))
    shown = f"{tenants!r} {tenants.authenticate(bearer(OURS))!r} {fleet(listed('ours', OURS))!r}"
    assert OURS not in shown
