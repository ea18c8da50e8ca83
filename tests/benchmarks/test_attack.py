"""A short form of the attacks: the service stays small and answers everybody else."""

import numpy as np
import pytest

from benchmarks.attack import ATTACKS, serving, watch


@pytest.fixture(scope="module")
def attacked(project):
    with serving(project.path / "models/export") as (port, process):
        yield port, process, process.memory_info().rss


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_harms_nobody_else(attacked, name):
    port, process, at_first = attacked
    seen = watch(port, process, name, seconds=1)
    assert set(seen.statuses) == {200}
    assert seen.peak < 300e6
    assert seen.after < at_first + 50e6
    assert np.quantile(seen.seconds, 0.99) < 5  # on a busy machine; benchmarks/attack.py measures it
