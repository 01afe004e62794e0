"""What the tests of benches know of medians by themselves."""
import math


def near(a, b):
    return abs(a - b) <= 1e-9 * max(abs(a), abs(b))


def interval(times):
    """Of the median, by the binomial distribution, summed exactly."""
    n, k = len(times), 1
    while 2 * sum(math.comb(n, i) for i in range(k + 1)) <= 0.05 * 2 ** n:
        k += 1
    return sorted(times)[k - 1], sorted(times)[n - k]
