"""Sums of memory changes by function."""

from pool.growth import FUNCTIONS, FunctionGrowth, Growth


def test_the_function_that_grew_most_comes_first():
    growth = Growth()
    for _ in range(100):
        growth.add("leak", 1 << 20)
        growth.add("cache", 4096)
        growth.add("steady", 8192)
        growth.add("steady", -8192)
    assert growth.top(5) == (
        FunctionGrowth(function="leak", grown_bytes=100 << 20, calls=100),
        FunctionGrowth(function="cache", grown_bytes=409600, calls=100),
    )
    assert [grown.function for grown in growth.top(1)] == ["leak"]


def test_a_function_that_gives_memory_back_is_not_named():
    growth = Growth()
    growth.add("frees", -4096)
    assert growth.top(5) == ()


def test_the_number_of_functions_is_bounded_and_the_worst_is_kept():
    growth = Growth()
    growth.add("leak", 1 << 30)
    for number in range(FUNCTIONS * 10):
        growth.add(f"small {number}", 4096)
    assert len(growth.top(FUNCTIONS * 20)) <= FUNCTIONS
    assert growth.top(1)[0].function == "leak"
