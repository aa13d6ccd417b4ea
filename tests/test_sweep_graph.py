"""The graph of a sweep: what may begin, what is lost with a failure, and how machines share it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.sweep.graph import Graph, State, share
from benchmarks.sweep.items import Item


def item(key: str, *needs: str, stage: Any = "classify", waits: tuple[str, ...] = (), **more: Any) -> Item:
    return Item(stage, key, 0, key, needs=frozenset(needs), waits=frozenset(waits), **{"seconds": 1.0, **more})


def test_the_longest_way_goes_first() -> None:
    short, long = item("short", stage="fit", seconds=5), item("long", stage="fit", seconds=1)
    after = item("after", "fit-long", seconds=60)
    graph = Graph([short, long, after])
    assert [graph.next(), graph.next(), graph.next()] == [long, short, None]
    graph.settle(long, done=True)
    assert graph.next() == after


def test_what_needs_a_failed_item_is_lost_and_what_waits_for_it_is_not() -> None:
    fit, pool = item("f", stage="fit"), item("p", "fit-f", stage="pool")
    training = item("c", "pool-p")
    judged = item("e", stage="evaluate", waits=("classify-c",))
    graph = Graph([fit, pool, training, judged])
    assert graph.next() == fit
    assert {one.id for one in graph.settle(fit, done=False)} == {"pool-p", "classify-c"}
    assert graph.next() == judged
    graph.settle(judged, done=True)
    assert graph.settled and graph.of(State.lost) == [pool, training] and graph.of(State.failed) == [fit]


def test_what_is_not_among_the_items_is_there_already() -> None:
    assert Graph([item("a", "fit-stored")]).next() is not None


def test_a_failed_item_that_is_tried_again_may_begin_again() -> None:
    graph = Graph([item("a")])
    first = graph.next()
    assert first is not None and graph.next() is None
    graph.again(first)
    assert graph.next() == first


@st.composite
def graphs(draw: st.DrawFn) -> list[Item]:
    items: list[Item] = []
    for k in range(draw(st.integers(1, 14))):
        before = draw(st.lists(st.sampled_from([i.id for i in items]), unique=True, max_size=3)) if items else []
        cut = draw(st.integers(0, len(before)))
        items.append(item(f"{k}", *before[:cut], waits=tuple(before[cut:]), seconds=draw(st.floats(0, 9))))
    return items


@settings(deadline=None, max_examples=60)
@given(graphs(), st.randoms())
def test_every_order_of_ends_settles_everything_and_begins_nothing_early(items: list[Item], chance) -> None:
    graph, running, ended = Graph(items), [], {}
    while not graph.settled:
        while (begun := graph.next()) is not None:
            assert all(ended.get(one) for one in begun.needs) and all(one in ended for one in begun.waits)
            running.append(begun)
        assert running
        one = running.pop(chance.randrange(len(running)))
        ended[one.id] = chance.random() < 0.7
        ended |= {lost.id: False for lost in graph.settle(one, done=ended[one.id])}
    assert set(ended) == {one.id for one in items}


@pytest.mark.parametrize("of", [1, 2, 3, 5])
def test_machines_share_all_items_once_and_a_generator_is_one_machines(of: int) -> None:
    items: list[Item] = []
    for g in range(4):
        items.append(item(f"g{g}", stage="fit", home=f"g{g}"))
        for r in range(3):
            before = (f"pool-p{g}{r - 1}",) if r else ()
            items.append(item(f"p{g}{r}", f"fit-g{g}", stage="pool", waits=before, home=f"g{g}"))
            items += [item(f"c{g}{r}{k}", f"pool-p{g}{r}", home=f"g{g}") for k in range(3)]
    items += [item(f"none{k}", home=f"none{k}") for k in range(6)]
    items.append(item("all", *(one.id for one in items), stage="evaluate"))
    homes = {one.home: 10 if one.home[0] == "g" else 1 for one in items if one.home}
    shares = [share(items, homes, number, of) for number in range(1, of + 1)]
    made = sorted(one.id for part in shares for one in part)
    assert made == sorted(one.id for one in items if of == 1 or one.stage != "evaluate")
    assert sum({"fit-g0", "classify-c000"} & {one.id for one in part} != set() for part in shares) == 1
    rest = [one for one in items if one not in shares[0]]  # the first machine is done when the second begins
    if of > 1:
        left = [one.id for one in share(rest, homes, 2, of) if one.stage != "evaluate"]
        assert left == [one.id for one in shares[1]]


def test_an_earlier_judgement_elsewhere_keeps_no_machine_from_its_own() -> None:
    first = item("e", "classify-a", stage="evaluate")
    items = [
        item("a", home="a"),
        first,
        item("b", home="b"),
        item("f", "classify-b", stage="evaluate", waits=(first.id,)),
    ]
    shares = [{one.id for one in share(items, {"a": 1, "b": 1}, number, 2)} for number in (1, 2)]
    assert shares == [{"classify-a", "evaluate-e"}, {"classify-b", "evaluate-f"}]


def test_whoever_makes_the_last_that_is_missing_judges() -> None:
    items = [item("a", home="a"), item("b", home="b"), item("e", "classify-a", "classify-b", stage="evaluate")]
    homes = {"a": 1, "b": 1}
    assert [one.id for one in share(items, homes, 1, 2)] == ["classify-a"]
    assert [one.id for one in share(items[1:], homes, 2, 2)] == ["classify-b", "evaluate-e"]
