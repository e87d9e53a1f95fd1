"""Replicas are spread evenly, and stay where they are as far as that allows."""

from collections import Counter

import pytest

from config.placement import spread

NAMES = [f"app{index}" for index in range(200)]


def nodes(count):
    return [f"node{number}" for number in range(2, count + 2)]


@pytest.mark.parametrize(("replicas", "count"), [(1, 1), (2, 2), (2, 3), (5, 2), (7, 3), (256, 10), (3, 64)])
def test_no_node_has_two_more_than_another(replicas, count):
    placements = spread("shop", replicas, nodes(count))
    per_node = Counter(placement.node for placement in placements)
    numbers = [per_node[node] for node in nodes(count)]
    assert sum(numbers) == replicas
    assert max(numbers) - min(numbers) <= 1


def test_every_instance_has_a_name_of_its_own():
    names = [placement.name for placement in spread("shop", 5, nodes(2))]
    assert len(set(names)) == 5
    assert {"node2", "node2-2", "node3", "node3-2"} <= set(names)


def test_single_replicas_of_many_applications_use_all_nodes():
    used = Counter(spread(name, 1, nodes(4))[0].node for name in NAMES)
    assert min(used[node] for node in nodes(4)) > len(NAMES) / 4 / 2


def test_a_new_node_takes_instances_and_no_old_one_does():
    for name in NAMES:
        before, after = set(spread(name, 2, nodes(3))), set(spread(name, 2, nodes(4)))
        assert {placement.node for placement in after - before} <= {"node5"}


def test_no_node_no_instance():
    assert spread("shop", 2, []) == ()
