"""What packed calls tell the entry about themselves is the same as when each is told by itself."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.call import Identity, new_call
from bridge.native import call_meta, call_metas

words = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=256)


@given(st.lists(st.tuples(words, st.sampled_from(["", "00-trace", "00-other"]))), words)
def test_they_are_what_one_call_tells(calls, tenant):
    made = [
        new_call(
            "InvokeService/Call",
            Identity(request_id, tenant=tenant, traceparent=trace, bare=not tenant and not trace),
            b"",
            0.0,
        )
        for request_id, trace in calls
    ]
    assert call_metas(made) == [call_meta(call) for call in made]
