"""Invariants of tuples are invariant, complete, and as many as they have to be.

Complete: from the values alone a canonical tuple is built, and a group element is
exhibited that maps the tuple to it. Two tuples with equal values have the same
canonical one, so they lie in one orbit. A third of the tuples are degenerate: members
coincide, are opposite, or lie on one line.
"""

import dataclasses
import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import groups, spaces
from eqjax.groups import SE, SO, E, Lorentz, O, Translation
from eqjax.spaces import Euclidean, Hyperbolic, PositionOrientation, Sphere, Torus

NUM = 1200
POINTS_3, POINTS_4 = ("point",) * 3, ("point",) * 4
WITH_POSE = ("point", "point", "pose")


@dataclasses.dataclass(frozen=True)
class Case:
    space: Any
    group: Any
    kinds: tuple[str, ...]
    # Dimension of the space of orbits, and the number of values.
    count: int
    num_values: int

    def __str__(self):
        return f"{self.space}-{self.group}-{'-'.join(self.kinds)}"

    @property
    def fn(self):
        return spaces.invariants(self.space, self.group, self.kinds)


HEADED = PositionOrientation(3)
REFLECTED = functools.partial(Lorentz, reflections="space")
PAIR_OF_HEADED = Case(HEADED, SE(3), ("point", "point"), 4, 5)
POINTS_IN_SPACE = Case(Euclidean(3), SE(3), POINTS_4, 6, 7)
HYPERBOLIC = Case(Hyperbolic(3), Lorentz(3), POINTS_4, 6, 7)
CASES = (
    # Translations and rigid motions of points.
    Case(Euclidean(2), Translation(2), ("point", "point"), 2, 2),
    Case(Euclidean(2), Translation(2), ("point", "pose"), 2, 2),
    Case(Euclidean(3), E(3), ("point", "point"), 1, 1),
    Case(Euclidean(3), E(3), POINTS_3, 3, 3),
    Case(Euclidean(3), SE(3), POINTS_3, 3, 3),
    POINTS_IN_SPACE,
    Case(Euclidean(2), E(2), POINTS_3, 3, 3),
    Case(Euclidean(2), SE(2), POINTS_3, 3, 4),
    Case(Euclidean(2), SE(2), POINTS_4, 5, 9),
    # With an element of the group.
    Case(Euclidean(2), SE(2), ("point", "pose"), 2, 2),
    Case(Euclidean(2), E(2), ("point", "pose"), 2, 2),
    Case(Euclidean(3), SE(3), ("point", "pose"), 3, 3),
    Case(Euclidean(2), groups.GLPlus(2), ("point", "pose"), 2, 2),
    Case(Euclidean(2), SE(2), WITH_POSE, 4, 4),
    Case(Euclidean(3), SE(3), WITH_POSE, 6, 6),
    Case(Euclidean(3), E(3), WITH_POSE, 6, 6),
    # With directions.
    Case(Euclidean(2), SE(2), ("point", "oriented"), 2, 2),
    Case(Euclidean(3), SE(3), ("point", "oriented"), 2, 2),
    Case(Euclidean(3), E(3), ("point", "oriented"), 2, 2),
    Case(Euclidean(3), E(3), ("point", "point", "oriented"), 5, 5),
    Case(Euclidean(3), SE(3), ("point", "point", "oriented"), 5, 6),
    Case(Euclidean(3), SE(3), ("oriented", "point", "pose"), 8, 9),
    Case(HEADED, E(3), ("point", "point"), 4, 4),
    PAIR_OF_HEADED,
    Case(HEADED, SE(3), ("point", "pose"), 5, 6),
    Case(PositionOrientation(2), SE(2), ("point", "point"), 3, 4),
    # Rotations and reflections about the origin.
    Case(Euclidean(3), SO(3), ("point", "point"), 3, 3),
    Case(Euclidean(3), SO(3), POINTS_3, 6, 7),
    Case(Euclidean(3), O(3), POINTS_3, 6, 6),
    Case(Sphere(1), SO(2), ("point", "point"), 1, 2),
    Case(Sphere(1), O(2), ("point", "point"), 1, 1),
    Case(Sphere(2), O(3), POINTS_3, 3, 3),
    Case(Sphere(2), SO(3), POINTS_3, 3, 4),
    Case(Sphere(3), O(4), POINTS_3, 3, 3),
    Case(Sphere(3), SO(4), POINTS_4, 6, 7),
    Case(Sphere(2), SO(3), WITH_POSE, 4, 6),
    # The rest.
    Case(Hyperbolic(1), Lorentz(1), ("point", "point"), 1, 2),
    Case(Hyperbolic(2), REFLECTED(2), POINTS_3, 3, 3),
    Case(Hyperbolic(2), Lorentz(2), POINTS_3, 3, 4),
    Case(Hyperbolic(3), REFLECTED(3), POINTS_3, 3, 3),
    Case(Hyperbolic(3), Lorentz(3), POINTS_3, 3, 3),
    HYPERBOLIC,
    Case(Hyperbolic(2), Lorentz(2), ("point", "pose"), 2, 2),
    Case(Torus((2.0, 3.0)), Translation(2), ("point", "point"), 2, 4),
    Case(spaces.LieGroupSpace(SO(3)), SO(3), ("point", "point"), 3, 9),
    Case(spaces.LieGroupSpace(groups.SU(2)), groups.SU(2), ("point", "pose"), 3, 8),
)

# Compiling takes most of the time of this file, running almost none.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

# Every row of the table of invariants has one that is not slow.
SLOW = {
    Case(Euclidean(2), Translation(2), ("point", "pose"), 2, 2),
    Case(Euclidean(2), E(2), POINTS_3, 3, 3),
    Case(Euclidean(2), SE(2), POINTS_4, 5, 9),
    Case(Euclidean(2), E(2), ("point", "pose"), 2, 2),
    Case(Euclidean(2), groups.GLPlus(2), ("point", "pose"), 2, 2),
    Case(Euclidean(3), E(3), WITH_POSE, 6, 6),
    Case(Euclidean(3), SE(3), ("oriented", "point", "pose"), 8, 9),
    Case(HEADED, SE(3), ("point", "pose"), 5, 6),
    Case(Euclidean(3), SO(3), ("point", "point"), 3, 3),
    Case(Euclidean(3), O(3), POINTS_3, 6, 6),
    Case(Sphere(1), O(2), ("point", "point"), 1, 1),
    Case(Sphere(3), SO(4), POINTS_4, 6, 7),
    Case(Hyperbolic(1), Lorentz(1), ("point", "point"), 1, 2),
    Case(Hyperbolic(3), Lorentz(3), POINTS_3, 3, 3),
    Case(Hyperbolic(2), Lorentz(2), ("point", "pose"), 2, 2),
    Case(spaces.LieGroupSpace(groups.SU(2)), groups.SU(2), ("point", "pose"), 3, 8),
}
assert set(CASES) >= SLOW
every_case = pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=pytest.mark.slow) if case in SLOW else case
        for case in CASES
    ],
    ids=str,
)


def member_space(case, kind):
    """The space of a member, or None for a pose."""
    if kind == "pose":
        return None
    return PositionOrientation(case.space.n) if kind == "oriented" else case.space


@functools.cache
def sampler(sampled):
    """From keys to points of a space, or to elements of a group."""
    return jit(jax.vmap(lambda key: sampled.sample(key=key)))


@functools.cache
def samples(sampled, seed):
    return sampler(sampled)(jax.random.split(jax.random.key(seed), NUM))


@functools.cache
def tuples(case, seed=0):
    """Random tuples, a third of them degenerate; each member has a leading axis."""
    numbers = np.random.default_rng(seed)
    members = []
    for i, kind in enumerate(case.kinds):
        space = member_space(case, kind)
        sampled = case.group if space is None else space
        members.append(samples(sampled, 10 * seed + i))
    size = point_size(case)
    which = [i for i, kind in enumerate(case.kinds) if kind != "pose"]
    if size and len(which) > 1:
        points = [np.array(members[i]) for i in which]
        make_degenerate(case, points, size, numbers)
        for i, point in zip(which, points, strict=True):
            members[i] = jnp.asarray(point)
    return tuple(members)


def point_size(case):
    """Size of the position in a point."""
    if isinstance(case.space, (spaces.LieGroupSpace, Torus)):
        return 0
    headed = isinstance(case.space, PositionOrientation)
    return case.space.n if headed else case.space.ambient_dim


def make_degenerate(case, points, size, numbers):
    """Coincident, opposite, and aligned members, in place."""
    first, last = points[0], points[-1]
    sixth = NUM // 6
    first[:sixth, :size] = last[:sixth, :size]
    if isinstance(case.space, Sphere):
        first[sixth : 2 * sixth] = -last[sixth : 2 * sixth]
        return
    # The first on the line through the last and another, or along its heading.
    rows = slice(sixth, 2 * sixth)
    towards = last[rows, size:] if last.shape[1] == 2 * size else points[1][rows, :size]
    origin = 0 if isinstance(case.space, Hyperbolic) else last[rows, :size]
    if isinstance(case.space, Hyperbolic):
        last[rows] = 0
    elif last.shape[1] == size:
        towards = towards - origin
    first[rows, :size] = origin + numbers.uniform(-2, 2, (sixth, 1)) * towards


def moved(case, g, members):
    """All members, moved by g."""
    out = []
    for kind, member in zip(case.kinds, members, strict=True):
        space = member_space(case, kind)
        if space is None:
            out.append(case.group.compose(g, member))
        else:
            out.append(space.act(g, member, group=case.group))
    return tuple(out)


@functools.cache
def compiled(case):
    return jit(case.fn)


@functools.cache
def values(case, seed=0):
    return np.asarray(compiled(case)(*tuples(case, seed)))


@functools.cache
def moved_tuples(case):
    g = samples(case.group, 99)
    return g, jit(functools.partial(moved, case))(g, tuples(case))


def term_sizes(case, g, members):
    """Size of the terms that each value of the moved tuples is a sum of.

    Rounding moves a coordinate by eps times its size, or that of the terms of g x if
    they cancel; so a polynomial by eps times its terms, whatever is left of their sum.
    """
    ones = np.ones((NUM, 1))

    def length(leaf):
        return np.linalg.norm(np.asarray(leaf, float).reshape(NUM, -1), axis=1)

    lengths = [
        np.max([length(leaf) for leaf in jax.tree.leaves(member)], axis=0)
        for member in members
    ]
    stretch = np.max([length(leaf) for leaf in jax.tree.leaves(g)], axis=0)
    largest = np.sort(np.maximum(1, lengths) * np.maximum(1, stretch), axis=0)[::-1]
    if has_reference(case) or isinstance(case.group, Translation):
        # Entries of p^-1 x.
        return ones * (largest[0] * largest[1])[:, None]
    degree = case.group.n
    if isinstance(case.space, Hyperbolic):
        determinant = np.prod(largest[: degree + 1], axis=0)
    else:
        determinant = largest[0] ** degree
    is_product = np.arange(case.num_values)[None] < num_products(case)
    return np.where(is_product, largest[:1].T ** 2, determinant[:, None])


def num_products(case):
    """How many values come before the determinants."""
    mirror = {SE: E, SO: O, Lorentz: REFLECTED}.get(type(case.group))
    if mirror is None:
        return case.num_values
    fn = spaces.invariants(case.space, mirror(case.group.n), case.kinds)
    return jax.eval_shape(fn, *tuples(case)).shape[1]


@every_case
def test_values_are_invariant(case):
    g, there = moved_tuples(case)
    got = np.asarray(compiled(case)(*there))
    assert got.shape == (NUM, case.num_values)
    # A dozen roundings per coordinate of g x (a rotation from its quaternion, products,
    # sums), for each of up to four factors of a term.
    error = np.abs(got - values(case)) / term_sizes(case, g, tuples(case))
    assert np.max(error) < 1e-14


@every_case
def test_other_orbits_have_other_values(case):
    # Two random tuples share an orbit with probability 0.
    difference = np.max(np.abs(values(case, 0) - values(case, 1)), axis=1)
    generic = slice(NUM // 3, None)
    assert np.min(difference[generic]) > 1e-6
    # Nor does a tuple with its neighbors, degenerate or not. The values are
    # stationary where members coincide: the second power of the step.
    member, step = tuples(case)[0], 1e-2
    space = member_space(case, case.kinds[0])
    numbers = np.random.default_rng(3)
    if space is None or isinstance(space, spaces.LieGroupSpace):
        return
    u = jnp.asarray(numbers.standard_normal((NUM, space.ambient_dim)))
    near = space.retract(member, step * space.to_tangent(member, u))
    got = compiled(case)(near, *tuples(case)[1:])
    assert np.min(np.max(np.abs(got - values(case)), axis=1)) > 1e-9


@every_case
def test_the_number_of_independent_values_is_the_dimension_of_the_orbit_space(case):
    """Rank of the Jacobian along the space of tuples, at a generic one."""
    members = jax.tree.map(lambda leaf: leaf[-1:], tuples(case))
    dims = []
    for kind in case.kinds:
        space = member_space(case, kind)
        dims.append(case.group.dim if space is None else space.tangent_dim)

    def along(v):
        parts = jnp.split(v[None], list(np.cumsum(dims)[:-1]), axis=1)
        return case.fn(*nudged(case, members, parts))[0]

    jacobian = np.asarray(jit(jax.jacfwd(along))(jnp.zeros(sum(dims))))
    size = np.linalg.svd(jacobian, compute_uv=False)
    # Zero is zero to rounding, and the others are of size one at generic tuples.
    assert np.sum(size > 1e-3) == np.sum(size > 1e-12) == case.count


def nudged(case, members, velocities):
    """The tuple, each member moved along its velocity."""
    out = []
    for kind, member, v in zip(case.kinds, members, velocities, strict=True):
        space = member_space(case, kind)
        if space is None:
            out.append(case.group.compose(member, case.group.exp(v)))
            continue
        if isinstance(space, Sphere) or space == HEADED:
            v = space.to_tangent(member, v)
        out.append(space.retract(member, v))
    return tuple(out)


# Separation --------------------------------------------------------------------------


@every_case
def test_a_canonical_tuple_follows_from_the_values_and_is_in_the_orbit(case):
    if has_reference(case):
        residual = reference_residual(case)
    elif isinstance(case.group, Translation):
        residual = translation_residual(case)
    else:
        residual = gram_residual(case)
    assert residual.shape == (NUM,)
    assert np.max(residual) < 1e-8


def has_reference(case):
    planar = isinstance(case.group, SE) and case.group.n == 2
    headed = isinstance(case.space, PositionOrientation) or "oriented" in case.kinds
    on_group = isinstance(case.space, spaces.LieGroupSpace)
    return "pose" in case.kinds or (planar and headed) or on_group


def reference_residual(case):
    """Canonical: the pose is the identity, and the values are the other members."""
    members = list(tuples(case))
    planar = isinstance(case.group, SE) and case.group.n == 2
    if planar and "pose" not in case.kinds:
        members[-1] = (members[-1][:, :2], members[-1][:, 2])
    g = case.group.inverse(members[-1])
    rest = values(case)
    residual = np.zeros(NUM)
    for kind, member in zip(case.kinds[:-1], members[:-1], strict=True):
        space = member_space(case, kind)
        assert space is not None
        there = space.act(g, member, group=case.group)
        if isinstance(space, spaces.LieGroupSpace):
            there = case.group.matrix(there).reshape(NUM, -1)
            if jnp.iscomplexobj(there):
                there = jnp.concatenate([there.real, there.imag], axis=1)
        elif isinstance(space, PositionOrientation) and space.n == 2:
            angle = there[:, 2:]
            there = jnp.concatenate([there[:, :2], jnp.cos(angle), jnp.sin(angle)], 1)
        size = there.shape[1]
        canonical, rest = rest[:, :size], rest[:, size:]
        residual = np.maximum(residual, np.max(np.abs(there - canonical), axis=1))
    assert rest.shape[1] == 0
    return residual


def translation_residual(case):
    """Canonical: the last member is 0, the values the others, modulo the periods."""
    x, last = (np.asarray(member) for member in tuples(case))
    there, canonical = x - last, values(case)
    if isinstance(case.space, Torus):
        period = np.array(case.space.periods)
        cos, sin = canonical[:, :2], canonical[:, 2:]
        canonical = np.arctan2(sin, cos) * period / (2 * np.pi)
        there = there - period * np.round((there - canonical) / period)
    return np.max(np.abs(there - canonical), axis=1)


def gram_residual(case):
    """Vectors from their Gram matrix, turned to the given ones by one of O(n)."""
    if isinstance(case.space, Hyperbolic):
        grams, vectors, dets = hyperbolic_vectors(case)
        proper = case.group.reflections == "none"
    else:
        grams, vectors, dets = euclidean_vectors(case)
        proper = isinstance(case.group, (SE, SO))
    residual = np.zeros(NUM)
    for i in range(NUM):
        canonical = factor(grams[i], vectors.shape[2])
        if proper and dets.shape[1]:
            chosen = list(
                itertools.combinations(range(len(canonical)), vectors.shape[2])
            )
            most = int(np.argmax(np.abs(dets[i])))
            have = np.linalg.det(canonical[list(chosen[most])])
            if have * dets[i, most] < 0:
                canonical[:, -1] *= -1
        q = procrustes(vectors[i], canonical, proper=proper)
        residual[i] = np.max(np.abs(vectors[i] @ q.T - canonical))
    return residual


def factor(gram, n):
    """Rows with this Gram matrix, in R^n."""
    size, basis = np.linalg.eigh(gram)
    size = np.where(size > 1e-14 * max(1.0, size[-1]), size, 0)
    rows = (basis * np.sqrt(size))[:, ::-1][:, :n]
    return np.pad(rows, [(0, 0), (0, n - rows.shape[1])])


def procrustes(a, b, *, proper):
    """The q in O(n), or in SO(n), with a q^T nearest to b."""
    left, _, right = np.linalg.svd(b.T @ a)
    sign = np.ones(a.shape[1])
    if proper:
        sign[-1] = np.sign(np.linalg.det(left @ right))
    return left @ (sign[:, None] * right)


def euclidean_vectors(case):
    """Gram matrices and determinants from the values, and the vectors of the tuple."""
    positions, units = [], []
    for kind, member in zip(case.kinds, tuples(case), strict=True):
        x = np.asarray(member)
        if isinstance(case.space, Sphere):
            units.append(x)
        elif kind == "oriented" or isinstance(case.space, PositionOrientation):
            positions.append(x[:, :3])
            units.append(x[:, 3:])
        else:
            positions.append(x)
    if isinstance(case.group, (SE, E)):
        positions = [x - positions[-1] for x in positions[:-1]]
    vectors = np.stack(positions + units, axis=1)
    k = vectors.shape[1]
    grams, found = np.zeros((NUM, k, k)), iter(values(case).T)
    for i, j in itertools.combinations_with_replacement(range(k), 2):
        unit = i == j and i >= len(positions)
        grams[:, i, j] = grams[:, j, i] = 1.0 if unit else next(found)
    return grams, vectors, np.array(list(found)).reshape(-1, NUM).T


def hyperbolic_vectors(case):
    """The same for the points as seen from the first, which moves to the origin."""
    points = [np.asarray(member) for member in tuples(case)]
    k, n = len(points), points[0].shape[1]
    chords, found = np.zeros((NUM, k, k)), iter(values(case).T)
    for i, j in itertools.combinations(range(k), 2):
        chords[:, i, j] = chords[:, j, i] = next(found)
    times = 1 + chords[:, 0] / 2
    grams = times[:, :, None] * times[:, None, :] - 1 - chords / 2
    # The boost that takes the first point to the origin.
    x = points[0]
    x0 = np.sqrt(1 + np.sum(x**2, axis=1))[:, None]
    vectors = []
    for y in points[1:]:
        y0 = np.sqrt(1 + np.sum(y**2, axis=1))[:, None]
        along = np.sum(x * y, axis=1)[:, None]
        vectors.append(y + x * (along / (1 + x0) - y0))
    # The determinant of all, with the first at (1, 0), is that of the spatial parts.
    dets = np.array(list(found)).reshape(-1, NUM).T
    assert dets.shape[1] == (k == n + 1 and case.group.reflections == "none")
    return grams[:, 1:, 1:], np.stack(vectors, axis=1), dets


# Details -----------------------------------------------------------------------------


def test_pairs_with_directions_need_four_numbers():
    """The counterexample to (r . o, |r - (r . o) o|, o . o')."""
    fn = spaces.invariants(HEADED, E(3), ("point", "point"))
    x = jnp.array([0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
    a, b = jnp.array([[1.0, 0.0, 0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]])
    difference = np.abs(fn(a, x) - fn(b, x))
    assert np.sum(difference > 0.5) == 1


def test_mirror_images_differ_by_signs_of_determinants_only():
    def mirrored(case, member):
        signs = np.ones(member.shape[1])
        # Of a position and a direction, one after the other, too.
        signs[:: case.group.n] = -1
        return member * signs[None]

    for case in CASES:
        proper = isinstance(case.group, (SE, SO)) and case not in SLOW
        if not proper or has_reference(case):
            continue
        image = compiled(case)(*(mirrored(case, member) for member in tuples(case)))
        want = values(case).copy()
        want[:, num_products(case) :] *= -1
        # Signs are exact; fused multiplications round differently.
        np.testing.assert_allclose(image, want, rtol=1e-13, atol=1e-13)


def test_gradients_are_finite_and_right_at_degenerate_tuples():
    """Polynomials have derivatives everywhere: along a line of steps they agree."""

    def total(case, members):
        return jnp.sum(jnp.sin(case.fn(*members)))

    for case in (PAIR_OF_HEADED, POINTS_IN_SPACE, HYPERBOLIC):
        function = jit(functools.partial(total, case))
        gradient_of = jit(jax.grad(functools.partial(total, case)))
        degenerate = [leaf[:1] for leaf in tuples(case)]
        for members in (degenerate, [degenerate[0]] * len(degenerate)):
            gradient = gradient_of(members)
            h, numbers = 1e-5, np.random.default_rng(0)
            u = [jnp.asarray(numbers.standard_normal(x.shape)) for x in members]
            ends = [
                function([x + s * h * v for x, v in zip(members, u, strict=True)])
                for s in (1.0, -1.0)
            ]
            want = (ends[0] - ends[1]) / (2 * h)
            got = sum(jnp.vdot(g, v) for g, v in zip(gradient, u, strict=True))
            np.testing.assert_allclose(got, want, rtol=1e-7, atol=1e-8)


def test_equal_arguments_give_the_same_function_and_float32_stays():
    case = CASES[3]
    assert case.fn is case.fn
    members = (member.astype(jnp.float32) for member in tuples(case))
    assert case.fn(*members).dtype == jnp.float32


@pytest.mark.parametrize(
    ("space", "group", "kinds", "message"),
    [
        (Euclidean(2), SE(2), ("point",), "must name two members"),
        (Euclidean(2), SE(2), ("point", "vector"), "`kinds` must be one of"),
        (Euclidean(3), SE(2), ("point", "point"), "No complete invariants"),
        (Sphere(2), SE(3), ("point", "point"), "No complete invariants"),
        (Hyperbolic(2), Lorentz(2, reflections="all"), POINTS_3, "No complete"),
        (PositionOrientation(2), groups.E(2), ("point", "point"), "No complete"),
        (Euclidean(2), E(2), ("point", "oriented"), "headings of the plane"),
        (Sphere(2), SO(3), ("point", "oriented"), 'may hold "oriented" on Euclidean'),
        (Euclidean(2), E(2), ("oriented", "pose"), "headings of the plane"),
        (Torus((1.0,)), Translation(1), ("point", "pose"), 'may not hold "pose"'),
        (Euclidean(2), SE(3), ("point", "pose"), "No complete"),
        (Sphere(2), SO(4), ("point", "pose"), "No complete"),
    ],
)
def test_unknown_combinations_are_refused(space, group, kinds, message):
    with pytest.raises(ValueError, match=message):
        spaces.invariants(space, group, kinds)


def test_the_number_of_members_is_checked():
    fn = spaces.invariants(Euclidean(2), E(2), ("point", "point"))
    with pytest.raises(ValueError, match="need 2 members, got 1"):
        fn(jnp.zeros(2))
