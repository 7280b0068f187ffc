"""Inner loops over any loss."""

from eqjax._core._chunks import mean_in_chunks as mean_in_chunks
from eqjax.fitting._autodecode import JointState as JointState
from eqjax.fitting._autodecode import JointStep as JointStep
from eqjax.fitting._autodecode import autodecode as autodecode
from eqjax.fitting._autodecode import autodecode_step as autodecode_step
from eqjax.fitting._gauss_newton import LeastSquaresFit as LeastSquaresFit
from eqjax.fitting._gauss_newton import gauss_newton as gauss_newton
from eqjax.fitting._meta_sgd import init_rates as init_rates
from eqjax.fitting._meta_sgd import meta_sgd as meta_sgd
from eqjax.fitting._update import Fit as Fit
