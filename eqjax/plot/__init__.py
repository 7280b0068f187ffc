"""Pictures of travel times; the only package that needs matplotlib."""

from eqjax.plot._travel_time_curve import travel_time_curve as travel_time_curve
from eqjax.plot._travel_time_map import travel_time_map as travel_time_map
