"""Settings of JAX's CPU back end that must be made before its first computation."""

import os

from jax._src import xla_bridge

_FAST_LOOPS = ("xla_cpu_use_multi_output_fusion", "xla_cpu_prefer_vector_width=512")


def configure_cpu(num_devices: int | None = None) -> None:
    """Let XLA's CPU back end fuse the hybrid loop into few kernels, and set the number of host devices.

    Sets `--xla_backend_extra_options` (multi-output fusion, 512-bit vectors) in `XLA_FLAGS`: without it each of the loop's
    outputs recomputes the whole step. Opt-in, because the fusion is not XLA's default. Call it before the first JAX
    computation; a second call with the same argument does nothing. What you have set in `XLA_FLAGS` yourself is kept.

    Args:
        num_devices: number of devices to split the host into (None: leave it).

    Raises:
        RuntimeError: when the back end has already started, so that the settings could not take effect.
    """
    flags = os.environ.get("XLA_FLAGS", "").split()
    wanted = list(flags)
    extra = [flag for flag in flags if flag.startswith("--xla_backend_extra_options=")]
    have = extra[0].split("=", 1)[1].split(",") if extra else []
    missing = [x for x in _FAST_LOOPS if x.split("=")[0] not in {y.split("=")[0] for y in have}]
    if missing:
        wanted = [f for f in flags if f not in extra] + [
            "--xla_backend_extra_options=" + ",".join(have + missing)
        ]
    count = "--xla_force_host_platform_device_count="
    if num_devices is not None and not any(flag.startswith(count) for flag in flags):
        wanted.append(f"{count}{num_devices}")
    if wanted == flags:
        return
    if xla_bridge.backends_are_initialized():
        raise RuntimeError(
            "configure_cpu was called after JAX had started its back end, where it has no effect. "
            "Call jaxneuro.configure_cpu() right after the imports, before the first JAX computation."
        )
    os.environ["XLA_FLAGS"] = " ".join(wanted)
