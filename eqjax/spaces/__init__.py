"""Homogeneous spaces: points, metric, distance, and the group that acts on them."""

from eqjax.spaces._domains import Ball as Ball
from eqjax.spaces._domains import Box as Box
from eqjax.spaces._domains import Domain as Domain
from eqjax.spaces._euclidean import Euclidean as Euclidean
from eqjax.spaces._hyperbolic import Hyperbolic as Hyperbolic
from eqjax.spaces._invariants import invariants as invariants
from eqjax.spaces._lie_group_space import LieGroupSpace as LieGroupSpace
from eqjax.spaces._position_orientation import (
    PositionOrientation as PositionOrientation,
)
from eqjax.spaces._product_space import Product as Product
from eqjax.spaces._riemannian_chart import RiemannianChart as RiemannianChart
from eqjax.spaces._space import Space as Space
from eqjax.spaces._sphere import Sphere as Sphere
from eqjax.spaces._torus import Torus as Torus
