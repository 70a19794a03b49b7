"""The bytes of a request arrive in any pieces, each of which the service reads by itself."""

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from harness._pytest.fixtures import Trial
from scenarios.forking_service.properties import few, pieces_of
from scenarios.forking_service.service import SERVICE
from scenarios.forking_service.workloads import ALIVE, asks, forks

REPLIES = {
    "hello\n": ALIVE,
    "hello\r\n": ALIVE,
    "child_connect_timeout 60\r\n": "ok\n",
    "child_connect_timeout -1\n": "FAILURE: not an integer >= 0: '-1'\n",
    "fork\n": "FAILURE\nunknown request: 'fork\\n'\n",
    "fork-env x\nno variable\nend\n": "FAILURE\ncommand or env parsing failed:"
    " \"Not a variable: 'no variable'\"\n",
}
CHILDREN = {
    "fork rocks\n": "It sure does!\n",
    "fork-env whoami\nBZR_EMAIL: a@weekend\nend\n": "a@weekend\n",
    "fork-env 'who'am\"i\"\r\nBZR_EMAIL: end\r\nBZR_LOG: end \r\nend\r\n": "end\n",
}


@few
@given(data=st.data())
def test_the_reply_is_the_same(trial: Trial, data: st.DataObject) -> None:
    request = data.draw(st.sampled_from([*REPLIES]))
    pieces = data.draw(pieces_of(request))
    trial(SERVICE, partial(asks, pieces=pieces, reply=REPLIES[request], is_slow=True))


@few
@given(data=st.data())
def test_the_child_is_the_same(trial: Trial, data: st.DataObject) -> None:
    request = data.draw(st.sampled_from([*CHILDREN]))
    pieces = data.draw(pieces_of(request))
    trial(SERVICE, partial(forks, pieces=pieces, stdout=CHILDREN[request], is_slow=True))
