"""Travel times: first arrivals T(s, r) with |grad T| v = 1, T(s, s) = 0."""

from eqjax.eikonal._anisotropic_solver import LatticeEikonal as LatticeEikonal
from eqjax.eikonal._conformal_solver import ConformalEikonal as ConformalEikonal
from eqjax.eikonal._coverage import frechet_kernel as frechet_kernel
from eqjax.eikonal._coverage import ray_coverage as ray_coverage
from eqjax.eikonal._earth_flattening import flatten_earth as flatten_earth
from eqjax.eikonal._earth_flattening import flattened_speed as flattened_speed
from eqjax.eikonal._earth_flattening import unflatten_earth as unflatten_earth
from eqjax.eikonal._geodesic import Ray as Ray
from eqjax.eikonal._geodesic import trace_ray as trace_ray
from eqjax.eikonal._grid_solution import GridSolution as GridSolution
from eqjax.eikonal._grid_solver import GridEikonal as GridEikonal
from eqjax.eikonal._grid_velocity import GridVelocity as GridVelocity
from eqjax.eikonal._lattice_stencil import LatticeStencil as LatticeStencil
from eqjax.eikonal._location import Location as Location
from eqjax.eikonal._location import locate as locate
from eqjax.eikonal._losses import eikonal_residual as eikonal_residual
from eqjax.eikonal._losses import residual_loss as residual_loss
from eqjax.eikonal._losses import teacher_loss as teacher_loss
from eqjax.eikonal._metrics import relative_error as relative_error
from eqjax.eikonal._metrics import (
    relative_mean_absolute_error as relative_mean_absolute_error,
)
from eqjax.eikonal._multi_source import earliest_arrival as earliest_arrival
from eqjax.eikonal._pair_invariants import PairInvariant as PairInvariant
from eqjax.eikonal._pairs import resample_pairs as resample_pairs
from eqjax.eikonal._pairs import sample_pairs as sample_pairs
from eqjax.eikonal._penalty import roughness as roughness
from eqjax.eikonal._protocol import ErrorStatistics as ErrorStatistics
from eqjax.eikonal._protocol import ReferenceTimes as ReferenceTimes
from eqjax.eikonal._protocol import TravelTimeErrors as TravelTimeErrors
from eqjax.eikonal._protocol import protocol_sources as protocol_sources
from eqjax.eikonal._protocol import reference_times as reference_times
from eqjax.eikonal._protocol import travel_time_errors as travel_time_errors
from eqjax.eikonal._radial_velocity import RadialVelocity as RadialVelocity
from eqjax.eikonal._single_time_field import (
    SingleTravelTimeField as SingleTravelTimeField,
)
from eqjax.eikonal._tomography import Inversion as Inversion
from eqjax.eikonal._tomography import Posterior as Posterior
from eqjax.eikonal._tomography import invert as invert
from eqjax.eikonal._tomography import posterior as posterior
from eqjax.eikonal._travel_time_field import TravelTimeField as TravelTimeField
