"""Imports point one way (design of the package), and `import jaxneuro` needs no extra."""

import ast
import subprocess
import sys
from pathlib import Path

import jaxneuro as jn

PACKAGE = Path(jn.__file__).parent
LAYERS = (
    ("types", "numerics", "results", "runtime", "progress", "files"),
    ("model", "stimuli", "spikes", "solvers", "nets", "metrics"),
    ("neurons", "hybrid", "grids", "sweeps", "losses"),
    ("train", "analysis"),
    ("plotting",),
)


def layer(module):
    """Return the number of the layer, -1 for none."""
    return next((k for k, names in enumerate(LAYERS) if module in names), -1)


def imported(path):
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_direction_of_imports():
    for path in PACKAGE.rglob("*.py"):
        here = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if here == "__init__":
            continue
        assert layer(here) >= 0, f"{here} stands in no layer of this test"
        for name in imported(path):
            parts = name.split(".")
            assert parts[0] not in ("scipy", "sklearn", "mlxtend", "tyro"), (path, name)
            assert parts[0] != "matplotlib" or here == "plotting", (path, name)
            assert not (here == "neurons" and parts[0] == "diffrax"), path
            if parts[0] == "jaxneuro" and len(parts) > 1 and parts[1] != here:
                assert layer(parts[1]) <= layer(here), (path, name)
                assert {here, parts[1]} != {"hybrid", "neurons"}, (path, name)


def test_no_module_has_the_name_of_a_public_function():
    modules = {p.stem for p in PACKAGE.glob("*.py")} | {p.name for p in PACKAGE.iterdir() if p.is_dir()}
    functions = {name for name in dir(jn) if callable(getattr(jn, name))}
    assert not modules & functions


def test_import_needs_no_extra():
    extras = ("matplotlib", "tqdm", "tyro", "beartype", "sklearn", "tensorboardX", "zarr", "xarray")
    script = f"import sys, jaxneuro; print([m for m in {extras} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_configure_cpu():
    script = (
        "import os; os.environ['XLA_FLAGS'] = '--xla_backend_extra_options=my_option'\n"
        "import jax, jaxneuro as jn\n"
        "jn.configure_cpu(2); jn.configure_cpu(2); print(os.environ['XLA_FLAGS']); print(len(jax.devices()))\n"
        "jn.configure_cpu(2)\n"
        "os.environ['XLA_FLAGS'] = ''\n"
        "try: jn.configure_cpu()\nexcept RuntimeError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    flags, devices, error = done.stdout.strip().splitlines()
    assert flags.split() == [
        "--xla_backend_extra_options=my_option,xla_cpu_use_multi_output_fusion,xla_cpu_small_while_loop_byte_threshold=400000",
        "--xla_force_host_platform_device_count=2",
    ]
    assert devices == "2" and "after JAX had started" in error


def test_the_arctan_that_a_vector_width_would_break():
    """configure_cpu leaves the vector width alone, because 512 bits made half of arctan's lanes zero."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    x = jnp.linspace(0.1, 2.0, 100)
    np.testing.assert_allclose(jax.jit(jnp.arctan)(x), np.arctan(np.asarray(x)), rtol=1e-12)
