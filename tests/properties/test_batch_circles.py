"""Items of a batch that wait for each other in a circle are found, and only those."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from api.batch_refs import find_circle

NODES = st.sampled_from("abcdefgh")
GRAPHS = st.dictionaries(NODES, st.lists(NODES, unique=True, max_size=4))


def reachable(graph: dict[str, list[str]], start: str) -> set[str]:
    seen: set[str] = set()
    ahead = list(graph.get(start, ()))
    while ahead:
        node = ahead.pop()
        if node not in seen:
            seen.add(node)
            ahead.extend(graph.get(node, ()))
    return seen


@given(GRAPHS)
def test_a_circle_is_found_exactly_where_a_node_leads_back_to_itself(graph: dict[str, list[str]]) -> None:
    circle = find_circle(graph)

    assert (circle is not None) == any(node in reachable(graph, node) for node in graph)


@given(GRAPHS)
def test_a_circle_that_is_told_is_one(graph: dict[str, list[str]]) -> None:
    circle = find_circle(graph) or []

    assert all(other in graph[node] for node, other in pairwise([*circle, *circle[:1]]))
    assert len(set(circle)) == len(circle)


@given(st.permutations("abcdefgh"), st.data())
def test_what_waits_only_for_earlier_ones_is_no_circle(order: list[str], data: st.DataObject) -> None:
    graph = {
        node: data.draw(st.lists(st.sampled_from(order[:place]), unique=True)) if place else []
        for place, node in enumerate(order)
    }

    assert find_circle(graph) is None


def test_a_chain_of_ten_thousand_is_no_circle_until_its_ends_meet() -> None:
    chain = {str(number): [str(number + 1)] for number in range(10_000)}

    assert find_circle(chain) is None
    assert len(find_circle({**chain, "10000": ["0"]}) or []) == 10_001
