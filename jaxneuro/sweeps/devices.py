"""The devices of a sweep: those of this process, one tile each at a time."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh


def chosen_devices(devices: Any) -> list[Any]:
    """Return devices of this process, [None] for JAX's default device; raise for anything else."""
    if devices is None:
        return [None]
    if isinstance(devices, Mesh):
        return _checked([d for d in devices.devices.ravel() if d.process_index == jax.process_index()], devices)
    if isinstance(devices, int | np.integer) and not isinstance(devices, bool):
        local = jax.local_devices()
        if devices < 1:
            raise ValueError(f"devices must be a number >= 1, some devices, a mesh or None; it is {devices}.")
        if devices > len(local):
            raise ValueError(
                f"devices={devices}, but there {'is' if len(local) == 1 else 'are'} {len(local)} of the platform "
                f"{local[0].platform!r} in this process. On a CPU, jn.configure_cpu(num_devices={devices}) before the "
                f"first JAX computation makes host devices."
            )
        return _checked(local[:devices], devices)
    if isinstance(devices, Sequence | np.ndarray) and all(isinstance(d, jax.Device) for d in devices):
        return _checked(list(devices), devices)
    raise TypeError(
        f"devices must be None, a number of local devices, a sequence of jax.Device or a jax.sharding.Mesh; it is {devices!r}."
    )


def _checked(devices: list[Any], given: Any) -> list[Any]:
    if not devices:
        raise ValueError(f"devices={given!r} holds no device of this process ({jax.local_devices()}).")
    if len(set(devices)) < len(devices):
        raise ValueError(f"devices={given!r} holds a device twice.")
    far = [d for d in devices if d.process_index != jax.process_index()]
    if far:
        raise ValueError(
            f"devices={given!r} are devices of another process: {far}. Each process passes its own, or a mesh."
        )
    return devices
