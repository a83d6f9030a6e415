"""The benchmarks' own machinery: our side at smoke size, errors against the reference, processes, tables. Peers are not run."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import written

import jaxneuro as jn
from experiments.benchmarks import compare, compile_times, environments, figures, report, scipy_check, scores
from experiments.benchmarks.lanes import cell_of
from experiments.benchmarks.peers import protocol
from experiments.benchmarks.settings import OURS, TOOLS, settings
from experiments.benchmarks.tasks import TASKS


def test_compare_our_side(tmp_path):
    found = compare.main(smoke=True, out=str(tmp_path), repeats=1)
    written(found.folder)
    exact, grid = found.rows
    assert exact["error_max"] < 1e-4
    assert 0.01 < grid["error_median"] < 1 and grid["steps"] == 16 * 500
    assert all(r["wrong"] == 0 and r["best_s"] > 0 and r["cores"] > 0 for r in found.rows)
    assert json.loads((tmp_path / "table.json").read_text()) == found.rows
    text = (tmp_path / "table.md").read_text()
    assert "| jaxneuro | defaults, 1 device | 16 |" in text and "Fastest setting" in text
    # A killed run: its last line is cut. What is there is kept, the rest is run again.
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    (tmp_path / "rows.jsonl").write_text(lines[0] + "\n" + lines[1][:40])
    again = compare.main(smoke=True, resume=True, out=str(tmp_path), repeats=1).rows
    assert again[0] == exact and again[1]["error_median"] == grid["error_median"]


def test_every_task_is_the_library_s_own():
    for task in TASKS.values():
        model = getattr(jn, task.model)
        cell = cell_of(task._replace(neurons=2).job(), {})
        defaults = jn.neurons.adex_tonic() if task.model == "AdEx" else model.default_params()
        np.testing.assert_allclose(jax.tree.leaves(cell.params), jax.tree.leaves(defaults))
        start = model.init_state(cell.params)
        np.testing.assert_allclose(jax.tree.leaves(cell.state0), jax.tree.leaves(start), rtol=1e-14)
        # scipy's equations are those of the record, away from the start.
        state = jax.tree.map(lambda x: 1.1 * x + 0.01, start)
        rule = scipy_check.RULES[task.model]
        theirs = rule.field(np.asarray(state), task.params, 3.0)
        ours = model.vector_field(jnp.zeros(()), state, cell.params, jnp.asarray(3.0))
        np.testing.assert_allclose(theirs, jax.tree.leaves(ours), rtol=1e-10)


def test_settings_have_names_of_their_own():
    for task in TASKS:
        for tool in TOOLS:
            rows = settings(tool, task)
            assert len({row.label for row in rows}) == len(rows)
            json.dumps([row.options for row in rows])
    assert all(settings(OURS, task) for task in TASKS)


def test_score_by_hand():
    exact = np.array([[10.0, 20.0, 30.0], [40.0, 99.0, 101.0], [50.0, 99.9, np.inf], [60.0, 70.0, 80.0], [np.inf] * 3])
    found = protocol.last_spikes(
        # a neuron as it is, one spike more at the end, one less at the end, one lost, none
        [0, 0, 0, 1, 1, 1, 2, 3, 3],
        [10.0, 20.0, 30.5, 40.0, 98.0, 99.8, 50.4, 60.0, 70.0],
        5,
    )
    assert found["count"].tolist() == [3, 3, 1, 2, 0]
    row = scores.score(found, exact, 100.0, 0.1)
    assert (row["wrong"], row["edge"], row["spikes"]) == (1, 2, 9)
    assert row["error_median"] == pytest.approx(0.5) and row["error_max"] == pytest.approx(1.0)


def _launch(code, tmp_path, settings, timeout=20.0):
    script = tmp_path / "peer.py"
    script.write_text(code)
    job = dict(task=TASKS["lif"].job(), settings=settings, repeats=1, budget=1.0)
    return environments.launch([sys.executable, "-S", str(script)], job, tmp_path, timeout)


def test_a_peer_that_fails_becomes_a_sentence(tmp_path):
    first = "import json, sys; open(sys.argv[1][:-5] + '.answer', 'w').write(json.dumps([{'seconds': [1.0]}]))\n"
    answers = _launch(first + "raise ImportError('no such library')", tmp_path, [{}, {}])
    assert answers[0] == {"seconds": [1.0]} and "code 1: ImportError: no such library" in answers[1]["failed"]
    assert "longer than 0.3 s" in _launch("import time; time.sleep(9)", tmp_path, [{}], timeout=0.3)[0]["failed"]
    with pytest.raises(environments.NotRun, match="not installed"):
        environments.command("nest", tmp_path, install=False)
    row = scores.row(TASKS["lif"], "nest", "x", "x", {}, answers[1])
    assert "not run: ended with code 1" in report.line(row)
    report.write(tmp_path, [row])
    assert "- not run: nest, x: ended" in (tmp_path / "table.md").read_text()
    assert not figures.draw([row])


def test_compile_times(tmp_path):
    found = compile_times.main(smoke=True, out=str(tmp_path))
    assert [row.name for row in found.rows] == ["simulate_grid(LIF)"] and 0 < found.rows[0].seconds < 60
    assert "| simulate_grid(LIF) |" in (tmp_path / "compile_times.md").read_text()
