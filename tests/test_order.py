"""The order in which the tests run."""

from tests.conftest import rank


def test_quick_tests_run_before_machines_and_machines_before_the_cloud(request):
    ranks = [rank(item) for item in request.session.items]
    assert ranks == sorted(ranks)
