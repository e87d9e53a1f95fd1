"""A cancel means what is under way, not the next run in the same process."""

from provider.cancellation import Calls


def test_a_cancel_reaches_every_call_under_way_and_those_that_join_them() -> None:
    calls = Calls()
    with calls.call() as first:
        with calls.call() as second:
            assert not first.is_set()
            calls.cancel()
            assert first.is_set()
            assert second.is_set()
        with calls.call() as third:
            assert third.is_set(), "the run is not over while one of its calls lasts"
    with calls.call() as next_run:
        assert not next_run.is_set()


def test_the_cancel_at_the_end_of_every_run_reaches_nobody() -> None:
    calls = Calls()
    calls.cancel()
    with calls.call() as cancelled:
        assert not cancelled.is_set()
    calls.cancel()
    calls.cancel()
    with calls.call() as cancelled:
        assert not cancelled.is_set()
