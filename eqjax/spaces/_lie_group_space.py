"""Lie groups as spaces, with a left-invariant metric."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._batch import match_batch
from eqjax._core._checks import check_condition, check_positive
from eqjax._core._numerics import safe_norm
from eqjax._core._specs import register_spec
from eqjax.groups import Element, Group, embed, is_subgroup


@register_spec
@dataclass(frozen=True, order=True)
class LieGroupSpace:
    """The elements of a group as points, which the group moves from the left.

    A tangent vector v (dim,) at a is the velocity of a exp(t v); its length is |W v|, W
    the diagonal matrix of the weights. `distance` is |W log(a^-1 b)|: exact where the
    metric is bi-invariant (SO(n) with equal weights, vector groups), else the length of
    one curve, which is at least the distance. Elements of different components are
    treated as if the flip between them cost nothing. `sample` is that of the group.

    Args:
        of: The group; elements of real numbers.
        weights: Length of each vector of the Lie algebra's basis, positive; all 1 if
            there are none.

    Raises:
        ValueError: If the group is finite, its elements are complex, the number of
            weights is not its dimension, or one of them is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups, spaces
        >>> X = spaces.LieGroupSpace(groups.SE(2), weights=(2.0, 2.0, 1.0))
        >>> a = X.group.identity()
        >>> float(X.distance(a, (jnp.array([3.0, 4.0]), jnp.array(0.0))))
        10.0
    """

    of: Group
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_condition(
            self.of.dim > 0,
            f"`of` must be a Lie group of dimension at least 1, got {self.of}.",
        )
        real = all(not np.iscomplexobj(leaf) for leaf in self._parts)
        check_condition(
            real, f"`of` must have elements of real numbers, got {self.of}."
        )
        check_condition(
            len(self.weights) in (0, self.of.dim),
            f"`weights` must hold {self.of.dim} numbers, one per dimension of "
            f"{self.of}, got {self.weights}.",
        )
        for weight in self.weights:
            check_positive("weights", weight)

    @property
    def dim(self) -> int:
        """Dimension of the group."""
        return self.of.dim

    @property
    def ambient_dim(self) -> int:
        """Number of real coordinates of an element; flips do not count."""
        return sum(
            math.prod(leaf.shape)
            for leaf in self._parts
            if jnp.issubdtype(leaf.dtype, jnp.floating)
        )

    @property
    def tangent_dim(self) -> int:
        """Size of a tangent vector, `dim`."""
        return self.dim

    @property
    def group(self) -> Group:
        """The group itself."""
        return self.of

    @property
    def _parts(self) -> list[jax.ShapeDtypeStruct]:
        """Shapes and dtypes of the arrays of one element."""
        return jax.tree.leaves(jax.eval_shape(self.of.identity))

    def distance(self, x: Element, y: Element) -> Float[Array, "*batch"]:
        """|W log(x^-1 y)|, with gradient 0 where x = y."""
        return safe_norm(self._weighted(self.log(x, y)))

    def dual_norm(self, x: Element, dT: Any) -> Float[Array, "*batch"]:
        """|W^-1 D|, D the derivatives along the left-invariant frame.

        Args:
            x: Element.
            dT: Its ambient gradient, of the same structure, as `jax.grad` gives it;
                what stands at integer parts is not read.

        Returns:
            The norm.
        """
        return safe_norm(self._weighted(self._frame_derivatives(x, dT), power=-1))

    def inner(
        self,
        x: Element,
        u: Float[Array, "*#batch dim"],
        v: Float[Array, "*#batch dim"],
    ) -> Float[Array, "*batch"]:
        """The dot product of W u and W v."""
        u, v = match_batch((u, 1), (v, 1))
        product = jnp.sum(self._weighted(u) * self._weighted(v), axis=-1)
        return jnp.broadcast_to(
            product, np.broadcast_shapes(product.shape, self._batch_of(x))
        )

    def exp(self, x: Element, v: Float[Array, "*batch dim"]) -> Element:
        """x exp(v)."""
        return self.of.compose(x, self.of.exp(v))

    def log(self, x: Element, y: Element) -> Float[Array, "*batch dim"]:
        """log(x^-1 y)."""
        return self.of.log(self.of.compose(self.of.inverse(x), y))

    def retract(self, x: Element, v: Float[Array, "*batch dim"]) -> Element:
        """The same as `exp`."""
        return self.exp(x, v)

    def project(self, x: Element) -> Element:
        """x itself: the group's operations keep elements in the group."""
        return x

    def to_tangent(
        self, x: Element, u: Float[Array, "*#batch ambient"]
    ) -> Float[Array, "*batch dim"]:
        """Coordinates on the frame of an ambient velocity, flattened as in `frame`."""
        frame, u = match_batch((self.frame(x), 2), (u, 1))
        metric = jnp.einsum("...ia,...ja->...ij", frame, frame, precision="highest")
        along = jnp.einsum("...ia,...a->...i", frame, u, precision="highest")
        return jnp.linalg.solve(metric, along[..., None])[..., 0]

    def raise_index(self, x: Element, dT: Any) -> Float[Array, "*batch dim"]:
        """The derivatives along the frame, divided by the squared weights."""
        return self._weighted(self._frame_derivatives(x, dT), power=-2)

    def frame(self, x: Element) -> Float[Array, "*batch dim ambient"]:
        """Velocities of x exp(t e_i), the real parts of the element flattened."""
        batch = self._batch_of(x)

        def velocity(direction: Array) -> Array:
            tangent = jnp.broadcast_to(direction, (*batch, self.dim))
            zero = jnp.zeros_like(tangent)
            _, moving = jax.jvp(lambda v: self._coordinates(x, v), (zero,), (tangent,))
            return moving

        basis = jnp.eye(self.dim, dtype=self.of.log(x).dtype)
        return jnp.moveaxis(jax.vmap(velocity)(basis), 0, -2)

    def transport(
        self, x: Element, y: Element, v: Float[Array, "*#batch dim"]
    ) -> Float[Array, "*batch dim"]:
        """The same frame coordinates at y."""
        batch = np.broadcast_shapes(self._batch_of(x), self._batch_of(y), v.shape[:-1])
        return jnp.broadcast_to(v, (*batch, self.dim))

    def sample(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Element:
        """One element, from the law of the group's own `sample`."""
        return self.of.sample(dtype=dtype, key=key)

    def act(self, g: Element, x: Element, *, group: Group | None = None) -> Element:
        """The product g x, for an element of the group or of a subgroup of it."""
        if group is None or group == self.of:
            return self.of.compose(g, x)
        check_condition(
            is_subgroup(group, self.of),
            f"`group` must be {self.of} or a subgroup that `groups.embed` knows, got "
            f"{group}.",
        )
        dtype = self.of.log(x).dtype
        return self.of.compose(embed(group, self.of, g, dtype=dtype), x)

    def _batch_of(self, x: Element) -> tuple[int, ...]:
        """Leading axes of an element."""
        leaves = jax.tree.leaves(x)
        return np.broadcast_shapes(
            *(
                leaf.shape[: leaf.ndim - len(part.shape)]
                for leaf, part in zip(leaves, self._parts, strict=True)
            )
        )

    def _coordinates(self, x: Element, v: Array) -> Array:
        """Real parts of x exp(v), flattened to (*batch, ambient)."""
        leaves = jax.tree.leaves(self.exp(x, v))
        batch = v.shape[:-1]
        return jnp.concatenate(
            [
                jnp.broadcast_to(leaf, (*batch, *part.shape)).reshape(*batch, -1)
                for leaf, part in zip(leaves, self._parts, strict=True)
                if jnp.issubdtype(part.dtype, jnp.floating)
            ],
            axis=-1,
        )

    def _frame_derivatives(self, x: Element, dT: Any) -> Array:
        """The covector `dT`, pulled back to the Lie algebra."""
        covector = [
            (leaf, len(part.shape))
            for leaf, part in zip(jax.tree.leaves(dT), self._parts, strict=True)
            if jnp.issubdtype(part.dtype, jnp.floating)
        ]
        flat = [
            leaf.reshape(*leaf.shape[: leaf.ndim - rank], -1) for leaf, rank in covector
        ]
        flat = match_batch(*((leaf, 1) for leaf in flat))
        frame, covector = match_batch(
            (self.frame(x), 2), (jnp.concatenate(flat, axis=-1), 1)
        )
        return jnp.einsum("...ia,...a->...i", frame, covector, precision="highest")

    def _weighted(self, v: Array, *, power: int = 1) -> Array:
        """W^power v."""
        if not self.weights:
            return v
        weights = np.asarray(self.weights, v.dtype) ** power
        return v * weights.reshape((1,) * (v.ndim - 1) + (-1,))
