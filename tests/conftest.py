"""Strict by default: float64, no silent broadcasting, warnings are errors (pyproject), annotations executed (pyproject).

The suite runs with the library's CPU settings; JAXNEURO_PLAIN_CPU=1 runs it with XLA's own.
"""

import os

import jax

import jaxneuro as jn

# Programs of a vmap with small matrix products can wait for ever on XLA's pool of threads (jaxlib 0.10.2, seen once in a batch of
# `stability_limit`). Two processes share two cores here: one thread each is as fast.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
if os.environ.get("JAXNEURO_PLAIN_CPU") != "1":
    jn.configure_cpu()
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
