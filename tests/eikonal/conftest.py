"""Fixtures of the tests of travel times."""

import jaxtyping
import pytest


@pytest.fixture
def user_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the type checks of the suite, which precede the messages to users."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
