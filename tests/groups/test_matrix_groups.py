"""The laws of the groups of matrices, on elements from three samplers.

Generic elements, those near the identity (1e-12 .. 1e-2) and those at a distance of
1e-6 from the cut locus (SL and GL+: 0.05, as their docstrings say). Tolerances are in
roundings of the largest number in play; it is of size 20 for the non-compact groups.
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
    groups.SO(4),
    groups.SO(5),
    groups.O(4),
    groups.O(2, elements="matrix"),
    groups.O(3, elements="matrix"),
    groups.SU(2),
    groups.SU(3),
    groups.U(3),
    groups.Sp(1),
    groups.Sp(2),
    groups.Lorentz(2),
    groups.Lorentz(3),
    groups.Lorentz(3, reflections="space"),
    groups.Lorentz(3, reflections="all"),
    groups.SL(2),
    groups.SL(3),
    groups.GLPlus(2),
    groups.GLPlus(3),
    groups.Scaling(3),
)
HAAR = tuple(group for group in GROUPS if group.sample_measure == "haar")
# The others share the code of these.
FAST = (
    groups.O(4),
    groups.SU(2),
    groups.SU(3),
    groups.U(3),
    groups.Sp(2),
    groups.Lorentz(2),
    groups.Lorentz(3, reflections="all"),
    groups.SL(2),
    groups.GLPlus(3),
    groups.Scaling(3),
)
# One of each kind, for exponentials, which compile for long.
KINDS = (
    groups.O(4),
    groups.SU(2),
    groups.SU(3),
    groups.Sp(2),
    groups.Lorentz(3, reflections="all"),
    groups.GLPlus(3),
    groups.Scaling(3),
)


def parametrized(specs, fast=FAST):
    """Over groups, those that are not in `fast` marked slow."""
    params = [
        pytest.param(group, marks=() if group in fast else pytest.mark.slow)
        for group in specs
    ]
    return pytest.mark.parametrize("group", params, ids=str)


every_group = parametrized(GROUPS)
every_compact_group = parametrized(HAAR)
every_declared_group = parametrized([g for g in GROUPS if g not in HAAR])
every_kind_of_group = parametrized(GROUPS, KINDS)

ROUNDING = 1e-14
NUM_SAMPLES = 4000
NUM = 10
GENERIC, IDENTITY, CUT = slice(0, 4), slice(4, 8), slice(8, NUM)

# Compiling takes most of the time of this file, running almost none.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


# Lie algebra vectors and elements, in NumPy and SciPy --------------------------------


def hat(group, v):
    return np.tensordot(v, group.generators.lie, 1)


def width(group, v):
    """Largest angle of exp(v); for SU(n) half the largest difference of two."""
    angles = np.linalg.eigvals(hat(group, v)).imag
    if isinstance(group, groups.SU):
        return (np.max(angles, axis=-1) - np.min(angles, axis=-1)) / 2
    return np.max(np.abs(angles), axis=-1)


def is_general(group):
    """Whether the inverse is no formula, so that half turns must stay 0.05 away."""
    return isinstance(group, (groups.SL, groups.GLPlus))


@functools.cache
def twists(group):
    """Lie algebra vectors inside the injectivity radius, of the three samplers."""
    numbers = np.random.default_rng(17)
    v = numbers.standard_normal((NUM, group.dim))
    v[GENERIC] *= np.linspace(0.2, 1, 4)[:, None]
    # A generic element has angles of at most 3.
    v[GENERIC] /= np.maximum(1, width(group, v[GENERIC]) / 3)[:, None]
    lengths = np.linalg.norm(v[IDENTITY], axis=1, keepdims=True)
    v[IDENTITY] *= np.geomspace(1e-12, 1e-2, 4)[:, None] / lengths
    lie = group.generators.lie
    rotations = np.all(np.isclose(lie, -lie.conj().swapaxes(1, 2)), axis=(1, 2))
    if np.any(rotations):
        near = v[CUT] * rotations[None]
        distance = 0.05 if is_general(group) else 1e-6
        near *= ((np.pi - distance) / width(group, near))[:, None]
        # Boosted rotations have the same angles.
        boost = scipy.linalg.expm(hat(group, 0.3 * v[CUT] * ~rotations[None]))
        moved = boost @ hat(group, near) @ np.linalg.inv(boost)
        products = np.einsum("dij,bij->bd", lie.conj(), moved).real
        v[CUT] = products / np.einsum("dij,dij->d", lie.conj(), lie).real
    return v


@functools.cache
def samples(group):
    """Many elements and their matrices."""

    def draw(key):
        a = group.sample(key=key)
        return a, group.matrix(a)

    keys = jax.random.split(jax.random.key(8), NUM_SAMPLES)
    return jax.tree.map(np.asarray, jit(jax.vmap(draw))(keys))


@functools.cache
def elements(group, seed=0):
    """Elements of the three samplers, reflected ones among them."""
    generic = samples(group)[0][4 * seed : 4 * seed + 4]
    near = scipy.linalg.expm(hat(group, np.roll(twists(group)[4:], seed, axis=0)))
    if len(group.generators.discrete):
        near[seed % 2 :: 2] = near[seed % 2 :: 2] @ group.generators.discrete[-1]
    near = np.asarray(group.from_matrix(jnp.asarray(near)))
    return jnp.asarray(np.concatenate([generic, near]))


def vectors(group):
    return jnp.asarray(np.random.default_rng(5).standard_normal((NUM, group.degree)))


def arguments(group):
    a, b, c = (elements(group, seed) for seed in range(3))
    return a, b, c, jnp.asarray(twists(group)), vectors(group)


def apply_algebra(group, a, b, c, v, x):
    """All but exponentials and logarithms."""
    matrix, compose, act = group.matrix, group.compose, group.act
    e = group.identity(dtype=v.dtype)
    ab, back, turn = compose(a, b), group.inverse(a), group.adjoint(a)
    return {
        "a": matrix(a),
        "b": matrix(b),
        "ab": matrix(ab),
        "(ab)c": matrix(compose(ab, c)),
        "a(bc)": matrix(compose(a, compose(b, c))),
        "ae": matrix(compose(a, e)),
        "ea": matrix(compose(e, a)),
        "inverse": matrix(back),
        "a inverse(a)": matrix(compose(a, back)),
        "inverse(a) a": matrix(compose(back, a)),
        "from_matrix": matrix(group.from_matrix(matrix(a))),
        "ax": act(a, x),
        "(ab)x": act(ab, x),
        "a(bx)": act(a, act(b, x)),
        "hat": group.hat(v),
        "vee": group.vee(group.hat(v)),
        "Ad(a)": turn,
        "Ad(b)": group.adjoint(b),
        "Ad(ab)": group.adjoint(ab),
        "Ad(a)v": jnp.einsum("...ij,...j->...i", turn, v, precision="highest"),
    }


@functools.cache
def results(group):
    """`apply_algebra` on the batch, float64, as NumPy arrays."""
    fn = jit(functools.partial(apply_algebra, group))
    return jax.tree.map(np.asarray, fn(*arguments(group)))


def apply_exponential(group, a, v):
    """exp(v), log(a exp(v)) and the Jacobian of the latter in v; one example."""

    def fn(v):
        power = group.exp(v)
        return group.log(group.compose(a, power)), group.matrix(power)

    log, pull_back, power = jax.vjp(fn, v, has_aux=True)
    (jacobian,) = jax.vmap(pull_back)(jnp.eye(group.dim, dtype=v.dtype))
    return {"exp": power, "log": log, "Jacobian": jacobian}


@functools.cache
def exponential_arguments(group):
    """Six multiples of v with the identity; then singular and other elements, v = 0."""
    v = twists(group)
    moved = np.einsum("bij,bj->bi", results(group)["Ad(a)"], v)
    powers = np.stack([v, 0.3 * v, 0.5 * v, 0.8 * v, -v, moved])
    e = group.identity()
    singular = [np.eye(len(group.matrix(e))), *group.generators.discrete]
    if not isinstance(group, groups.Scaling) and not is_general(group):
        turn = np.zeros((1, group.dim))
        turn[:, -1 if isinstance(group, groups.Lorentz) else 0] = 1
        turn *= np.pi / width(group, turn)[:, None]
        singular.append(scipy.linalg.expm(hat(group, turn))[0])
    singular = group.from_matrix(jnp.asarray(np.stack(singular)))
    a = [jnp.broadcast_to(e, (6 * NUM, *e.shape)), elements(group), singular]
    v = [powers.reshape(6 * NUM, -1), np.zeros((NUM + len(singular), group.dim))]
    return jnp.concatenate(a), jnp.asarray(np.concatenate(v))


@functools.cache
def exponentials(group):
    fn = jit(jax.vmap(functools.partial(apply_exponential, group)))
    return jax.tree.map(np.asarray, fn(*exponential_arguments(group)))


def close(got, want, atol=ROUNDING):
    """Up to `atol` times the largest number, and at least one."""
    got, want = np.broadcast_arrays(np.asarray(got), np.asarray(want))
    size = max(1, np.max(np.abs(want), initial=0))
    np.testing.assert_allclose(got, want, rtol=0, atol=atol * size)


# Axioms ------------------------------------------------------------------------------


@every_group
def test_axioms(group):
    r = results(group)
    one = np.eye(r["a"].shape[-1])
    close(r["(ab)c"], r["a(bc)"])
    close(r["ae"], r["a"])
    close(r["ea"], r["a"])
    # Products of an element and its inverse, each as large as 20.
    close(r["inverse(a) a"], one, 1e-12)
    close(r["a inverse(a)"], one, 1e-12)


@every_group
def test_matrix_is_a_homomorphism_and_from_matrix_its_inverse(group):
    r = results(group)
    close(r["ab"], r["a"] @ r["b"])
    close(r["inverse"], np.linalg.inv(r["a"]), 1e-13)
    close(r["from_matrix"], r["a"])
    close(group.matrix(group.identity()), np.eye(r["a"].shape[-1]))


@every_group
def test_action_is_that_of_the_matrix(group):
    r, x = results(group), np.asarray(vectors(group))
    close(r["ax"], np.einsum("bij,bj->bi", r["a"], x))
    close(r["(ab)x"], r["a(bx)"])


@every_group
def test_elements_satisfy_the_definition(group):
    r, n = results(group), group.degree
    for name in ("a", "(ab)c", "inverse"):
        m = r[name]
        dagger = np.swapaxes(m.conj(), 1, 2)
        form = np.eye(n)
        if isinstance(group, groups.Sp):
            form = np.eye(n)[:, np.roll(np.arange(n), n // 2)]
            form[: n // 2] *= -1
            close(form, -form.T)
        if isinstance(group, groups.Lorentz):
            form[1:] *= -1
        size = np.max(np.abs(m)) ** 2
        if not isinstance(group, (groups.SL, groups.GLPlus, groups.Scaling)):
            close(dagger @ form @ m, form, ROUNDING * size)
        det = np.linalg.det(m)
        if isinstance(group, (groups.GLPlus, groups.Scaling)):
            assert np.all(det > 0)
        elif len(group.generators.discrete) == 0 and not isinstance(group, groups.U):
            close(det, np.ones(NUM), ROUNDING * size**2)
        if isinstance(group, groups.Lorentz) and group.reflections != "all":
            assert np.all(m[:, 0, 0] >= 1 - ROUNDING * size)


# Exponential map ---------------------------------------------------------------------


@every_kind_of_group
def test_exponential_map_is_a_one_parameter_subgroup(group):
    power = exponentials(group)["exp"]
    shape = (6, NUM, *power.shape[1:])
    exp_v, first, second, both, back, moved = power[: 6 * NUM].reshape(shape)
    # Repeated squaring adds some 10 roundings to each exponential.
    close(first @ second, both, 1e-13)
    close(np.linalg.inv(exp_v), back, 1e-13)
    close(exp_v, scipy.linalg.expm(hat(group, twists(group))), 1e-13)
    # a exp(v) a^-1 = exp(Ad(a) v), three factors as large as 20.
    r = results(group)
    close(r["a"] @ exp_v @ r["inverse"], moved, 1e-12)


@every_kind_of_group
def test_log_inverts_exp_inside_the_injectivity_radius(group):
    v = twists(group)
    error = np.linalg.norm(exponentials(group)["log"][:NUM] - v, axis=1)
    # 2^s roundings of the matrices' entries, s <= 6 the number of square roots.
    assert np.all(error[:8] <= 1e-13)
    if isinstance(group, (groups.O, groups.SO, groups.SU, groups.U, groups.Lorentz)):
        # A vector so small that every entry of its exponential keeps its digits.
        assert error[4] <= ROUNDING * np.linalg.norm(v[4])
    # Where two eigenvalues meet from both sides of the cut at the distance d, rounding
    # turns their eigenvectors by eps/d: 4 pi eps/d. The orthogonal groups tie them.
    loose = isinstance(group, (groups.SU, groups.Sp))
    assert np.all(error[CUT] <= (3e-9 if loose else 1e-10))


@every_kind_of_group
def test_exponential_is_onto_where_no_has_log_says_otherwise(group):
    if not hasattr(group, "has_log"):
        a, v = elements(group), exponentials(group)["log"][6 * NUM : 7 * NUM]
        back = scipy.linalg.expm(hat(group, v))
        close(back, np.asarray(group.matrix(a)), 1e-9)


@every_kind_of_group
def test_derivatives_are_right_and_finite_at_singular_elements(group):
    """log(exp(v)) has the Jacobian 1; at half turns and reflections it is finite."""
    jacobian = exponentials(group)["Jacobian"]
    assert np.all(np.isfinite(jacobian))
    close(jacobian[:8], np.eye(group.dim), 1e-11)
    # Near a half turn the logarithm's derivative is as large as 1/d, on eigenvectors
    # with the rounding eps/d: 10 eps/d^2 for d = 1e-6.
    close(jacobian[CUT], np.eye(group.dim), 2e-3)


@every_group
def test_adjoint_is_a_representation(group):
    r = results(group)
    close(r["Ad(ab)"], r["Ad(a)"] @ r["Ad(b)"], 1e-13)


@parametrized(
    [group for group in GROUPS if hasattr(group, "has_log")],
    (groups.O(3, elements="matrix"), groups.Lorentz(2), groups.SL(2)),
)
def test_has_log_tells_which_elements_are_exponentials(group):
    n = group.degree
    discrete = group.generators.discrete
    powers = scipy.linalg.expm(hat(group, twists(group)))
    cases = [np.eye(n), *powers, *discrete]
    want = [*[True] * (1 + NUM), *[False] * len(discrete)]
    if is_general(group) or isinstance(group, groups.Sp):
        # No real matrix has the exponential diag(-2, -1/2).
        m = np.eye(n)
        other = n // 2 if isinstance(group, groups.Sp) else 1
        m[0, 0], m[other, other] = -2, -1 / 2
        cases.append(m)
        want.append(False)
    a = jnp.asarray(np.stack(cases))
    has_log, log = jit(lambda a: (group.has_log(a), group.log(a)))(a)
    assert np.array_equal(has_log, want)
    assert np.all(np.isfinite(log))


@every_group
def test_generators_are_symmetric_or_antisymmetric_and_orthogonal(group):
    r, v = results(group), twists(group)
    lie, discrete = group.generators
    close(r["hat"], hat(group, v))
    close(r["vee"], v)
    dagger = lie.conj().swapaxes(1, 2)
    for m, own in zip(lie, dagger, strict=True):
        assert np.array_equal(m, own) or np.array_equal(m, -own)
    gram = np.einsum("aij,bij->ab", lie.conj(), lie).real
    close(gram, gram[0, 0] * np.eye(group.dim))
    assert lie.dtype == discrete.dtype == np.asarray(r["a"]).dtype
    for m in discrete:
        assert np.linalg.det(m) < 0
        close(m @ m, np.eye(len(m)))


# Measures ----------------------------------------------------------------------------


@every_compact_group
def test_sampled_moments_are_those_of_the_haar_measure(group):
    """The mean of rho(g) is the projector on invariants, within 5 sigma."""
    m, n = samples(group)[1], group.degree
    close(np.linalg.norm(m, axis=1), np.ones((NUM_SAMPLES, n)))
    squares = np.einsum("bij,bkl->bikjl", m, m.conj()).reshape(-1, n * n, n * n)
    one = np.eye(n).ravel() / np.sqrt(n)
    assert_mean(m, np.zeros((n, n)))
    assert_mean(squares, np.outer(one, one))
    if len(group.generators.discrete):
        assert_mean(np.linalg.det(m), np.zeros(()))
    if n == 3 and np.iscomplexobj(m):
        # det is invariant under SU(3) and not under U(3): the diagonal entries' product
        # is its projection, 1/n!.
        product = np.prod(np.diagonal(m, axis1=1, axis2=2), axis=1)
        assert_mean(product, 1 / 6 if isinstance(group, groups.SU) else 0)


def assert_mean(values, want):
    spread = np.std(values, axis=0) / np.sqrt(len(values))
    assert np.all(np.abs(np.mean(values, axis=0) - want) <= 5 * spread + 1e-12)


@every_declared_group
def test_samples_follow_the_declared_density(group):
    assert group.sample_measure == "declared"
    m, n = samples(group)[1], group.degree
    # Polar decomposition m = exp(X) R.
    left, stretch, right = np.linalg.svd(m)
    x = np.einsum("bij,bj,bkj->bik", left, np.log(stretch), left)
    lie = group.generators.lie
    if isinstance(group, groups.Scaling):
        assert_mean(x[:, 0, 0] ** 2, group.sigma**2)
        return
    even = np.array([m for m in lie if np.array_equal(m, m.T)])
    if isinstance(group, groups.Lorentz):
        rapidity = np.max(np.abs(np.log(stretch)), axis=1)
        assert_mean(rapidity**2, group.sigma**2)
        assert_mean(rapidity**4, 3 * group.sigma**4)
        # The boost's direction is uniform.
        direction = np.einsum("dij,bij->bd", even, x) / (2 * rapidity[:, None])
        # Rounding is divided by the smallest of the rapidities.
        close(np.linalg.norm(direction, axis=1), np.ones(NUM_SAMPLES), 1e-10)
        assert_mean(direction, np.zeros(group.n))
        assert_mean(
            np.einsum("bi,bj->bij", direction, direction), np.eye(group.n) / group.n
        )
        if group.reflections != "none":
            assert_mean(np.linalg.det(m), np.zeros(()))
        if group.reflections == "all":
            assert_mean(np.sign(m[:, 0, 0]), np.zeros(()))
        return
    v = np.einsum("dij,bij->bd", even, x)
    assert_mean(v, np.zeros(len(even)))
    products = np.einsum("bi,bj->bij", v, v)
    assert_mean(products, group.sigma**2 * np.eye(len(even)))
    # The rotations are uniform.
    rotation = left @ right
    assert_mean(rotation, np.zeros((n, n)))
    assert_mean(rotation**2, np.full((n, n), 1 / n))


@every_group
def test_quadrature_is_refused_where_there_is_none(group):
    if group.degree > 3 or group.sample_measure == "declared" or group.dim > 3:
        with pytest.raises(ValueError, match="Use `sample`"):
            group.quadrature(2)


def test_quadrature_of_spins_is_exact():
    group = groups.SU(2)

    def means(spin):
        """Of the tensor powers of the matrix, which hold all spins up to power/2."""
        nodes, weights = group.quadrature(spin)
        m = np.asarray(group.matrix(jnp.asarray(nodes))).reshape(-1, 4)
        powers = [np.ones((len(m), 1))]
        for _ in range(4):
            powers.append(np.einsum("bi,bj->bij", powers[-1], m).reshape(len(m), -1))
        return [weights @ power for power in powers]

    exact = means(5)
    for spin in (0, 0.5, 1, 1.5):
        for power in range(round(2 * spin) + 1):
            close(means(spin)[power], exact[power])
        assert np.max(np.abs(means(spin)[-1] - exact[-1])) > 1e-3
    # det^(j) is the only invariant: of spin 0 in the second power.
    close(exact[2].reshape(2, 2, 2, 2)[0, 0, 1, 1], 1 / 2)
    for wrong in (-1, 0.3):
        with pytest.raises(ValueError, match="`degree` must be a spin"):
            group.quadrature(wrong)


# Polar coordinates -------------------------------------------------------------------


POLAR = (groups.SL(2), groups.SL(3), groups.GLPlus(2), groups.GLPlus(3))


@functools.cache
def polar_examples(group):
    """Symmetric coordinates (a zero, equal and nearly equal eigenvalues) and turns."""
    numbers = np.random.default_rng(3)
    num = group.dim - group.n * (group.n - 1) // 2
    x = numbers.standard_normal((7, num))
    x[0] = 0
    x[1:4] *= np.array([1e-12, 1e-6, 1e-2])[:, None]
    x[6] *= 3
    q = np.asarray(samples(group)[1][:7])
    left, _, right = np.linalg.svd(q)
    return jnp.asarray(x), jnp.asarray(left @ right)


@functools.cache
def polar_results(group):
    def fn(x, rotation):
        def velocity(y):
            return group.exp(jnp.pad(y, (group.dim - y.size, 0)))

        a = group.from_coordinates(x, rotation)
        return {
            "a": a,
            "back": group.coordinates(a),
            "density": group.log_density(a),
            "Jacobian": jax.jacfwd(lambda y: group.coordinates(velocity(y))[0])(x),
            "gradient": jax.grad(group.log_density)(a),
            "exp": velocity(x),
            "velocity": jax.jacfwd(velocity)(x),
        }

    return jax.tree.map(np.asarray, jit(jax.vmap(fn))(*polar_examples(group)))


@parametrized(POLAR, (groups.SL(2), groups.GLPlus(3)))
def test_polar_coordinates_round_trip(group):
    x, rotation = polar_examples(group)
    r = polar_results(group)
    # Absolute, also at X = 3 times a normal vector, where exp(X) has condition 1e5.
    close(r["back"][0][:6], x[:6], 1e-13)
    close(r["back"][1][:6], rotation[:6], 1e-13)
    close(r["back"][0][6], x[6], 1e-10)
    close(r["back"][1][6], rotation[6], 1e-10)
    # The Jacobian of the coordinates of exp(X) in X is one, at the identity too.
    num = x.shape[1]
    close(r["Jacobian"][:6], np.eye(num), 1e-12)
    assert np.all(np.isfinite(r["gradient"]))


@parametrized(POLAR, (groups.SL(2), groups.GLPlus(3)))
def test_log_density_is_relative_to_the_haar_measure(group):
    """J(X) is the determinant of dX -> symmetric part of g^-1 dg, at g = exp(X)."""
    x = np.asarray(polar_examples(group)[0])
    r = polar_results(group)
    lie = group.generators.lie
    even = lie[group.dim - x.shape[1] :]
    moved = np.einsum("bij,bjkd->bdik", np.linalg.inv(r["exp"]), r["velocity"])
    jacobian = np.linalg.det(np.einsum("eik,bdik->bed", even, moved))
    normal = np.sum(x**2, axis=1) / (2 * group.sigma**2)
    normal = -normal - x.shape[1] * np.log(group.sigma * np.sqrt(2 * np.pi))
    # The inverse of the exponential loses its condition, 1e5 in the last example.
    close(r["density"], normal - np.log(jacobian), 1e-9)


@parametrized([groups.Sp(1), groups.Sp(2)], (groups.Sp(2),))
def test_log_density_of_symplectic_matrices_is_relative_to_the_haar_measure(group):
    num = group.dim - group.m**2
    even = group.generators.lie[group.m**2 :]
    x = jnp.asarray(np.random.default_rng(3).standard_normal((4, num)))
    x = x * jnp.array([0, 1e-6, 0.5, 1])[:, None]

    def fn(x):
        return group.exp(jnp.pad(x, (group.m**2, 0)))

    power, velocity, gradient = jit(
        jax.vmap(
            lambda x: (fn(x), jax.jacfwd(fn)(x), jax.grad(group.log_density)(fn(x)))
        )
    )(x)
    assert np.all(np.isfinite(gradient))
    moved = np.einsum("bij,bjkd->bdik", np.linalg.inv(power), velocity)
    jacobian = np.linalg.det(np.einsum("eik,bdik->bed", even, moved))
    normal = -np.sum(np.square(x), axis=1) / (2 * group.sigma**2)
    normal -= num * np.log(group.sigma * np.sqrt(2 * np.pi))
    # The compact factor does not matter.
    turn = scipy.linalg.expm(group.generators.lie[0])
    got = group.log_density(power @ jnp.asarray(turn)[None])
    close(got, normal - np.log(jacobian), 1e-11)
    if group.m == 1:
        close(got, groups.SL(2).log_density(power), 1e-12)


def test_haar_integrals_over_unimodular_matrices_are_left_invariant():
    """The number is that of three different h, by another program."""
    group = groups.SL(2)
    step, count = 0.06, 100
    grid = step * np.arange(-count, count + 1)
    x = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    a = group.from_coordinates(jnp.asarray(x), jnp.eye(2)[None].repeat(len(x), 0))
    density = np.exp(np.asarray(group.log_density(a)))
    normal = np.exp(-np.sum(x**2, axis=1) / (2 * group.sigma**2))
    normal /= 2 * np.pi * group.sigma**2
    # dg = J dX, and J = normal / density. The integrand decays like exp(-e^|X|), so
    # that equal steps are exact.
    weights = step**2 * normal / density
    close(np.sum(weights * density), 1, 1e-8)
    for h in (np.eye(2), np.array([[2.0, 1], [1, 1]]), np.diag([3.0, 1 / 3])):
        moved = h @ np.asarray(a)
        integral = weights @ np.exp(-np.sum(moved**2, axis=(1, 2)))
        # The number is for dX = dX_00 dX_01; orthonormal coordinates give twice that.
        np.testing.assert_allclose(integral / 2, 0.10629208289691, rtol=1e-12)


# Derivatives, precision, batches -----------------------------------------------------


def single(array):
    is_complex = np.iscomplexobj(array)
    return jnp.asarray(array, jnp.complex64 if is_complex else jnp.float32)


@parametrized(
    GROUPS, (groups.SU(3), groups.Lorentz(3, reflections="all"), groups.GLPlus(3))
)
def test_float32_and_vmap_agree_with_float64_and_batches(group):
    args = [single(array) for array in arguments(group)]
    got = jit(jax.vmap(functools.partial(apply_algebra, group)))(*args)
    # Three factors at most, each with its rounding.
    assert_single(results(group), got, 20)


@parametrized(GROUPS, ())
def test_float32_exponentials_agree_with_float64(group):
    args = [single(array) for array in exponential_arguments(group)]
    fn = jit(jax.vmap(functools.partial(apply_exponential, group)))
    far = slice(None, NUM - 2)  # from the cut locus
    got, want = (
        {k: a[far] for k, a in r.items()} for r in (fn(*args), exponentials(group))
    )
    # 2^s roundings from s square roots, s <= 6, and those of the exponential.
    assert_single(want, got, 200)


def assert_single(want, got, num_roundings):
    atol = num_roundings * float(jnp.finfo(jnp.float32).eps)
    for name, array in want.items():
        assert got[name].dtype == single(array).dtype, name
        assert got[name].shape == array.shape, name
        size = max(1, np.max(np.abs(array)))
        np.testing.assert_allclose(
            got[name], array, rtol=0, atol=atol * size, err_msg=name
        )


@every_group
def test_dtypes_are_kept(group):
    key = jax.random.key(0)
    for dtype in (jnp.float32, jnp.float64, None):
        want = np.result_type(dtype or jnp.float64, group.identity().dtype.type(0))
        if dtype is jnp.float32:
            is_complex = jnp.iscomplexobj(group.identity())
            want = jnp.dtype(jnp.complex64 if is_complex else jnp.float32)
        for a in (
            jax.eval_shape(lambda: group.identity(dtype=dtype)),  # noqa: B023
            jax.eval_shape(lambda: group.sample(dtype=dtype, key=key)),  # noqa: B023
        ):
            assert a.dtype == want


@every_group
def test_leading_axes_broadcast(group):
    a, b = elements(group)[:3, None], elements(group, 1)[:2]
    x = vectors(group)[:2]
    product = group.matrix(group.compose(a, b))
    left, right = np.asarray(group.matrix(a)), np.asarray(group.matrix(b))
    close(product, left @ right)
    close(group.act(a, x), np.einsum("...ij,...j->...i", left, np.asarray(x)))


# Errors ------------------------------------------------------------------------------


@every_group
def test_specs_are_values(group):
    assert isinstance(group, groups.Group)
    assert group.order is None
    assert len({group, copy.deepcopy(group)}) == 1


def test_wrong_specs_are_refused():
    for cls, minimum in ((groups.SU, 2), (groups.SL, 2), (groups.U, 1)):
        with pytest.raises(ValueError, match=rf"`n`.* of at least {minimum}"):
            cls(minimum - 1)
    for cls in (groups.Lorentz, groups.GLPlus, groups.Scaling):
        with pytest.raises(ValueError, match="`n` must be an integer of at least 1"):
            cls(0)
    with pytest.raises(ValueError, match="`m` must be an integer of at least 1"):
        groups.Sp(0)
    with pytest.raises(ValueError, match="`reflections` must be one of 'none'"):
        groups.Lorentz(3, reflections="time")
    for cls in (groups.Lorentz, groups.GLPlus, groups.SL, groups.Sp, groups.Scaling):
        with pytest.raises(ValueError, match="`sigma` must be a positive number"):
            cls(2, sigma=0.0)


@every_group
@pytest.mark.usefixtures("user_errors")
def test_wrong_elements_are_refused(group):
    if isinstance(group, groups.Scaling):
        return
    with pytest.raises(ValueError, match="`b` must be an array of shape"):
        group.compose(group.identity(), jnp.zeros((2, 7, 5)))
    with pytest.raises(ValueError, match="`a` must be an array of shape"):
        group.inverse(jnp.zeros(7))
