"""Inner loops over any loss."""

from eqjax.fitting._autodecode import Fit as Fit
from eqjax.fitting._autodecode import JointState as JointState
from eqjax.fitting._autodecode import JointStep as JointStep
from eqjax.fitting._autodecode import autodecode as autodecode
from eqjax.fitting._autodecode import autodecode_step as autodecode_step
