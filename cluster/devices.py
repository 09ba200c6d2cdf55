"""Whether a replica really has the GPUs that it asked Ray for."""

from __future__ import annotations

from collections.abc import Mapping

from cluster.vendors import ENGINE_KINDS, VENDORS


class DeviceError(RuntimeError):
    """A replica without its GPUs: its engine would start on others, or on none."""


def require_devices(vendor: str, engine: str, wanted: int, environment: Mapping[str, str]) -> None:
    """Raises DeviceError where Ray did not show this process `wanted` GPUs by the vendor's own variable.

    Ray takes a node whose GPUs it cannot identify for one of another vendor, and then sets that vendor's variable.
    """
    variable = VENDORS[vendor].visible_devices
    if not ENGINE_KINDS[engine].uses_gpu or variable is None:
        return
    devices = [device for device in environment.get(variable, "").split(",") if device.strip()]
    if len(devices) != wanted:
        raise DeviceError(
            f"this replica asked Ray for {wanted} {vendor} GPU(s), but {variable} is "
            f"'{environment.get(variable, '')}'; "
            f"see on its node whether Ray recognises the GPUs (`ray status -v`) and whether the tag is right"
        )
