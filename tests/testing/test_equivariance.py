"""assert_equivariant and assert_homomorphism find and name what is wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import groups, testing

KEY = jax.random.key(0)
SE2 = groups.SE(2)
ELEMENTS = testing.sample_elements(SE2, 7, key=KEY)
X = jnp.array([0.3, -1.1])
POSE = SE2.sample(key=jax.random.key(1))


def relative_position(x, pose):
    """Invariant of a point and a pose."""
    return SE2.act(SE2.inverse(pose), x)


def test_invariant_of_point_and_pose_passes():
    testing.assert_equivariant(
        relative_position, (SE2.act, SE2.compose), None, X, POSE, elements=ELEMENTS
    )


def test_forgotten_pose_fails_and_the_message_says_where_and_by_how_much():
    with pytest.raises(AssertionError) as caught:
        testing.assert_equivariant(
            relative_position, (SE2.act, None), None, X, POSE, elements=ELEMENTS
        )
    want = relative_position(X, POSE)
    errors = []
    for i in range(7):
        g = jax.tree.map(lambda leaf, i=i: leaf[i], ELEMENTS)
        got = relative_position(SE2.act(g, X), POSE)
        errors.append(float(jnp.max(jnp.abs(got - want)) / jnp.max(jnp.abs(want))))
    message = str(caught.value)
    assert "relative_position is not invariant" in message
    assert f"at element {np.argmax(errors)} of 7" in message
    assert f"by {max(errors):.2e} relative" in message


def test_one_action_moves_all_arguments():
    def center(a, b):
        return {"center": (a + b) / 2, "count": jnp.asarray(2)}

    def act_out(g, result):
        return result | {"center": SE2.act(g, result["center"])}

    testing.assert_equivariant(center, SE2.act, act_out, X, 2 * X, elements=ELEMENTS)
    with pytest.raises(AssertionError, match=r"result\['center'\]\[[01]\]"):
        testing.assert_equivariant(center, SE2.act, None, X, 2 * X, elements=ELEMENTS)


def test_a_small_error_is_seen_and_the_tolerance_obeyed():
    def wrong(x):
        return jnp.sum(x * x) + 1e-8 * x[0]

    group = groups.SO(2)
    elements = jnp.array([0.0, 1.0])
    with pytest.raises(AssertionError, match="at element 1 of 2"):
        testing.assert_equivariant(wrong, group.act, None, X, elements=elements)
    testing.assert_equivariant(wrong, group.act, None, X, elements=elements, rtol=1e-7)


def test_zero_results_need_atol():
    def length_of_zero(x):
        return jnp.sum(x) * 0 + 1e-9 * x[0]

    elements = jnp.array([1.0])
    act = groups.SO(2).act
    zero = jnp.zeros(2)
    testing.assert_equivariant(length_of_zero, act, None, zero, elements=elements)
    with pytest.raises(AssertionError, match="1e-09"):
        testing.assert_equivariant(
            lambda x: 1e-9 * jnp.round(x[0]), act, None, X * 0 + 1, elements=elements
        )
    testing.assert_equivariant(
        length_of_zero, act, None, X, elements=elements, atol=1e-8
    )


def test_nan_is_no_agreement():
    def broken(x):
        return x * jnp.nan

    with pytest.raises(AssertionError, match="nan"):
        testing.assert_equivariant(broken, SE2.act, SE2.act, X, elements=ELEMENTS)


def test_another_shape_or_structure_is_named():
    def grows(x):
        return jnp.zeros(2 if x[0] == X[0] else 3)

    with pytest.raises(AssertionError, match=r"float64\[3\] instead of float64\[2\]"):
        testing.assert_equivariant(grows, SE2.act, None, X, elements=ELEMENTS)
    with pytest.raises(AssertionError, match="structures differ"):
        testing.assert_equivariant(
            lambda x: x, SE2.act, lambda g, x: (x,), X, elements=ELEMENTS
        )


def test_misuse_is_a_value_error():
    with pytest.raises(ValueError, match="`act_in`"):
        testing.assert_equivariant(
            relative_position, (SE2.act,), None, X, POSE, elements=ELEMENTS
        )
    for elements in (jnp.asarray(0.5), jnp.zeros((0,)), ()):
        with pytest.raises(ValueError, match="`elements`"):
            testing.assert_equivariant(
                jnp.sum, groups.SO(2).act, None, X, elements=elements
            )


GROUPS = (
    groups.Translation(2),
    groups.SO(3),
    groups.O(2),
    groups.O(3),
    groups.SE(3),
    groups.E(3),
)


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_sampled_elements_hold_all_kinds(group):
    elements = testing.sample_elements(group, 6, key=KEY)
    matrices = np.asarray(group.matrix(elements))
    assert len(matrices) == 6
    distances = np.max(np.abs(matrices - np.eye(matrices.shape[-1])), axis=(1, 2))
    # exp(v) of a unit vector v times 1e-6 .. 1e-2 moves entries by at most 1e-2, and
    # by at least 1e-6 / sqrt(dim).
    assert np.all((distances[1::3] < 1.01e-2) & (distances[1::3] > 3e-7))
    assert np.all(distances[0::3] > 1e-2)
    if len(group.generators.discrete):
        np.testing.assert_allclose(np.linalg.det(matrices[2::3]), -1, rtol=1e-12)


def test_sampled_elements_have_the_asked_dtype():
    angle, flip = testing.sample_elements(groups.O(2), 3, dtype=jnp.float32, key=KEY)
    assert angle.dtype == jnp.float32
    assert flip.dtype == jnp.int32
    with pytest.raises(ValueError, match="`num_elements`"):
        testing.sample_elements(groups.O(2), 0, key=KEY)


@pytest.mark.parametrize("group", GROUPS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_matrix_is_a_homomorphism(group, dtype):
    testing.assert_homomorphism(group, group.matrix, dtype=jnp.dtype(dtype), key=KEY)


def test_transposed_matrix_is_no_homomorphism():
    group = groups.O(3)
    with pytest.raises(AssertionError, match=r"rho\(a b\) differs"):
        testing.assert_homomorphism(group, lambda g: group.matrix(g).T, key=KEY)


def test_reflections_are_tried():
    # A representation of SO(3) that forgets the inversion is one of O(3) as well, but
    # not if the flip enters without its law.
    group = groups.O(3)

    def wrong(g):
        return group.rotations.matrix(g[0]) * (1 + g[1].astype(g[0].dtype))

    with pytest.raises(AssertionError, match=r"rho\(a b\) differs"):
        testing.assert_homomorphism(group, wrong, key=KEY)


def test_identity_must_become_the_identity_matrix():
    group = groups.SO(2)
    with pytest.raises(AssertionError, match=r"rho\(e\) differs"):
        testing.assert_homomorphism(group, lambda g: jnp.zeros((2, 2)) * g, key=KEY)
    with pytest.raises(ValueError, match="`rho` must return square"):
        testing.assert_homomorphism(group, lambda g: g, key=KEY)
