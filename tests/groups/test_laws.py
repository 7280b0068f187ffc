"""The laws of a group, one file for all of them.

Elements come from three samplers: generic, near the identity (1e-6 .. 1e-2) and near
the cut locus (rotation angle pi - 1e-6). Tolerances in float64: a law holds to a few
dozen roundings of quantities of size one, 1e-14, unless a comment says otherwise.
"""

import copy
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from eqjax import groups

GROUPS = (
    groups.Translation(3),
    groups.SO(2),
    groups.SO(3),
    groups.O(2),
    groups.O(3),
    groups.SE(2),
    groups.SE(3),
    groups.E(2),
    groups.E(3),
)
COMPACT = (groups.SO(2), groups.SO(3), groups.O(2), groups.O(3))
every_group = pytest.mark.parametrize("group", GROUPS, ids=str)
every_compact_group = pytest.mark.parametrize("group", COMPACT, ids=str)

# A few dozen roundings of numbers of size one.
ROUNDING = 1e-14
NUM_SAMPLES = 4000
# Elements per sampler, and where each of the three lies in the batch.
NUM = 3
GENERIC, IDENTITY, CUT = slice(0, NUM), slice(NUM, 2 * NUM), slice(2 * NUM, 3 * NUM)

# Compiling takes most of the time of this file, running almost none.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def num_turns(group):
    """How many of the algebra's coordinates, the last ones, are rotations."""
    if isinstance(group, groups.Translation):
        return 0
    return group.degree * (group.degree - 1) // 2


@functools.cache
def twists(group):
    """Lie algebra vectors inside the injectivity radius, NUM of each sampler."""
    v = np.random.default_rng(17).standard_normal((3 * NUM, group.dim))
    turns = v[:, group.dim - num_turns(group) :]
    if turns.shape[1]:
        turns /= np.linalg.norm(turns, axis=1, keepdims=True)
        turns[GENERIC] *= np.linspace(0.2, 3, NUM)[:, None]
        turns[CUT] *= np.pi - 1e-6
    lengths = np.linalg.norm(v[IDENTITY], axis=1, keepdims=True)
    v[IDENTITY] *= np.geomspace(1e-6, 1e-2, NUM)[:, None] / lengths
    return v


@functools.cache
def samples(group):
    """Many elements and their matrices."""

    def draw(key):
        a = group.sample(key=key)
        return a, group.matrix(a)

    return jit(jax.vmap(draw))(jax.random.split(jax.random.key(8), NUM_SAMPLES))


@functools.cache
def elements(group, seed=0):
    """Elements of the three samplers, with and without flips."""
    generic = pick(samples(group)[0], slice(seed * NUM, (seed + 1) * NUM))
    near = exp_of(group)(jnp.asarray(np.roll(twists(group)[NUM:], seed, axis=0)))
    near = with_flips(group, near, (np.arange(2 * NUM) + seed) % 2)
    return jax.tree.map(
        lambda *leaves: jnp.asarray(np.concatenate(leaves)), generic, near
    )


@functools.cache
def exp_of(group):
    return jit(group.exp)


def with_flips(group, a, flips):
    flips = jnp.asarray(flips, jnp.int32)
    if isinstance(group, groups.O):
        return a[0], flips
    if isinstance(group, groups.E):
        return a[0], (a[1][0], flips)
    return a


def flips_of(group, a):
    if isinstance(group, groups.O):
        return np.asarray(a[1])
    return np.asarray(a[1][1]) if isinstance(group, groups.E) else 0


def pick(tree, index):
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)[index]), tree)


def cast(tree, dtype):
    return jax.tree.map(
        lambda leaf: (
            jnp.asarray(np.asarray(leaf, dtype))
            if jnp.issubdtype(leaf.dtype, jnp.floating)
            else leaf
        ),
        tree,
    )


def points(group, *shape):
    numbers = np.random.default_rng(5)
    return jnp.asarray(numbers.standard_normal((*shape, group.degree)))


def close(got, want, atol=ROUNDING):
    got, want = np.broadcast_arrays(np.asarray(got), np.asarray(want))
    np.testing.assert_allclose(got, want, rtol=0, atol=atol)


def arguments(group):
    a, b, c = (elements(group, seed) for seed in range(3))
    return a, b, c, jnp.asarray(twists(group)), points(group, 3 * NUM)


def apply_everything(group, a, b, c, v, x):
    """All that a group can do; elements become matrices, since q and -q are equal."""
    matrix, compose, exp = group.matrix, group.compose, group.exp
    e = group.identity(dtype=x.dtype)
    ab, ae, ea = compose(a, b), compose(a, e), compose(e, a)
    back = group.inverse(a)
    half = compose(exp(0.3 * v), exp(0.5 * v))
    moved = jnp.einsum("...ij,...j->...i", group.adjoint(a), v)
    zero, one = jnp.zeros((), x.dtype), jnp.ones((), x.dtype)
    _, velocity = jax.jvp(lambda s: group.act(exp(s * v), x), (zero,), (one,))
    return {
        "a": matrix(a),
        "b": matrix(b),
        "ab": matrix(ab),
        "(ab)c": matrix(compose(ab, c)),
        "a(bc)": matrix(compose(a, compose(b, c))),
        "ae": matrix(ae),
        "ea": matrix(ea),
        "inverse": matrix(back),
        "inverse(a) a": matrix(compose(back, a)),
        "a inverse(a)": matrix(compose(a, back)),
        "from_matrix": matrix(group.from_matrix(matrix(a))),
        "ax": group.act(a, x),
        "(ab)x": group.act(ab, x),
        "a(bx)": group.act(a, group.act(b, x)),
        "ex": group.act(e, x),
        "exp(v)": matrix(exp(v)),
        "exp(-v)": matrix(exp(-v)),
        "exp(0.8v)": matrix(exp(0.8 * v)),
        "exp(0.3v)exp(0.5v)": matrix(half),
        "inverse(exp(v))": matrix(group.inverse(exp(v))),
        "log(exp(v))": group.log(exp(v)),
        "exp(log(a))": matrix(exp(group.log(a))),
        "hat": group.hat(v),
        "vee": group.vee(group.hat(v)),
        "velocity": velocity,
        "Ad(a)": group.adjoint(a),
        "Ad(b)": group.adjoint(b),
        "Ad(ab)": group.adjoint(ab),
        "a exp(v) inverse(a)": matrix(compose(compose(a, exp(v)), back)),
        "exp(Ad(a)v)": matrix(exp(moved)),
    }


@functools.cache
def results(group):
    """`apply_everything` on the batch, float64, as NumPy arrays."""
    fn = jit(functools.partial(apply_everything, group))
    return jax.tree.map(np.asarray, fn(*arguments(group)))


def split(group, matrix):
    """Linear part and translation of a matrix of homogeneous coordinates."""
    n = group.degree
    if matrix.shape[-1] == n:
        return matrix, np.zeros(n)
    return matrix[..., :n, :n], matrix[..., :n, n]


# Axioms ------------------------------------------------------------------------------


@every_group
def test_axioms(group):
    r = results(group)
    one = np.eye(r["a"].shape[-1])
    close(r["(ab)c"], r["a(bc)"])
    close(r["ae"], r["a"])
    close(r["ea"], r["a"])
    close(r["inverse(a) a"], one)
    close(r["a inverse(a)"], one)


@every_group
def test_matrix_is_a_homomorphism_and_from_matrix_its_inverse(group):
    r = results(group)
    close(r["ab"], r["a"] @ r["b"])
    close(r["inverse"], np.linalg.inv(r["a"]))
    close(r["from_matrix"], r["a"])
    close(group.matrix(group.identity()), np.eye(r["a"].shape[-1]))


@every_group
def test_action_is_that_of_the_matrix(group):
    r, x = results(group), np.asarray(points(group, 3 * NUM))
    linear, translation = split(group, r["a"])
    close(r["ax"], np.einsum("bij,bj->bi", linear, x) + translation)
    close(r["(ab)x"], r["a(bx)"])
    close(r["ex"], x)


@every_group
def test_matrices_are_rigid_and_flips_are_their_determinants(group):
    linear, _ = split(group, results(group)["a"])
    close(linear @ np.swapaxes(linear, 1, 2), np.eye(group.degree))
    # O(3) flips by the inversion, of determinant -1 like the mirror of O(2).
    close(np.linalg.det(linear), 1 - 2 * flips_of(group, elements(group)))


# Exponential map ---------------------------------------------------------------------


@every_group
def test_exponential_map_is_a_one_parameter_subgroup(group):
    r = results(group)
    close(r["exp(0.3v)exp(0.5v)"], r["exp(0.8v)"])
    close(r["inverse(exp(v))"], r["exp(-v)"])
    # SciPy's expm squares repeatedly, which adds some 10 roundings.
    close(r["exp(v)"], scipy.linalg.expm(r["hat"]), 1e-13)


@every_group
def test_log_and_exp_are_inverse(group):
    r, v = results(group), twists(group)
    error = np.linalg.norm(r["log(exp(v))"] - v, axis=1)
    # Relative: near the identity every digit of a small vector must be right; at
    # distance d = 1e-6 from the cut locus the half-angle's cosine d/2 is.
    assert np.all(error <= ROUNDING * np.linalg.norm(v, axis=1))
    # At the cut locus the translation of a twist is divided by sin(theta/2)/theta, not
    # small; rotation vectors of length pi have rounding pi eps.
    a = elements(group)
    proper = np.broadcast_to(flips_of(group, a) == 0, 3 * NUM)
    close(r["exp(log(a))"][proper], r["a"][proper], 3e-14)


def test_rotation_vectors_are_shortest():
    q = elements(groups.SO(3))
    v = groups.SO(3).log(q)
    assert np.all(np.linalg.norm(v, axis=-1) <= np.pi)
    close(groups.SO(3).log(-q), v)
    angles = jnp.array([0.0, 3.0, 4.0, -4.0, 100.0])
    turns = np.asarray(groups.SO(2).log(angles))[:, 0]
    # Sixteen turns of 2 pi are subtracted from 100, each with its rounding.
    close(turns, np.angle(np.exp(1j * np.asarray(angles))), 1e-13)


@every_group
def test_adjoint(group):
    r = results(group)
    close(r["a exp(v) inverse(a)"], r["exp(Ad(a)v)"], 5e-14)
    close(r["Ad(ab)"], r["Ad(a)"] @ r["Ad(b)"])


@every_group
def test_generators(group):
    r, v = results(group), twists(group)
    lie, discrete = group.generators
    size = r["a"].shape[-1]
    assert lie.shape == (group.dim, size, size)
    assert discrete.shape[1:] == (size, size)
    assert lie.dtype == discrete.dtype == np.float64
    close(r["hat"], np.einsum("bd,dij->bij", v, lie))
    close(r["vee"], v)
    assert np.linalg.matrix_rank(lie.reshape(group.dim, -1)) == group.dim
    # They are the velocities of the action.
    linear, translation = split(group, r["hat"])
    x = np.asarray(points(group, 3 * NUM))
    close(r["velocity"], np.einsum("bij,bj->bi", linear, x) + translation)
    # The discrete generators are elements outside the identity component.
    assert len(discrete) == (1 if isinstance(group, (groups.O, groups.E)) else 0)
    for matrix in discrete:
        assert np.linalg.det(matrix) < 0
        close(group.matrix(group.from_matrix(jnp.asarray(matrix))), matrix)


# Measures ----------------------------------------------------------------------------


@every_group
def test_sampled_moments(group):
    """The mean of rho(g) is the projector on invariants, within 5 sigma."""
    matrices = np.asarray(samples(group)[1])
    linear, translation = split(group, matrices)
    squares = np.einsum("bij,bkl->bikjl", linear, linear).reshape(
        NUM_SAMPLES, *2 * (group.degree**2,)
    )
    assert group.sample_measure == ("haar" if group in COMPACT else "declared")
    if num_turns(group):
        # No vector is invariant; of the tensors of rank two the identity is, and in
        # the plane the rotation by a right angle too, unless it is reflected.
        invariants = [np.eye(group.degree).ravel()]
        if group.degree == 2 and len(group.generators.discrete) == 0:
            invariants.append(np.array([0.0, -1.0, 1.0, 0.0]))
        basis = np.stack(invariants) / np.sqrt(group.degree)
        assert_mean(linear, np.zeros((group.degree, group.degree)))
        assert_mean(squares, basis.T @ basis)
    if group not in COMPACT:
        t = translation
        assert_mean(t, np.zeros(group.degree))
        # The declared density: N(0, sigma^2 I).
        products = np.einsum("bi,bj->bij", t, t)
        assert_mean(products, group.sigma**2 * np.eye(group.degree))
    if len(group.generators.discrete):
        assert_mean(np.linalg.det(linear), np.zeros(()))


def assert_mean(values, want):
    spread = np.std(values, axis=0) / np.sqrt(len(values))
    # Entries that do not vary have no spread, but rounding.
    assert np.all(np.abs(np.mean(values, axis=0) - want) <= 5 * spread + 1e-12)


@every_compact_group
def test_quadrature_is_exact_to_its_degree_and_not_beyond(group):
    # Matrix elements of degree l are polynomials of degree l in the entries of R; the
    # l-fold tensor power of R holds all of them. Its mean over the group is the one of
    # a much finer quadrature of the same kind, and, for odd l in O(n), zero.
    degrees = (12, 0, 1, 2, 3)
    rules = [group.quadrature(degree) for degree in degrees]
    nodes = jax.tree.map(
        lambda *leaves: jnp.asarray(np.concatenate(leaves)),
        *[rule[0] for rule in rules],
    )
    sizes = np.cumsum([len(rule[1]) for rule in rules])
    matrices = np.split(np.asarray(group.matrix(nodes)), sizes[:-1])
    exact = [mean_power(matrices[0], rules[0][1], power) for power in range(5)]
    for degree, (_, weights), nodes in zip(
        degrees[1:], rules[1:], matrices[1:], strict=True
    ):
        assert weights.dtype == np.float64
        assert np.all(weights > 0)
        close(np.sum(weights), 1)
        errors = [
            np.max(np.abs(mean_power(nodes, weights, power) - exact[power]))
            for power in range(degree + 2)
        ]
        assert max(errors[: degree + 1]) < ROUNDING
        # Too few nodes for the next degree, so the claim is sharp.
        if degree > 0 and not isinstance(group, groups.O):
            assert errors[degree + 1] > 1e-3


def mean_power(matrices, weights, power):
    """Weighted mean of the tensor power, without its unit axes."""
    result = np.ones((len(matrices), 1))
    for _ in range(power):
        flat = matrices.reshape(len(matrices), -1)
        result = np.einsum("bi,bj->bij", result, flat).reshape(len(matrices), -1)
    return weights @ result


def test_quadrature_of_rotations_finds_the_known_integrals():
    # The integral of R_33^(2k) over SO(3) is 1/(2k + 1).
    nodes, weights = groups.SO(3).quadrature(6)
    entry = np.asarray(groups.SO(3).matrix(jnp.asarray(nodes)))[:, 2, 2]
    for k in range(4):
        close(weights @ entry ** (2 * k), 1 / (2 * k + 1))


def test_quadrature_needs_a_degree_and_a_compact_group():
    for group in (groups.Translation(2), groups.SE(2), groups.SE(3), groups.E(3)):
        with pytest.raises(ValueError, match=r"is not compact.*Use `sample`"):
            group.quadrature(2)
    for group in COMPACT:
        with pytest.raises(ValueError, match="`degree` must be an integer"):
            group.quadrature(-1)


# Derivatives, precision, batches -----------------------------------------------------


@every_group
def test_gradients_are_finite_at_singular_elements(group):
    """Of a map through every function, at the identity, half turns, flips."""
    x = points(group)

    def fn(v, a):
        moved = group.inverse(group.compose(a, group.exp(v)))
        back = group.from_matrix(group.matrix(moved))
        return jnp.sum(group.log(back)) + jnp.sum(group.act(moved, x))

    zero = np.zeros((1, group.dim))
    half_turn = np.zeros((1, group.dim))
    half_turn[:, group.dim - num_turns(group) :][:, -1:] = np.pi
    exponents = np.concatenate([zero, half_turn, twists(group)])
    e = exp_of(group)(jnp.zeros(exponents.shape))
    singular = pick(exp_of(group)(jnp.asarray(exponents)), slice(2))
    cases = [
        (exponents, e),
        (np.zeros((3 * NUM, group.dim)), elements(group)),
        *(
            (np.zeros((2, group.dim)), with_flips(group, singular, [flip, flip]))
            for flip in (0, 1)
        ),
    ]
    v, a = jax.tree.map(lambda *leaves: jnp.asarray(np.concatenate(leaves)), *cases)
    assert np.all(np.isfinite(jit(jax.vmap(jax.grad(fn)))(v, a)))


# These contain the other groups.
@pytest.mark.parametrize("group", [GROUPS[i] for i in (0, 2, 4, 7, 8)], ids=str)
def test_float32_and_vmap_agree_with_float64_and_batches(group):
    # 20 roundings of the largest numbers in play: angles near pi, and translations of
    # products of three elements, which reach a size of 8.
    tolerance = 20 * float(jnp.finfo(jnp.float32).eps) * 8
    args = cast(arguments(group), jnp.float32)
    got = jit(jax.vmap(functools.partial(apply_everything, group)))(*args)
    for name, want in results(group).items():
        assert got[name].dtype == jnp.float32, name
        assert got[name].shape == want.shape, name
        if name == "log(exp(v))":
            # Within float32's rounding of pi the logarithm of a half turn may jump.
            continue
        np.testing.assert_allclose(
            got[name], want, rtol=0, atol=tolerance, err_msg=name
        )


@every_group
def test_dtypes_are_kept(group):
    key = jax.random.key(0)
    for dtype in (jnp.float32, jnp.float64, None):
        for a in (
            jax.eval_shape(lambda: group.identity(dtype=dtype)),  # noqa: B023
            jax.eval_shape(lambda: group.sample(dtype=dtype, key=key)),  # noqa: B023
        ):
            dtypes = {leaf.dtype for leaf in jax.tree.leaves(a)}
            assert jnp.dtype(dtype or jnp.float64) in dtypes
            assert dtypes <= {jnp.dtype(dtype or jnp.float64), jnp.dtype(jnp.int32)}


@every_group
def test_leading_axes_broadcast(group):
    # Elements (3, 1, ...) against (2, ...) and points (2, degree).
    a = pick(elements(group), np.arange(3)[:, None])
    b = pick(elements(group, 1), slice(2))
    x = points(group, 3 * NUM)[:2]

    @jit
    def fn(a, b, x):
        product = group.matrix(group.compose(a, b))
        return product, group.act(a, x), group.matrix(a), group.matrix(b)

    product, moved, left, right = map(np.asarray, fn(a, b, x))
    close(product, left @ right)
    linear, translation = split(group, left)
    assert moved.shape == (3, 2, group.degree)
    close(moved, np.einsum("...ij,...j->...i", linear, x) + translation)
    # One element moves many points, and many elements one point.
    g = (pick(elements(group), 1), pick(elements(group), slice(3)))
    to_many, by_many = jit(lambda g, x: (group.act(g[0], x), group.act(g[1], x[0])))(
        g, x
    )
    close(to_many, moved[1])
    close(by_many, moved[:, 0])


def test_wrong_specs_are_refused():
    for cls in (groups.SO, groups.O):
        with pytest.raises(ValueError, match="`n` must be an integer of at least 2"):
            cls(1)
        for n, elements in ((2, "quaternion"), (3, "angle"), (4, "quaternion")):
            with pytest.raises(ValueError, match="`elements` must be one of"):
                cls(n, elements)
    for cls in (groups.SE, groups.E):
        for n in (1, 4):
            with pytest.raises(ValueError, match=r"`n` must be one of 2, 3, got"):
                cls(n)
    with pytest.raises(ValueError, match="`n` must be an integer of at least 1"):
        groups.Translation(0)
    for cls in (groups.Translation, groups.SE, groups.E):
        with pytest.raises(ValueError, match="`sigma` must be a positive number"):
            cls(2, sigma=0.0)


@every_group
def test_specs_are_values(group):
    assert isinstance(group, groups.Group)
    assert len({group, copy.deepcopy(group)}) == 1
