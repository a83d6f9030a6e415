"""Settings of JAX's CPU back end that must be made before its first computation."""

import os

from jax._src import xla_bridge

_EXTRA = "--xla_backend_extra_options="
_FUSION = "xla_cpu_use_multi_output_fusion"
_DEVICES = "--xla_force_host_platform_device_count="


def configure_cpu(num_devices: int | None = None) -> None:
    """Let XLA's CPU back end fuse the hybrid loop into few kernels, and set the number of host devices.

    Sets multi-output fusion in `XLA_FLAGS`: without it each of the loop's
    outputs recomputes the whole step. Opt-in, because the fusion is not XLA's default. Call it before the first JAX
    computation; a second call with the same argument does nothing. What you have set in `XLA_FLAGS` yourself is kept.

    `--xla_cpu_prefer_vector_width=512` would save another fifth and is left alone: with it, jaxlib 0.10.2 computes half of
    the lanes of `jnp.arctan` as zero.

    Args:
        num_devices: number of devices to split the host into (None: leave it).

    Raises:
        RuntimeError: when the back end has already started, so that the settings could not take effect.
    """
    flags = os.environ.get("XLA_FLAGS", "").split()
    wanted = list(flags)
    extra = next((flag for flag in flags if flag.startswith(_EXTRA)), None)
    if extra is None:
        wanted.append(_EXTRA + _FUSION)
    elif _FUSION not in extra:
        wanted[wanted.index(extra)] = f"{extra},{_FUSION}"
    if num_devices is not None and not any(flag.startswith(_DEVICES) for flag in flags):
        wanted.append(f"{_DEVICES}{num_devices}")
    if wanted == flags:
        return
    if xla_bridge.backends_are_initialized():
        raise RuntimeError(
            "configure_cpu was called after JAX had started its back end, where it has no effect. "
            "Call jaxneuro.configure_cpu() right after the imports, before the first JAX computation."
        )
    os.environ["XLA_FLAGS"] = " ".join(wanted)
