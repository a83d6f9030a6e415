"""The notebooks run from top to bottom in a fresh namespace, and hold no outputs."""

import json
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "experiments" / "notebooks").glob("*.ipynb"))


def code_cells(path):
    notebook = json.loads(path.read_text())
    assert notebook["nbformat"] == 4
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells), "clear the outputs"
    for number, cell in enumerate(cells):
        lines = "".join(cell["source"]).splitlines()
        yield number, "\n".join(line for line in lines if not line.startswith("%"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path):
    matplotlib.use("Agg")
    names = {"__name__": path.stem}
    try:
        for number, source in code_cells(path):
            exec(compile(source, f"{path.name}, code cell {number}", "exec"), names)
        if path.stem == "first_neuron":
            check_first_neuron(names)
    finally:
        plt.close("all")


def check_first_neuron(names):
    """The fit brings the true values back, and every figure shows something."""
    found, true = names["found"], names["params"]
    for name in ("a", "b", "d"):
        assert float(found[name]) == pytest.approx(float(getattr(true, name)), rel=1e-3)
    assert len(plt.get_fignums()) >= 4
    assert all(ax.has_data() for number in plt.get_fignums() for ax in plt.figure(number).axes)
