"""A dead host costs no request its answer: the measurement itself, with few requests. It looks at no time."""

from __future__ import annotations

from pathlib import Path

import pytest

from perf import failover
from tests.engines.conftest import built
from tests.proxy.far_host import lacking
from tests.rules.environments import PINNED, Unavailable, python_of

pytestmark = pytest.mark.engines
# Long enough for an answer of two tokens on a busy machine; and the collection's own where no answer is waited for, because no
# connection comes about. A client of the measurement gives up before that is over.
TIMEOUTS_S = {"refused": 300.0, "powered-off": 300.0, "dropped": 300.0, "hanging": 5.0}
OURS_ALONE = failover.Counts(before=5, ours=10, conventional=0, ours_beside=3, conventional_beside=0)


@pytest.mark.parametrize("failure", list(failover.COUNTS))
def test_every_request_is_answered_by_the_second_host(failure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if failure in failover.FAR and (reason := lacking()):
        pytest.skip(reason)
    for name in (failover.LLAMA_CPP, failover.MODEL):
        built(name)
    try:
        python_of(PINNED)
    except Unavailable as reason:
        pytest.skip(str(reason))
    monkeypatch.setitem(failover.COUNTS, failure, OURS_ALONE)
    found = failover.run(failover.Wanted((failure,), TIMEOUTS_S[failure], None, quick=False))
    [result] = found["results"]
    figures = result["figures"]
    assert figures["before_by_primary"] == OURS_ALONE.before
    assert (figures["failed"], figures["healthy_failed"], figures["broken_by_primary"]) == (0, 0, 0)
    tried_another = [request[-1] for request in result["requests"]]
    # The first looks for the dead host; then it is left alone, for longer than the rest takes.
    assert tried_another == [True] + [False] * (OURS_ALONE.ours - 1)
