"""Training: checkpoints."""

from eqjax.train._checkpoint import CheckpointCorruptError as CheckpointCorruptError
from eqjax.train._checkpoint import CheckpointMismatchError as CheckpointMismatchError
from eqjax.train._checkpoint import Checkpoints as Checkpoints
