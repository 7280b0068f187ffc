"""Groups: their elements as arrays, their laws as pure functions."""

from eqjax.groups._e import E as E
from eqjax.groups._group import Element as Element
from eqjax.groups._group import Generators as Generators
from eqjax.groups._group import Group as Group
from eqjax.groups._o import O as O
from eqjax.groups._se import SE as SE
from eqjax.groups._so import SO as SO
from eqjax.groups._translation import Translation as Translation
