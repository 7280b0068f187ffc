"""What layers share that keep the representation of their argument."""

from __future__ import annotations

import abc
from typing import Any

from eqjax.reps import Rep


class KeepsRep(abc.ABC):
    """A layer with a field `rep`, the representation of arguments and of results."""

    rep: Any

    @property
    def rep_in(self) -> Rep:
        """The representation of the argument."""
        return self.rep

    @property
    def rep_out(self) -> Rep:
        """The representation of the result, the same."""
        return self.rep

    @property
    def group(self) -> Any:
        """The group of the representation."""
        return self.rep.group
