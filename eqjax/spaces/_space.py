"""What every space offers."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax.groups import Group


@runtime_checkable
class Space(Protocol):
    """A Riemannian manifold on which a group acts: a frozen spec without arrays.

    A point is one array of shape (*batch, ambient_dim) in coordinates without poles.
    A tangent vector `v` has the documented coordinates of the space, of shape (*batch,
    tangent_dim). All methods broadcast over leading batch axes.
    """

    @property
    def dim(self) -> int:
        """Dimension of the manifold."""
        ...

    @property
    def ambient_dim(self) -> int:
        """Size of a point."""
        ...

    @property
    def tangent_dim(self) -> int:
        """Size of a tangent vector."""
        ...

    @property
    def group(self) -> Group:
        """The isometries that `act` takes by default."""
        ...

    def distance(
        self, x: Float[Array, "*#batch ambient"], y: Float[Array, "*#batch ambient"]
    ) -> Float[Array, "*batch"]:
        """Distance of two points; its gradient is finite everywhere."""
        ...

    def dual_norm(
        self, x: Float[Array, "*#batch ambient"], dT: Float[Array, "*#batch ambient"]
    ) -> Float[Array, "*batch"]:
        """Norm of the covector `dT`, a gradient in the ambient coordinates at x."""
        ...

    def inner(
        self,
        x: Float[Array, "*#batch ambient"],
        u: Float[Array, "*#batch tangent"],
        v: Float[Array, "*#batch tangent"],
    ) -> Float[Array, "*batch"]:
        """Inner product of two tangent vectors at x."""
        ...

    def exp(
        self, x: Float[Array, "*#batch ambient"], v: Float[Array, "*#batch tangent"]
    ) -> Float[Array, "*batch ambient"]:
        """The point reached from x along v."""
        ...

    def log(
        self, x: Float[Array, "*#batch ambient"], y: Float[Array, "*#batch ambient"]
    ) -> Float[Array, "*batch tangent"]:
        """A smallest tangent vector with exp(x, v) = y."""
        ...

    def retract(
        self, x: Float[Array, "*#batch ambient"], v: Float[Array, "*#batch tangent"]
    ) -> Float[Array, "*batch ambient"]:
        """A cheap approximation of `exp` that stays on the manifold."""
        ...

    def project(
        self, x: Float[Array, "*batch ambient"]
    ) -> Float[Array, "*batch ambient"]:
        """A point of the manifold near x."""
        ...

    def to_tangent(
        self, x: Float[Array, "*#batch ambient"], u: Float[Array, "*#batch ambient"]
    ) -> Float[Array, "*batch tangent"]:
        """The tangent vector at x of the ambient velocity u."""
        ...

    def raise_index(
        self, x: Float[Array, "*#batch ambient"], dT: Float[Array, "*#batch ambient"]
    ) -> Float[Array, "*batch tangent"]:
        """The gradient vector of a function whose ambient derivative at x is `dT`."""
        ...

    def frame(
        self, x: Float[Array, "*batch ambient"]
    ) -> Float[Array, "*batch dim ambient"]:
        """Left-invariant frame as ambient vectors, where the space has one."""
        ...

    def transport(
        self,
        x: Float[Array, "*#batch ambient"],
        y: Float[Array, "*#batch ambient"],
        v: Float[Array, "*#batch tangent"],
    ) -> Float[Array, "*batch tangent"]:
        """The tangent vector v at x, carried to y."""
        ...

    def sample(
        self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> Float[Array, " ambient"]:
        """One random point; the class says from which density."""
        ...

    def act(
        self, g: Any, x: Float[Array, "*batch ambient"], *, group: Group | None = None
    ) -> Float[Array, "*out ambient"]:
        """Moves points by an element of `group` (default: the space's group)."""
        ...
