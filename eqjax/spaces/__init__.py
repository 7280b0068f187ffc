"""Homogeneous spaces: points, metric, distance, and the group that acts on them."""

from eqjax.spaces._domains import Ball as Ball
from eqjax.spaces._domains import Box as Box
from eqjax.spaces._domains import Domain as Domain
from eqjax.spaces._euclidean import Euclidean as Euclidean
from eqjax.spaces._position_orientation import (
    PositionOrientation as PositionOrientation,
)
from eqjax.spaces._space import Space as Space
from eqjax.spaces._sphere import Sphere as Sphere
