"""Settings of JAX's CPU back end that must be made before its first computation, and what follows from them."""

import os

import jax
from jax._src import xla_bridge

_EXTRA = "--xla_backend_extra_options="
_DEVICES = "--xla_force_host_platform_device_count="

# A loop whose turn touches fewer bytes than this becomes one function instead of some fifty calls a turn; a tile of lanes
# (below) and its gradient do, training loops are left alone (XLA excludes matrix products and convolutions).
_SMALL_LOOP = "xla_cpu_small_while_loop_byte_threshold"
_OPTIONS = {"xla_cpu_use_multi_output_fusion": None, _SMALL_LOOP: "400000"}


def configure_cpu(num_devices: int | None = None) -> None:
    """Let XLA's CPU back end compile the hybrid loop into one function of few kernels, and set the number of host devices.

    Sets two options in `XLA_FLAGS`. Multi-output fusion: without it each of the loop's outputs recomputes the whole step.
    Small loops as one function. Together a single neuron runs about eight times faster, ten thousand about three times.
    Opt-in, because neither is XLA's default, and they hold for all loops of the process: other loops over arrays of
    less than some thousand numbers become faster too or, where they read a row of an input each turn, slower. Call
    it before the first JAX computation; a second call with the same argument does nothing. What you have set in
    `XLA_FLAGS` yourself is kept.

    `--xla_cpu_prefer_vector_width=512` is left alone: with it, jaxlib 0.10.2 computes half of the lanes of `jnp.arctan` as
    zero.

    Args:
        num_devices: number of devices to split the host into (None: leave it).

    Raises:
        RuntimeError: when the back end has already started, so that the settings could not take effect.
    """
    flags = os.environ.get("XLA_FLAGS", "").split()
    extra = next((flag for flag in flags if flag.startswith(_EXTRA)), _EXTRA)
    given = [option for option in extra.removeprefix(_EXTRA).split(",") if option]
    named = {option.split("=")[0] for option in given}
    given += [n if value is None else f"{n}={value}" for n, value in _OPTIONS.items() if n not in named]
    wanted = [flag for flag in flags if flag != extra] + [_EXTRA + ",".join(given)]
    if num_devices is not None and not any(flag.startswith(_DEVICES) for flag in flags):
        wanted.append(f"{_DEVICES}{num_devices}")
    if set(wanted) == set(flags):
        return
    if xla_bridge.backends_are_initialized():
        raise RuntimeError(
            "configure_cpu was called after JAX had started its back end, where it has no effect. "
            "Call jaxneuro.configure_cpu() right after the imports, before the first JAX computation."
        )
    os.environ["XLA_FLAGS"] = " ".join(wanted)


def tile_lanes(num_fields: int, *, backward: bool = False) -> int | None:
    """Return how many lanes of a model with so many state variables run together (None: all of them).

    Measured (`experiments/benchmarks`): with small loops as one function what counts is the innermost cache; without, the
    fifty calls a turn have to be spread over many lanes.
    """
    if jax.default_backend() != "cpu":
        return None
    if _SMALL_LOOP not in os.environ.get("XLA_FLAGS", ""):
        return 128 if backward else 512
    return max((96 if backward else 128) // num_fields, 8)
