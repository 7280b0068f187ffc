"""How fast are steerable convolutions, and how equivariant, beside escnn's?

`build`: the basis of a convolution and its group, with all caches empty; for escnn
group, space, fields and layer (weights not initialized, which takes escnn longer), with
its disk cache empty, and in another process with what that left there. 16 to 16 regular
fields in the plane, kernels of 5 pixels; in space 4 to 4.

`time`: batch 16, 28 x 28 pixels, 16 to 16 regular fields, float32, against an ordinary
convolution of the same size in the same framework and process. "training" is the sum of
squares with gradients to the parameters and to the field, the forward pass included.

`turns`: relative L2 change of a lifting, a ReLU and a regular convolution of C_8, with
8 fields, under a turn by 45 degrees, in the central disk, on white noise smoothed with
so many pixels; mean over 8 draws of weights and images. Images and results are turned
by cubic splines.

escnn needs torch and NumPy before 2, so it runs in its own process and environment:

    python -m venv /tmp/escnn && /tmp/escnn/bin/pip install escnn torch "numpy<2"
    python benchmarks/steerable_conv.py --escnn /tmp/escnn/bin/python \\
        --out benchmarks/results/steerable_conv.json

(its dependency py3nj is compiled with gfortran). Without `--escnn`, only eqjax runs.
"""

from __future__ import annotations

import functools
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _measure import (
    compiled,
    environment,
    finish,
    forget,
    median_times,
    parser,
    question,
    rounded,
)
from scipy import ndimage

from eqjax import groups, nn, reps

BATCH, SIZE, FIELDS = 16, 28, 16
GROUPS = {"C8": groups.Cyclic(8), "D8": groups.Dihedral(8)}
SMOOTHNESS = (0.7, 1.5, 3.0)
TURNED_FIELDS, DRAWS = 8, 8

# Runs in the environment of escnn.
ESCNN_PROGRAM = """
import contextlib, io, json, platform, sys, time
start = time.perf_counter()
import numpy as np, torch
from importlib import metadata
from escnn import gspaces, nn
from escnn.group import _clebsh_gordan, irrep
from escnn.group.groups import _numerical_thomson, ico, octa
imported = time.perf_counter() - start
batch, size, fields, turned_fields, rounds, smoothness, draws = json.loads(sys.argv[1])
is_cold = sys.argv[2] == "cold"
if is_cold:
    for module in (_clebsh_gordan, irrep, _numerical_thomson, ico, octa):
        module.cache.clear(warn=False)
torch.set_num_threads(2)
rows = {"build": {}, "time": {}, "turns": {}}

SPACES = {
    "C8": lambda: gspaces.rot2dOnR2(8),
    "D8": lambda: gspaces.flipRot2dOnR2(8),
    "octahedral": lambda: gspaces.octaOnR3(),
}
convs = {}
for name, make in SPACES.items():
    count = 4 if name == "octahedral" else fields
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        space = make()
        spaced = time.perf_counter()
        rep = nn.FieldType(space, [space.regular_repr] * count)
        kind = nn.R3Conv if name == "octahedral" else nn.R2Conv
        conv = kind(rep, rep, 5, padding=2, bias=False, initialize=False)
    done = time.perf_counter()
    rows["build"][name] = {
        "ms": 1e3 * (done - start), "without_group_ms": 1e3 * (done - spaced)
    }
    convs[name] = (conv, rep)

if not is_cold:
    print(json.dumps(rows["build"]))
    sys.exit()

def interleaved(functions):
    taken = {name: [] for name in functions}
    for _ in range(rounds + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            taken[name].append(1e3 * (time.perf_counter() - start))
    return {
        name: {"median_ms": float(np.median(t[1:])), "least_ms": min(t[1:])}
        for name, t in taken.items()
    }

for name in ("C8", "D8"):
    conv, rep = convs[name]
    torch.nn.init.normal_(conv.weights)
    conv.train()
    plain = torch.nn.Conv2d(rep.size, rep.size, 5, padding=2, bias=False)
    x = torch.randn(batch, rep.size, size, size, requires_grad=True)

    def forward(f):
        with torch.no_grad():
            return f(x)

    def ours(x):
        return conv(nn.GeometricTensor(x, rep)).tensor

    def training(f, parameters):
        x.grad = None
        for p in parameters:
            p.grad = None
        (f(x) ** 2).sum().backward()

    rows["time"][name] = interleaved({
        "forward": lambda: forward(ours),
        "plain forward": lambda: forward(plain),
        "training": lambda: training(ours, conv.parameters()),
        "plain training": lambda: training(plain, plain.parameters()),
    })

from scipy import ndimage
space = SPACES["C8"]()
def turned(f, angle):
    return np.stack([ndimage.rotate(c, angle, reshape=False, order=3) for c in f])
n = 41
grid = np.arange(n) - n // 2
disk = grid[:, None] ** 2 + grid**2 <= (n // 4) ** 2
for k in (5, 7):
    scalar = nn.FieldType(space, [space.trivial_repr])
    regular = nn.FieldType(space, [space.regular_repr] * turned_fields)
    lift = nn.R2Conv(scalar, regular, k, padding=k // 2, bias=False)
    second = nn.R2Conv(regular, regular, k, padding=k // 2, bias=False)
    for sigma in smoothness:
        errors = []
        for draw in range(draws):
            numbers = np.random.default_rng(draw)
            torch.manual_seed(draw)
            for conv in (lift, second):
                torch.nn.init.normal_(conv.weights)
                conv.train()
            image = numbers.standard_normal((1, n, n))
            image = ndimage.gaussian_filter(image, (0, sigma, sigma))
            image = image / image.std()

            def net(image):
                x = torch.tensor(image[None], dtype=torch.float32)
                y = lift(nn.GeometricTensor(x, scalar)).tensor
                y = torch.relu(y)
                with torch.no_grad():
                    return second(nn.GeometricTensor(y, regular)).tensor[0].numpy()

            g = space.fibergroup.element(1)
            rho = regular.representation(g)
            with torch.no_grad():
                got = net(turned(image, 45))
                want = np.einsum("ij,jhw->ihw", rho, turned(net(image), 45))
            change = np.linalg.norm((got - want)[:, disk])
            errors.append(change / np.linalg.norm(want[:, disk]))
        rows["turns"][f"k{k}, {sigma} px"] = float(np.mean(errors))
versions = {name: metadata.version(name) for name in ("escnn", "torch", "numpy")}
print(json.dumps({
    "python": platform.python_version(), "versions": versions, "rows": rows,
    "import_s": imported,
}))
"""


def build_ms(make: Any, rounds: int) -> dict[str, float]:
    """With empty caches, and of the first call."""
    taken = []
    for _ in range(rounds):
        forget("eqjax")
        start = time.perf_counter()
        make().describe()
        taken.append(1e3 * (time.perf_counter() - start))
    return {"ms": rounded(float(np.median(taken))), "first_ms": rounded(taken[0])}


def builds(rounds: int) -> dict[str, Any]:
    """Group, representation and basis, from nothing."""

    def regular(group: Any, fields: int) -> nn.SteerableConv:
        rep = reps.regular(group)
        return nn.SteerableConv(rep, rep, fields, fields, kernel_size=5, bias=False)

    def irreps() -> nn.SteerableConv:
        irreps = [reps.irrep(groups.SO(3), degree) for degree in range(3)]
        rep = 4 * irreps[0] + 4 * irreps[1] + 4 * irreps[2]
        return nn.SteerableConv(rep, rep, kernel_size=5, bias=False)

    octahedral = groups.Polyhedral("octahedral")
    makers = {
        "C8": lambda: regular(GROUPS["C8"], FIELDS),
        "D8": lambda: regular(GROUPS["D8"], FIELDS),
        "octahedral": lambda: regular(octahedral, 4),
        "SO(3), degrees 0-2": irreps,
    }
    return {name: build_ms(make, rounds) for name, make in makers.items()}


def plain(kernel: jax.Array, x: jax.Array) -> jax.Array:
    """An ordinary convolution."""
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), [(2, 2)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def times(name: str, rounds: int) -> dict[str, Any]:
    """Forward pass and gradients, against the ordinary convolution."""
    rep = reps.regular(GROUPS[name])
    conv = nn.SteerableConv(rep, rep, FIELDS, FIELDS, kernel_size=5, bias=False)
    params = conv.init(key=jax.random.key(0))
    kernel = conv.expand(params)
    x = jax.random.normal(jax.random.key(1), (BATCH, SIZE, SIZE, rep.dim, FIELDS))
    flat = x.reshape(*x.shape[:3], -1)
    steerable = jax.vmap(conv.apply, (None, 0))

    def training(fn: Any) -> Any:
        return jax.value_and_grad(lambda p, x: jnp.sum(fn(p, x) ** 2), (0, 1))

    functions = {
        "forward": (steerable, params, x),
        "plain forward": (plain, kernel, flat),
        "training": (training(steerable), params, x),
        "plain training": (training(plain), kernel, flat),
    }
    runs, row = {}, {}
    for label, (fn, *args) in functions.items():
        run, costs = compiled(fn, *args)
        runs[label], row[label] = functools.partial(run, *args), costs
    error = runs["forward"]().reshape(flat.shape) - runs["plain forward"]()
    row["error"] = float(jnp.max(jnp.abs(error)))
    for label, numbers in median_times(runs, rounds).items():
        row[label] |= numbers
    for kind in ("forward", "training"):
        ratios = row[kind]["median_ms"], row[f"plain {kind}"]["median_ms"]
        row[f"{kind} / plain"] = rounded(ratios[0] / ratios[1])
    forward = row["plain forward"]["median_ms"]
    row["training / plain forward"] = rounded(row["training"]["median_ms"] / forward)
    return row


def turned(field: np.ndarray, degrees: float) -> np.ndarray:
    """A field (height, width, numbers), by a cubic spline."""
    return ndimage.rotate(field, degrees, axes=(1, 0), reshape=False, order=3)


def turn_error(basis: Any, size: int, sigma: float) -> float:
    """Of a lifting, ReLU and regular convolution of C_8, by 45 degrees."""
    group = groups.Cyclic(8)
    regular = reps.regular(group)
    options: Any = {"kernel_size": size, "basis": basis, "bias": False}
    lift = nn.SteerableConv(reps.trivial(group), regular, 1, TURNED_FIELDS, **options)
    second = nn.SteerableConv(regular, regular, TURNED_FIELDS, TURNED_FIELDS, **options)
    n = 41
    grid = np.arange(n) - n // 2
    disk = grid[:, None] ** 2 + grid**2 <= (n // 4) ** 2

    @jax.jit
    def net(params: Any, image: jax.Array) -> jax.Array:
        x = jax.nn.relu(lift.apply(params[0], image[:, :, None, None]))
        return second.apply(params[1], x)

    errors = []
    for draw in range(DRAWS):
        numbers = np.random.default_rng(draw)
        image = ndimage.gaussian_filter(numbers.standard_normal((n, n)), sigma)
        image = (image / image.std()).astype(np.float32)
        keys = jax.random.split(jax.random.key(draw))
        params = lift.init(key=keys[0]), second.init(key=keys[1])
        got = np.asarray(net(params, jnp.asarray(turned(image, 45))))
        field = turned(np.asarray(net(params, jnp.asarray(image))), 45)
        want = np.einsum("ij,hwjc->hwic", regular.rho(jnp.asarray(1)), field)
        change = np.linalg.norm((got - want)[disk]) / np.linalg.norm(want[disk])
        errors.append(change)
    return float(np.mean(errors))


def turns() -> dict[str, Any]:
    """By basis, size of the kernel and smoothness."""
    bases = {"default": lambda _: nn.KernelBasis(), "classic": nn.KernelBasis.classic}
    return {
        f"{name}, k{size}, {sigma} px": {
            "functions": basis(size).num_functions(size, 2),
            "error": rounded(turn_error(basis(size), size, sigma)),
        }
        for name, basis in bases.items()
        for size in (5, 7)
        for sigma in SMOOTHNESS
    }


def run_escnn(python: Path, rounds: int) -> Any:
    """The same in escnn's environment."""
    sizes = [BATCH, SIZE, FIELDS, TURNED_FIELDS, rounds, SMOOTHNESS, DRAWS]
    command = [str(python), "-c", ESCNN_PROGRAM, json.dumps(sizes)]
    printed = [
        subprocess.run([*command, mode], check=True, capture_output=True, text=True)
        for mode in ("cold", "from disk")
    ]
    found, again = (json.loads(done.stdout.splitlines()[-1]) for done in printed)
    found["rows"]["build from its disk cache"] = again
    for row in found["rows"]["time"].values():
        for kind in ("forward", "training"):
            ratios = row[kind]["median_ms"], row[f"plain {kind}"]["median_ms"]
            row[f"{kind} / plain"] = rounded(ratios[0] / ratios[1])
    return found


def main() -> None:
    options = parser(__doc__, rounds=9)
    options.add_argument("--escnn", type=Path, help="python of escnn's environment")
    args = options.parse_args()
    results: dict[str, Any] = {
        "question": question(__doc__),
        "environment": environment(("eqjax",)),
        "build": builds(args.rounds),
        "time": {name: times(name, args.rounds) for name in GROUPS},
        "turns": turns(),
    }
    if args.escnn:
        results["escnn"] = run_escnn(args.escnn, args.rounds)
    finish(results, args.out)


if __name__ == "__main__":
    main()
