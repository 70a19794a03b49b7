"""What the property tests share: how many examples, and strategies."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

#: An example is three trials or more, so a tenth as many as elsewhere. The fixture `trial` keeps
#: nothing from one example to the next.
few = settings(
    max_examples=settings.default.max_examples // 10 if settings.default else 10,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

seeds = st.integers(1, 2**32)


@st.composite
def pieces_of(draw: st.DrawFn, text: str) -> list[str]:
    """*text* in pieces, none of them empty."""
    cuts = sorted(draw(st.sets(st.integers(1, len(text) - 1), max_size=12)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
