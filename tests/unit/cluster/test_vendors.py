from __future__ import annotations

from cluster.vendors import ENGINE_KINDS, VENDORS


def test_engines_run_on_vendors_that_there_are() -> None:
    for kind in ENGINE_KINDS.values():
        assert kind.vendors
        assert kind.vendors <= set(VENDORS)
        if kind.uses_gpu:
            assert all(VENDORS[vendor].resource for vendor in kind.vendors)


def test_what_the_real_engine_needs_is_a_set_of_strings() -> None:
    for kind in ENGINE_KINDS.values():
        assert all(isinstance(value, str) for value in kind.environment.values())


def test_amd_gpus_are_numbered_once() -> None:
    assert VENDORS["amd"].visible_devices == "HIP_VISIBLE_DEVICES"
    assert "ROCR_VISIBLE_DEVICES" in ENGINE_KINDS["rocm"].removed_environment


def test_only_vendors_with_gpus_carry_a_label() -> None:
    assert VENDORS["nvidia"].labels() == {"gpu-vendor": "nvidia"}
    assert VENDORS["cpu"].labels() == {}
