"""Readers of public formats and tables of published facts, as NumPy data and specs."""

from eqjax.data._digits import LabelledImages as LabelledImages
from eqjax.data._digits import digits as digits
from eqjax.data._earth_models import EarthModel as EarthModel
from eqjax.data._earth_models import earth_model as earth_model
from eqjax.data._earth_models import radial_speeds as radial_speeds
from eqjax.data._earth_models import read_earth_model as read_earth_model
from eqjax.data._first_arrivals import first_p_arrivals as first_p_arrivals
from eqjax.data._idx import read_idx as read_idx
from eqjax.data._tau_p import radial_first_arrivals as radial_first_arrivals
from eqjax.data._velocity_grids import read_velocity_grid as read_velocity_grid
from eqjax.data._warp import warp as warp
