import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.evaluation.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, make_chart, make_ticks


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.74, 1.31, [0.8, 0.9, 1, 1.1, 1.2, 1.3]),
        (3, 3, [3]),
        (-1, 1, [-1, -0.5, 0, 0.5, 1]),
    ],
)
def test_ticks_are_round_numbers_within_the_range(low, high, ticks):
    assert make_ticks(low, high) == ticks


def test_a_count_has_no_ticks_between_whole_numbers():
    assert make_ticks(1, 3, least=1) == [1, 2, 3]
    assert make_ticks(1, 12, least=1) == [2, 4, 6, 8, 10, 12]


numbers = st.floats(-1e6, 1e6).map(lambda value: round(value, 6))
points = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=9)


@given(st.lists(points, min_size=1, max_size=3))
def test_all_points_and_ticks_are_within_the_axes(lines):
    chart = make_chart(lines)
    for x, y in [point for line in chart.lines for point in line]:
        assert LEFT <= x <= WIDTH - RIGHT
        assert TOP <= y <= HEIGHT - BOTTOM
    assert all(LEFT <= position <= WIDTH - RIGHT for position, _ in chart.x_ticks)
    assert all(TOP <= place <= HEIGHT - BOTTOM for place, _ in chart.y_ticks)
    assert len(chart.x_ticks) <= 8


def test_the_position_of_a_point_by_hand():
    chart = make_chart([[(0, 0), (1, 1)], [(0.5, 0.25)]])
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    assert chart.lines[1] == [(middle, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) / 4)]
