"""Laws of steerable convolution: the constraint, its solutions, and pixel grids."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import groups, nn, reps
from eqjax.nn._kernel_basis import sampled
from eqjax.nn._kernels import Harmonics, OrbitKernels, _solved, steerable_kernels
from eqjax.testing import act_on_field

C4, C8, D4, D8 = (
    groups.Cyclic(4),
    groups.Cyclic(8),
    groups.Dihedral(4),
    groups.Dihedral(8),
)
CUBE = groups.Polyhedral("octahedral", inversion=True)
KEY = jax.random.key(3)


def exact_elements(group: Any) -> list[Any]:
    """Those that map square grids to themselves."""
    found = []
    for index in range(group.order):
        g = group.element(jnp.asarray(index))
        matrix = np.asarray(group.matrix(g))
        if np.max(np.abs(matrix - np.round(matrix))) < 1e-9:
            found.append(g)
    return found


def all_pairs(kernels: Any) -> np.ndarray:
    """(functions, pixels, out, in)."""
    if not isinstance(kernels, OrbitKernels):
        return kernels.kernels
    count = int(np.prod(kernels.shape))
    eye = jnp.eye(count).reshape(count, *kernels.shape, 1, 1)
    return np.asarray(jax.vmap(kernels.expand)(eye))[:, :, :, 0, :, 0].swapaxes(2, 3)


def projector(kernels: np.ndarray) -> np.ndarray:
    flat = kernels.reshape(len(kernels), -1)
    left, values, _ = np.linalg.svd(flat.T, full_matrices=False)
    left = left[:, values > 1e-9 * values[0]]
    assert left.shape[1] == len(kernels)
    return left @ left.T


def pairs_of(group: Any) -> list[tuple[reps.Rep, reps.Rep]]:
    regular, trivial, vector = (
        reps.regular(group),
        reps.trivial(group),
        reps.standard(group),
    )
    half = reps.quotient(group, groups.Cyclic(2))
    fields = (regular, trivial, vector, half)
    return list(itertools.product(fields, fields))


@pytest.mark.parametrize("group", [C4, D4], ids=str)
def test_closed_forms_span_what_the_constraint_allows(group: Any) -> None:
    basis = nn.KernelBasis()
    for rep_in, rep_out in pairs_of(group):
        closed = steerable_kernels(rep_in, rep_out, basis, 3)
        solved = _solved(rep_in, rep_out, basis, 3)
        assert closed is not None
        kernels = all_pairs(closed)
        # Orthonormal bases of the same space; both are solved in float64.
        np.testing.assert_allclose(projector(kernels), projector(solved), atol=1e-10)
        # The normalization that `init` counts on.
        squares = np.sum(kernels**2, axis=(1, 2, 3))
        np.testing.assert_allclose(np.mean(squares), rep_out.dim, rtol=1e-10)


@pytest.mark.parametrize(("dim", "size"), [(2, 5), (2, 4), (3, 3)])
def test_functions_move_by_their_irrep(dim: int, size: int) -> None:
    """psi(g x) = rho(g) psi(x) where g permutes pixels."""
    turn = np.eye(dim)
    turn[:2, :2] = [[0.0, -1.0], [1.0, 0.0]]
    full = groups.O(dim)
    g = full.from_matrix(jnp.asarray(turn))
    for degree, values in sampled(nn.KernelBasis(), size, dim):
        harmonics = Harmonics(full, degree)
        fields = np.moveaxis(values, 0, 2)
        fields = jnp.asarray(fields.reshape(*(size,) * dim, harmonics.dim, -1))
        # (g f)(x) = rho(g) f(g^-1 x) leaves the functions alone.
        moved = act_on_field(harmonics, g, fields)
        np.testing.assert_allclose(moved, fields, atol=1e-12)


@pytest.mark.parametrize(("l_in", "l_out"), [(0, 0), (1, 1), (1, 2), (2, 2)])
def test_counts_in_space_are_those_of_the_stabilizer(l_in: int, l_out: int) -> None:
    """On a sphere a kernel is one SO(2)-map: 2 min(l, l') + 1 of them."""
    group = groups.SO(3)
    ring = nn.KernelBasis((1.5,), (4,))
    pair = reps.irrep(group, l_in), reps.irrep(group, l_out)
    conv = nn.SteerableConv(*pair, 1, 1, kernel_size=5, basis=ring)
    expected = f"{l_in} -> {l_out}: {2 * min(l_in, l_out) + 1} kernels"
    assert conv.describe() == expected


CASES: dict[str, nn.SteerableConv] = {
    "lift": nn.SteerableConv(reps.trivial(D4), reps.regular(D4), 2, 3, kernel_size=5),
    "C8 regular": nn.SteerableConv(
        reps.regular(C8), reps.regular(C8), 2, 3, kernel_size=5
    ),
    "stride, even": nn.SteerableConv(
        reps.regular(D4), reps.standard(D4), 2, 3, kernel_size=4, stride=2
    ),
    "transposed": nn.SteerableConv(
        reps.standard(D4),
        reps.regular(D4),
        2,
        3,
        kernel_size=4,
        stride=2,
        transposed=True,
    ),
    "periodic, dilated": nn.SteerableConv(
        reps.standard(D8),
        2 * reps.quotient(D8, groups.Cyclic(2)) + reps.trivial(D8),
        2,
        3,
        kernel_size=3,
        padding="periodic",
        dilation=2,
    ),
    "induced": nn.SteerableConv(
        reps.induce(reps.irrep(groups.Cyclic(4), 1), D4),
        reps.irrep(D4, 1) * reps.irrep(D4, 1),
        2,
        3,
        kernel_size=3,
        padding="valid",
    ),
    "by irrep": nn.SteerableConv(
        2 * reps.irrep(D4, "0e") + reps.irrep(D4, 1),
        reps.irrep(D4, "0o") + 3 * reps.irrep(D4, 1),
        kernel_size=3,
    ),
    "octahedral": nn.SteerableConv(
        reps.standard(CUBE), reps.regular(CUBE), 1, 1, kernel_size=3
    ),
}


def split(conv: nn.SteerableConv, field: jax.Array) -> Any:
    """A field (*grid, dim, channels) as the layer takes it."""
    if conv.channels_in is not None:
        return field
    parts = reps.split(conv.rep_in, jnp.moveaxis(field[..., 0], -1, 0))
    return {rep: jnp.moveaxis(part, (0, 1), (-2, -1)) for rep, part in parts.items()}


def merge(conv: nn.SteerableConv, field: Any) -> jax.Array:
    """What the layer gives as a field (*grid, dim, channels)."""
    if conv.channels_out is not None:
        return field
    front = {rep: jnp.moveaxis(part, (-2, -1), (0, 1)) for rep, part in field.items()}
    return jnp.moveaxis(reps.merge(conv.rep_out, front), 0, -1)[..., None]


# Each takes as long as all others; the registry has such layers too.
SLOW = ("induced", "transposed")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name
        for name in CASES
    ],
)
def test_commutes_with_symmetries_of_the_grid(name: str) -> None:
    conv = CASES[name]
    params = conv.init(key=KEY)
    params["bias"] = jax.tree.map(lambda b: b + 0.3, params["bias"])
    size = {"stride, even": 10, "octahedral": 4}.get(name, 7)
    grid = (size,) * conv.group.degree
    x = jax.random.normal(KEY, (*grid, conv.rep_in.dim, conv.channels_in or 1))
    elements = exact_elements(conv.group)[:16]
    moved = jnp.stack([x, *(act_on_field(conv.rep_in, g, x) for g in elements)])

    @jax.jit
    @jax.vmap
    def run(field: jax.Array) -> jax.Array:
        return merge(conv, conv.apply(params, split(conv, field)))

    y, *results = run(moved)
    for g, result in zip(elements, results, strict=True):
        # Sums of up to some thousand products of size one.
        want = act_on_field(conv.rep_out, g, y)
        np.testing.assert_allclose(result, want, atol=1e-12)


def test_float32_is_exact_to_rounding_too() -> None:
    """A stack of three layers, D8, against 90 degrees and a mirror."""
    regular = reps.regular(D8)
    layers = [
        nn.SteerableConv(reps.trivial(D8), regular, 1, 4, kernel_size=7),
        nn.SteerableConv(regular, regular, 4, 4, kernel_size=5),
        nn.SteerableConv(regular, regular, 4, 4, kernel_size=4, stride=2),
    ]
    params = [
        layer.init(dtype=jnp.float32, key=jax.random.key(i))
        for i, layer in enumerate(layers)
    ]

    @jax.jit
    def net(x: jax.Array) -> jax.Array:
        for layer, p in zip(layers, params, strict=True):
            x = jax.nn.relu(layer.apply(p, x))
        return x

    x = jax.random.normal(KEY, (12, 12, 1, 1), jnp.float32)
    y = net(x)
    assert y.dtype == jnp.float32
    assert y.shape == (6, 6, 16, 4)
    for g in exact_elements(D8):
        moved = net(act_on_field(layers[0].rep_in, g, x))
        error = jnp.max(jnp.abs(moved - act_on_field(regular, g, y)))
        # The bar for whole networks is 2e-6 relative.
        assert float(error / jnp.max(jnp.abs(y))) < 2e-6


def test_kernels_satisfy_the_constraint_between_pixels() -> None:
    """With one function per ring and degree the kernel is known at every point."""
    rep_in, rep_out = reps.standard(D8), reps.regular(D8)
    kernels = steerable_kernels(rep_in, rep_out, nn.KernelBasis(), 5)
    assert kernels is not None
    # Turned by 45 degrees, the expanded kernel is K(g^-1 x) moved by the
    # representations: the same span.
    dense = all_pairs(kernels)
    g = jnp.asarray(1)
    moved = np.einsum(
        "pq,bkqi,ij->bkpj",
        np.asarray(rep_out.rho(g)),
        dense,
        np.asarray(rep_in.rho(g)).T,
    )
    # rho_out K rho_in^-1 (x) = K(g x), whose functions are turned ones.
    turned = []
    for degree, values in sampled(nn.KernelBasis(), 5, 2):
        matrix = np.asarray(Harmonics(D8, degree).rho(g))
        turned.append((values, np.einsum("mn,rkn->rkm", matrix, values)))
    source = np.concatenate(
        [v.transpose(1, 0, 2).reshape(25, -1) for v, _ in turned], axis=1
    )
    target = np.concatenate(
        [v.transpose(1, 0, 2).reshape(25, -1) for _, v in turned], axis=1
    )
    coefficients = np.linalg.lstsq(source, dense.swapaxes(0, 1).reshape(25, -1))[0]
    expected = (target @ coefficients).reshape(25, len(dense), *dense.shape[2:])
    np.testing.assert_allclose(moved, expected.swapaxes(0, 1), atol=1e-10)


@pytest.mark.parametrize("name", ["lift", "C8 regular", "transposed", "by irrep"])
def test_white_noise_keeps_its_variance(name: str) -> None:
    conv = CASES[name]

    def variance(key: jax.Array) -> jax.Array:
        key, key_x = jax.random.split(key)
        shape = (12, 12, conv.rep_in.dim, conv.channels_in or 1)
        x = jax.random.normal(key_x, shape)
        y = conv.apply(conv.init(key=key), split(conv, x))
        inner = jax.tree.map(lambda part: part[4:-4, 4:-4].ravel(), y)
        return jnp.mean(jnp.concatenate(jax.tree.leaves(inner)) ** 2)

    found = jnp.mean(jax.lax.map(variance, jax.random.split(KEY, 64)))
    # Within 20 %, the means of 64 draws of few weights spread by about 5 %.
    assert abs(float(found) - 1) < 0.2


def test_vmap_and_gradients() -> None:
    conv = CASES["stride, even"]
    params = conv.init(key=KEY)
    x = jax.random.normal(KEY, (2, 10, 10, 8, 2))
    batched = jax.jit(jax.vmap(conv.apply, (None, 0)))(params, x)
    single = jax.jit(conv.apply)
    for i in range(2):
        np.testing.assert_allclose(batched[i], single(params, x[i]), atol=1e-12)


@pytest.mark.parametrize(
    ("basis", "size", "rep_out"),
    [
        (nn.KernelBasis((0.0, 1.0), (0, 4)), 3, reps.regular(D4)),
        (nn.KernelBasis((1.0,), (4,)), 3, reps.irrep(D4, "0o")),
        (nn.KernelBasis((0.7,), (2,)), 2, reps.irrep(D4, "2e")),
    ],
)
def test_what_pixels_cannot_show_is_no_kernel(
    basis: nn.KernelBasis, size: int, rep_out: reps.Rep
) -> None:
    """sin(4 t) vanishes on 3 x 3 pixels, cos(2 t) on 2 x 2: only rounding is left."""
    found = steerable_kernels(reps.trivial(D4), rep_out, basis, size)
    if found is None:
        return
    conv = nn.SteerableConv(
        reps.trivial(D4), rep_out, 1, 1, kernel_size=size, basis=basis
    )
    params = conv.init(key=KEY)
    x = jax.random.normal(KEY, (5, 5, 1, 1))
    g = D4.element(jnp.asarray(1))
    moved = conv.apply(params, act_on_field(conv.rep_in, g, x))
    want = act_on_field(rep_out, g, conv.apply(params, x))
    np.testing.assert_allclose(moved, want, atol=1e-12)


def test_no_kernel_is_said() -> None:
    sign = reps.irrep(D4, "0o")
    conv = nn.SteerableConv(reps.trivial(D4), sign, 1, 1, kernel_size=1)
    assert conv.describe().endswith(": 0 kernels")
    with pytest.raises(ValueError, match="No kernel"):
        conv.init(key=KEY)


def test_a_part_without_kernels_is_zero() -> None:
    rep = reps.irrep(D4, "0o") + reps.trivial(D4)
    conv = nn.SteerableConv(reps.trivial(D4), rep, 1, 2, kernel_size=1, bias=False)
    y = conv.apply(conv.init(key=KEY), jnp.ones((3, 3, 1, 1)))
    assert not np.any(y[:, :, 0])
    assert np.all(y[:, :, 1] != 0)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "fits"),
    [
        (29, 5, 2, 2),
        (28, 5, 2, None),
        pytest.param(28, 4, 2, 1, marks=pytest.mark.slow),
        pytest.param(28, 6, 2, 2, marks=pytest.mark.slow),
        pytest.param(9, 3, 1, 1, marks=pytest.mark.slow),
    ],
)
def test_alignment(size: int, kernel: int, stride: int, fits: int | None) -> None:
    """The measured cases of the rule: what it refuses is broken completely."""
    assert nn.aligned_padding(size, kernel, stride) == fits
    regular = reps.regular(C4)
    conv = nn.SteerableConv(
        reps.trivial(C4),
        regular,
        1,
        1,
        kernel_size=kernel,
        stride=stride,
        allow_misaligned=True,
    )
    params = conv.init(key=KEY)
    x = jax.random.normal(KEY, (size, size, 1, 1))
    turned = conv.apply(params, act_on_field(conv.rep_in, jnp.asarray(1), x))
    same = act_on_field(regular, jnp.asarray(1), conv.apply(params, x))
    error = float(jnp.linalg.norm(turned - same) / jnp.linalg.norm(same))
    assert error < 1e-12 if fits is not None else error > 0.5


def test_periodic_padding_commutes_with_shifts() -> None:
    conv = nn.SteerableConv(
        reps.trivial(C4), reps.regular(C4), 1, 2, kernel_size=5, padding="periodic"
    )
    params = conv.init(key=KEY)
    x = jax.random.normal(KEY, (7, 11, 1, 1))
    shifted = conv.apply(params, jnp.roll(x, (2, 3), (0, 1)))
    same = jnp.roll(conv.apply(params, x), (2, 3), (0, 1))
    np.testing.assert_allclose(shifted, same, atol=1e-12)


def test_classic_basis_has_the_functions_of_escnn() -> None:
    """1 + 5 + 5 real functions at k = 5, sampled at pixel centers."""
    assert nn.KernelBasis.classic(5).num_functions(5, 2) == 11
    assert nn.KernelBasis().num_functions(5, 2) == 9
    assert nn.KernelBasis().num_functions(7, 2) == 16


def test_bad_input(user_errors: None) -> None:
    regular, other = reps.regular(C4), reps.regular(D4)
    with pytest.raises(ValueError, match="different groups"):
        nn.SteerableConv(regular, other, 1, 1, kernel_size=3)
    four = reps.standard(groups.Lorentz(3))
    with pytest.raises(ValueError, match="turns and mirrors"):
        nn.SteerableConv(four, four, 1, 1, kernel_size=3)
    with pytest.raises(ValueError, match="sum of irreps"):
        nn.SteerableConv(regular, regular, kernel_size=3)
    with pytest.raises(ValueError, match="both even or both odd"):
        nn.SteerableConv(
            regular, regular, 1, 1, kernel_size=3, stride=2, transposed=True
        )
    conv = nn.SteerableConv(regular, regular, 2, 3, kernel_size=5, stride=2)
    params = conv.init(key=KEY)
    with pytest.raises(ValueError, match=r"\(\*grid, 4, 2\)"):
        conv.apply(params, jnp.zeros((9, 9, 4, 3)))
    with pytest.raises(ValueError, match="2 grid axes"):
        conv.apply(params, jnp.zeros((2, 9, 9, 4, 2)))
    with pytest.raises(ValueError, match="even window"):
        conv.apply(params, jnp.zeros((8, 8, 4, 2)))
    valid = nn.SteerableConv(regular, regular, 2, 3, kernel_size=5, padding="valid")
    with pytest.raises(ValueError, match="too few"):
        valid.apply(valid.init(key=KEY), jnp.zeros((3, 3, 4, 2)))
    basis = nn.KernelBasis.classic(2)
    empty = nn.SteerableConv(regular, regular, 1, 1, kernel_size=2, basis=basis)
    with pytest.raises(ValueError, match="No kernel"):
        empty.init(key=KEY)
    with pytest.raises(ValueError, match="floating-point"):
        conv.apply(params, jnp.zeros((9, 9, 4, 2), jnp.int32))
    with pytest.raises(ValueError, match="one entry for each ring"):
        nn.KernelBasis((0.0, 1.0), (0,))
