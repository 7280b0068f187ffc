"""Assertions about equivariance and composition, for eqjax's tests and for yours."""

from eqjax.testing._act_on_field import act_on_field as act_on_field
from eqjax.testing._composition import assert_composes as assert_composes
from eqjax.testing._elements import sample_elements as sample_elements
from eqjax.testing._equivariance import assert_equivariant as assert_equivariant
from eqjax.testing._homomorphism import assert_homomorphism as assert_homomorphism
