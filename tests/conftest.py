"""Strict by default: float64, no silent broadcasting, warnings are errors (pyproject), annotations executed (pyproject).

The suite runs with the library's CPU settings; JAXNEURO_PLAIN_CPU=1 runs it with XLA's own.
"""

import os

import jax

import jaxneuro as jn

if os.environ.get("JAXNEURO_PLAIN_CPU") != "1":
    jn.configure_cpu()
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
