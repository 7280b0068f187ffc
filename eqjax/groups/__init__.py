"""Groups: their elements as arrays, their laws as pure functions."""

from eqjax.groups._cyclic import Cyclic as Cyclic
from eqjax.groups._dihedral import Dihedral as Dihedral
from eqjax.groups._e import E as E
from eqjax.groups._finite import FiniteTables as FiniteTables
from eqjax.groups._finite_group import FiniteGroup as FiniteGroup
from eqjax.groups._group import Element as Element
from eqjax.groups._group import Generators as Generators
from eqjax.groups._group import Group as Group
from eqjax.groups._o import O as O
from eqjax.groups._polyhedral import Polyhedral as Polyhedral
from eqjax.groups._se import SE as SE
from eqjax.groups._so import SO as SO
from eqjax.groups._subgroups import LeftCosets as LeftCosets
from eqjax.groups._subgroups import embed as embed
from eqjax.groups._subgroups import is_subgroup as is_subgroup
from eqjax.groups._subgroups import left_cosets as left_cosets
from eqjax.groups._subgroups import subgroup_indices as subgroup_indices
from eqjax.groups._symmetric import Symmetric as Symmetric
from eqjax.groups._translation import Translation as Translation
