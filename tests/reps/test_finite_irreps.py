"""Irreducible representations of finite groups: the laws that determine them."""

import itertools
import subprocess
import sys

import numpy as np
import pytest

from eqjax.reps import finite_irreps


def cyclic(n):
    return (np.arange(n)[:, None] + np.arange(n)) % n


def dihedral(n):
    """r^k s^f at k + n f."""
    k, f = np.arange(2 * n) % n, np.arange(2 * n) // n
    turns = (k[:, None] + np.where(f[:, None] == 1, -1, 1) * k) % n
    return turns + n * (f[:, None] ^ f)


def permutations(*generators):
    """The group that they generate; (a b)[i] = a[b[i]]."""
    elements = [tuple(range(len(generators[0])))]
    for a in elements:  # grows while it is read
        for g in generators:
            b = tuple(g[i] for i in a)
            if b not in elements:
                elements.append(b)
    index = {a: i for i, a in enumerate(elements)}
    return np.array(
        [[index[tuple(a[i] for i in b)] for b in elements] for a in elements]
    )


def symmetric(n):
    return permutations((1, 0, *range(2, n)), (*range(1, n), 0))


def quaternion():
    i = np.array([[1j, 0], [0, -1j]])
    j = np.array([[0, 1], [-1, 0]])
    units = [sign * m for m in (np.eye(2), i, j, i @ j) for sign in (1, -1)]

    def find(m):
        return next(n for n, unit in enumerate(units) if np.allclose(m, unit))

    return np.array([[find(a @ b) for b in units] for a in units])


def double(product):
    """The direct product with {1, -1}."""
    order = len(product)
    return np.block([[product, product + order], [product + order, product]])


A5 = permutations((1, 2, 3, 4, 0), (1, 2, 0, 3, 4))
# Name: table, number of conjugacy classes, and (dimension, commutant) of every irrep.
GROUPS = {
    "trivial": (cyclic(1), 1, [(1, 1)]),
    "C7": (cyclic(7), 7, [(1, 1), (2, 2), (2, 2), (2, 2)]),
    "C8": (cyclic(8), 8, [(1, 1), (1, 1), (2, 2), (2, 2), (2, 2)]),
    "D5": (dihedral(5), 4, [(1, 1), (1, 1), (2, 1), (2, 1)]),
    "D8": (dihedral(8), 7, [(1, 1)] * 4 + [(2, 1)] * 3),
    "Q8": (quaternion(), 5, [(1, 1)] * 4 + [(4, 4)]),
    "A4": (permutations((1, 2, 0, 3), (1, 0, 3, 2)), 4, [(1, 1), (2, 2), (3, 1)]),
    "S4": (symmetric(4), 5, [(1, 1), (1, 1), (2, 1), (3, 1), (3, 1)]),
    "A5": (A5, 5, [(1, 1), (3, 1), (3, 1), (4, 1), (5, 1)]),
    "A5 with inversion": (
        double(A5),
        10,
        [(d, 1) for d in (1, 1, 3, 3, 3, 3, 4, 4, 5, 5)],
    ),
    "S5": (symmetric(5), 7, [(d, 1) for d in (1, 1, 4, 4, 5, 5, 6)]),
}
every_group = pytest.mark.parametrize("name", GROUPS)


@every_group
def test_dimensions_and_types_are_the_known_ones(name):
    product, _, known = GROUPS[name]
    irreps = finite_irreps(product)
    assert [(i.matrices.shape[1], i.commutant_dim) for i in irreps] == known
    np.testing.assert_allclose(irreps[0].matrices, 1, atol=1e-14)  # trivial first


@every_group
def test_matrices_are_orthogonal_and_multiply_as_the_elements(name):
    product, _, _ = GROUPS[name]
    for matrices, character, _ in finite_irreps(product):
        products = np.einsum("gab,hbc->ghac", matrices, matrices)
        # Entries are sums over the group of products of unit vectors' entries: some
        # ten roundings.
        np.testing.assert_allclose(matrices[product], products, atol=5e-15)
        np.testing.assert_allclose(matrices[0], np.eye(matrices.shape[1]), atol=5e-15)
        gram = np.einsum("gba,gbc->gac", matrices, matrices)
        np.testing.assert_allclose(
            gram, np.broadcast_to(matrices[0], gram.shape), atol=5e-15
        )
        np.testing.assert_allclose(character, np.trace(matrices.T), atol=5e-15)


@every_group
def test_characters_are_orthogonal_and_exhaust_the_group(name):
    product, num_classes, _ = GROUPS[name]
    irreps = finite_irreps(product)
    characters = np.stack([irrep.character for irrep in irreps])
    commutants = np.array([irrep.commutant_dim for irrep in irreps])
    gram = characters @ characters.T / len(product)
    np.testing.assert_allclose(gram, np.diag(commutants), atol=1e-13)
    assert np.sum(characters[:, 0].round() ** 2 / commutants) == len(product)
    # A complex type holds two complex representations.
    complex_ones = np.sum(np.where(commutants == 2, 2, 1))
    assert complex_ones == num_classes


@every_group
def test_commuting_matrices_have_the_stated_dimension(name):
    product, _, _ = GROUPS[name]
    for matrices, _, commutant_dim in finite_irreps(product):
        one = np.eye(matrices.shape[1])
        # X commutes with every element, as a linear system for its entries.
        system = np.concatenate([np.kron(one, m) - np.kron(m.T, one) for m in matrices])
        kernel = np.linalg.svd(system, compute_uv=True)[1] < 1e-10
        assert kernel.sum() == commutant_dim


def test_any_seed_gives_equivalent_representations():
    product = GROUPS["S4"][0]
    for first, second in itertools.pairwise(
        finite_irreps(product, seed=seed) for seed in range(4)
    ):
        for a, b in zip(first, second, strict=True):
            np.testing.assert_allclose(a.character, b.character, atol=1e-13)


def test_another_process_finds_the_same_matrices():
    code = (
        "import hashlib, numpy as np\n"
        "from eqjax.reps import finite_irreps\n"
        "from tests.reps.test_finite_irreps import GROUPS\n"
        "for product, _, _ in GROUPS.values():\n"
        "    for irrep in finite_irreps(product):\n"
        "        print(np.round(irrep.matrices, 9).__add__(0.0).tolist())\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(outputs) == 1
    assert outputs.pop()


@pytest.mark.parametrize(
    ("product", "message"),
    [
        (np.zeros((2, 3), int), "every index"),
        (np.zeros((2, 2), int), "every index"),
        (np.zeros((0, 0), int), "every index"),
        (cyclic(3) * 1.0, "every index"),
        (cyclic(3)[::-1], "identity"),
        # A loop of order 5 that is no group.
        (
            np.array(
                [
                    [0, 1, 2, 3, 4],
                    [1, 0, 3, 4, 2],
                    [2, 4, 0, 1, 3],
                    [3, 2, 4, 0, 1],
                    [4, 3, 1, 2, 0],
                ]
            ),
            "associative",
        ),
    ],
)
def test_tables_that_are_no_groups_are_refused(product, message):
    with pytest.raises(ValueError, match=message):
        finite_irreps(product)
