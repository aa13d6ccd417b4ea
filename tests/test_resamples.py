"""Resamples of patients: who is drawn how often, and sums over the images of each resample."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmarks.statistics.resamples import N_REPLICATES, Resamples, draw_counts, n_threads

GROUPS = ["b", "a", "b", "c", "a", "b"]


@pytest.fixture
def drawn() -> Resamples:
    return Resamples.draw(GROUPS, seed=4, n_replicates=300)


def test_images_belong_to_their_patients_and_the_first_column_is_the_test_set_itself(drawn: Resamples) -> None:
    assert drawn.patient.tolist() == [1, 0, 1, 2, 0, 1]
    assert (drawn.n_patients, drawn.n_replicates, drawn.seed) == (3, 300, 4)
    assert drawn.counts[:, 0].tolist() == [1, 1, 1]
    np.testing.assert_array_equal(drawn.counts[:, 1:], draw_counts(3, 300, seed=4))


def test_every_resample_draws_each_patient_with_the_same_chance() -> None:
    """A patient is drawn (1, 1) times by two, or (2, 0), or (0, 2): in 1/2, 1/4 and 1/4 of the resamples."""
    counts = draw_counts(2, 4000, seed=0)
    assert (counts.sum(axis=0) == 2).all()
    assert [(counts[0] == k).mean() for k in (0, 1, 2)] == pytest.approx([1 / 4, 1 / 2, 1 / 4], abs=0.03)


@pytest.mark.parametrize("n", [1, 249, 250, 251, 700])
def test_any_number_of_resamples_can_be_asked_for(n: int) -> None:
    counts = draw_counts(40, n, seed=1)
    assert counts.shape == (40, n)
    assert (counts.sum(axis=0) == 40).all()
    assert len(np.unique(counts, axis=1).T) == n
    assert Resamples.draw(range(40), seed=1, n_replicates=n).n_replicates == n


def test_two_thousand_are_drawn_unless_it_is_said_otherwise() -> None:
    assert Resamples.draw(GROUPS, seed=0).n_replicates == N_REPLICATES == 2000


@pytest.mark.parametrize(("groups", "n"), [([], 5), (GROUPS, 0), (GROUPS, -1)])
def test_no_images_or_no_resamples_are_refused(groups: list[str], n: int) -> None:
    with pytest.raises(ValueError, match=f"{n} replicates of {len(groups)} images"):
        Resamples.draw(groups, seed=0, n_replicates=n)


def test_arms_share_their_resamples_and_cannot_change_them() -> None:
    one, other = (Resamples.draw(GROUPS, seed=0, n_replicates=5) for _ in range(2))
    assert one.counts is other.counts
    with pytest.raises(ValueError, match="read-only"):
        one.counts[0, 0] = 2


def test_a_total_is_the_sum_over_the_images_of_the_resample_written_out(drawn: Resamples) -> None:
    values = np.random.default_rng(0).normal(size=(6, 2))
    times = drawn.counts[drawn.patient]  # (N, 1 + B): how often each image is in each resample
    np.testing.assert_allclose(drawn.total(values), values.T @ times)
    np.testing.assert_allclose(drawn.total(values[:, 0]), values[:, 0] @ times)
    np.testing.assert_array_equal(drawn.total(np.ones(6, bool)), times.sum(axis=0))
    assert drawn.member.toarray().tolist() == [[0, 1, 0, 0, 1, 0], [1, 0, 1, 0, 0, 1], [0, 0, 0, 1, 0, 0]]


def test_some_of_the_images_are_seen_by_the_same_resamples(drawn: Resamples) -> None:
    some = drawn.of_rows(np.array([0, 3]))
    assert some.patient.tolist() == [1, 2]
    assert some.counts is drawn.counts and some.seed == 4
    np.testing.assert_array_equal(some.total(np.ones(2)), drawn.counts[1] + drawn.counts[2])


def test_a_design_is_the_truth_the_patients_the_classes_and_the_resamples(drawn: Resamples) -> None:
    yes = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [1, 0], [0, 1]], bool)
    changed = {
        "truth": drawn.design(~yes, "xy"),
        "classes": drawn.design(yes, "yx"),
        "patients": dataclasses.replace(drawn, patient=drawn.patient[::-1]).design(yes, "xy"),
        "seed": dataclasses.replace(drawn, seed=5).design(yes, "xy"),
        "resamples": Resamples.draw(GROUPS, seed=4, n_replicates=301).design(yes, "xy"),
    }
    assert len({drawn.design(yes, "xy"), *changed.values()}) == 6
    assert Resamples.draw(GROUPS, seed=4, n_replicates=300).design(np.asfortranarray(yes), ["x", "y"]) == drawn.design(
        yes, "xy"
    )


@pytest.mark.parametrize(("cores", "threads"), [(None, 1), (1, 1), (3, 3), (8, 8), (64, 8)])
def test_there_is_a_thread_for_each_core_but_no_more_than_eight(cores, threads, monkeypatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert n_threads() == threads
