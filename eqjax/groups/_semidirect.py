"""Affine groups: semidirect products of translations and a group of matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Key

from eqjax._core._checks import check_condition
from eqjax._core._specs import register_spec
from eqjax.groups import _motions
from eqjax.groups._group import Element, Generators, Group
from eqjax.groups._translation import Translation


@register_spec
@dataclass(frozen=True, order=True)
class Semidirect:
    """The affine maps x -> h x + t of R^n, with h in a linear group H.

    An element is the tuple (t, h), and (t, h) (t', h') = (t + h t', h h'). Coordinates
    of the Lie algebra are those of the translation, then those of H. Like SE(n) and
    E(n), with any H.

    Not compact: `sample` draws t from N(0, sigma^2 I) with the translations' sigma, and
    h as H does. The left Haar measure is dt dh / |det h|, dh that of H; the right one
    dt dh. They agree where |det h| = 1, and only there is the group unimodular.

    Args:
        translations: The normal subgroup, `Translation(n)`.
        linear_part: H: a group of real matrices that act on R^n.

    Raises:
        ValueError: If `translations` is another group, or `linear_part` does not act
            linearly on the same R^n.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups
        >>> G = groups.Semidirect(groups.Translation(2), groups.Scaling(2))
        >>> zoom = (jnp.array([1.0, 0.0]), jnp.log(jnp.asarray(2.0)))
        >>> G.act(zoom, jnp.array([3.0, 4.0])).round(5).tolist()
        [7.0, 8.0]
    """

    translations: Translation
    linear_part: Any

    def __post_init__(self) -> None:
        """Checks that the second group acts on the first."""
        check_condition(
            isinstance(self.translations, Translation),
            f"`translations` must be a Translation(n), got {self.translations!r}.",
        )
        h, n = self.linear_part, self.translations.n
        check_condition(
            isinstance(h, Group)
            and h.degree == n
            and h.generators.lie.shape[-1] == n
            and not np.iscomplexobj(h.generators.lie),
            f"`linear_part` must be a group of real {n} x {n} matrices, to act on the "
            f"translations of R^{n}, got {h!r}.",
        )

    @property
    def dim(self) -> int:
        """n plus the dimension of H."""
        return self.translations.n + self.linear_part.dim

    @property
    def order(self) -> None:
        """None: the group is infinite."""
        return None

    @property
    def degree(self) -> int:
        """Size of the points that `act` moves, n."""
        return self.translations.n

    @property
    def sample_measure(self) -> str:
        """ "declared": a normal density times that of H."""
        return "declared"

    def identity(self, *, dtype: DTypeLike | None = None) -> Element:
        """No motion."""
        return jnp.zeros(self.degree, dtype), self.linear_part.identity(dtype=dtype)

    def compose(self, a: Any, b: Any) -> Element:
        """The map b, followed by the map a: (t + h t', h h')."""
        return _motions.compose(self.linear_part, self._check(a), self._check(b, "b"))

    def inverse(self, a: Any) -> Element:
        """The map back, (-h^-1 t, h^-1)."""
        return _motions.inverse(self.linear_part, self._check(a))

    def exp(self, v: Float[Array, "*batch dim"]) -> Element:
        """(V(w) u, exp(w)) for v = (u, w), V(w) = int_0^1 exp(s w) ds."""
        u, w = v[..., : self.degree], v[..., self.degree :]
        t = jnp.einsum("...ij,...j->...i", self._mean_exp(w), u, precision="highest")
        return t, self.linear_part.exp(w)

    def log(self, a: Any) -> Float[Array, "*batch dim"]:
        """(V(w)^-1 t, w), w the logarithm of h."""
        t, w = _motions.log_of_linear_part(self.linear_part, self._check(a))
        u = jnp.linalg.solve(self._mean_exp(w), t[..., None])[..., 0]
        return jnp.concatenate([u, w], axis=-1)

    def has_log(self, a: Any) -> Bool[Array, "*batch"]:
        """Whether exp(log(a)) = a: whether h has a logarithm."""
        return _motions.has_log(self.linear_part, self._check(a))

    def adjoint(self, a: Any) -> Float[Array, "*batch dim dim"]:
        """The matrix Ad(a) on the coordinates (u, w)."""
        return _motions.adjoint(self.linear_part, self._check(a))

    def hat(self, v: Float[Array, "*batch dim"]) -> Float[Array, "*batch m m"]:
        """[[hat(w), u], [0, 0]]."""
        return _motions.hat(self.linear_part, v)

    def vee(self, m: Float[Array, "*batch m m"]) -> Float[Array, "*batch dim"]:
        """The inverse of `hat`."""
        return _motions.vee(self.linear_part, m)

    def matrix(self, a: Any) -> Float[Array, "*batch m m"]:
        """[[h, t], [0, 1]], which moves homogeneous coordinates."""
        return _motions.matrix(self.linear_part, self._check(a))

    def from_matrix(self, m: Float[Array, "*batch m m"]) -> Element:
        """The inverse of `matrix`."""
        return _motions.from_matrix(self.linear_part, m)

    def act(self, a: Any, x: Float[Array, "*batch n"]) -> Float[Array, "*out n"]:
        """The points h x + t; batch axes of a and x broadcast."""
        return _motions.act(self.linear_part, self._check(a), x)

    def sample(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Element:
        """One element from the declared density."""
        key_t, key_h = jax.random.split(key)
        t = self.translations.sample(dtype=dtype, key=key_t)
        return t, self.linear_part.sample(dtype=dtype, key=key_h)

    def quadrature(self, degree: int) -> tuple[Any, np.ndarray]:
        """Not available: the group is not compact.

        Raises:
            ValueError: Always; use `sample`.
        """
        raise ValueError(
            f"{self} is not compact, so it has no finite quadrature. Use `sample`."
        )

    @property
    def generators(self) -> Generators:
        """Unit translations, then those of H; the discrete ones of H."""
        return _motions.generators(self.linear_part)

    def _mean_exp(self, w: Float[Array, "*batch k"]) -> Float[Array, "*batch n n"]:
        """V(w), read off the exponential of [[w, I], [0, 0]]."""
        n = self.degree
        if self.linear_part.dim == 0:
            return jnp.broadcast_to(jnp.eye(n, dtype=w.dtype), (*w.shape[:-1], n, n))
        lie = self.linear_part.generators.lie.astype(w.dtype)
        m = jnp.einsum("...d,dij->...ij", w, lie, precision="highest")
        one = jnp.broadcast_to(jnp.eye(n, dtype=w.dtype), m.shape)
        top = jnp.concatenate([m, one], axis=-1)
        full = jnp.concatenate([top, jnp.zeros_like(top)], axis=-2)
        return jax.scipy.linalg.expm(full)[..., :n, n:]

    def _check(self, a: Any, name: str = "a") -> tuple[Array, Any]:
        """Checks that an element is a pair."""
        check_condition(
            isinstance(a, tuple)
            and len(a) == 2
            and getattr(a[0], "shape", ())[-1:] == (self.degree,),
            f"`{name}` must be a tuple (t, h), t an array of shape (*batch, "
            f"{self.degree}) and h an element of {self.linear_part}.",
        )
        return a
