"""Specs and their JSON: exact round trips, and errors for everything else."""

import dataclasses
import json
import subprocess
import sys

import pytest

from eqjax import groups, spaces
from eqjax._core._specs import register_spec, spec_from_json, spec_name, spec_to_json


@register_spec
@dataclasses.dataclass(frozen=True)
class Nested:
    inner: object
    sizes: tuple[int, ...] = (3, 5)
    name: str = 'a "quoted" ü'
    rate: float = 0.1
    flag: bool = True
    nothing: None = None
    computed: int = dataclasses.field(default=7, init=False)


SPECS = (
    groups.SO(3),
    groups.SE(2, sigma=1 / 3),
    spaces.PositionOrientation(2, xi=0.1, eps=0.0),
    spaces.Box((-1.0, 0.0), (1.0, 2.5)),
    Nested(inner=(groups.Translation(5), (Nested(inner=None, sizes=()), 1e-300))),
)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: type(spec).__name__)
def test_round_trip(spec):
    text = spec_to_json(spec)
    copy = spec_from_json(text)
    assert copy == spec
    assert hash(copy) == hash(spec)
    assert spec_to_json(copy) == text
    json.loads(text)


def test_names_are_public():
    assert spec_name(groups.SO) == "eqjax.groups.SO"
    want = {"type": "eqjax.groups.Translation", "n": 3, "sigma": 0.5}
    assert json.loads(spec_to_json(groups.Translation(3))) == want


def test_numbers_keep_their_type_and_every_bit():
    spec = Nested(inner=(1, 1.0, 0.1 + 0.2, True))
    inner = spec_from_json(spec_to_json(spec)).inner
    assert inner == spec.inner
    assert [type(value) for value in inner] == [int, float, float, bool]


def test_reading_imports_the_package_that_knows_the_spec():
    # In a fresh process nothing but eqjax itself has been imported.
    program = (
        "from eqjax._core._specs import spec_from_json\n"
        f"print(spec_from_json({spec_to_json(groups.SO(3))!r}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "SO(n=3)"


def test_what_is_no_spec_is_refused():
    @dataclasses.dataclass(frozen=True)
    class Unregistered:
        n: int = 1

    with pytest.raises(ValueError, match="Unregistered is not a registered spec"):
        spec_to_json(Unregistered())
    with pytest.raises(ValueError, match="not a registered spec"):
        spec_to_json(Nested(inner=Unregistered()))
    for value in ([1, 2], {"a": 1}, {1}, 1j, groups.SO, print):
        with pytest.raises(ValueError, match="plain Python values only, got"):
            spec_to_json(Nested(inner=value))


def test_another_class_of_the_same_name_is_refused():
    @dataclasses.dataclass(frozen=True)
    class Nested:
        inner: int = 0

    Nested.__qualname__ = "Nested"
    with pytest.raises(ValueError, match="not a registered spec"):
        spec_to_json(Nested())


def test_only_frozen_dataclasses_register():
    @dataclasses.dataclass
    class Mutable:
        n: int = 1

    class Plain:
        pass

    for cls in (Mutable, Plain):
        with pytest.raises(TypeError, match=f"{cls.__name__} must be a frozen"):
            register_spec(cls)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("", "not valid JSON"),
        ('{"type":"eqjax.groups.Nothing","n":3}', "'eqjax.groups.Nothing'"),
        ('{"type":"os.system","command":"true"}', "'os.system'"),
        ('{"n":3}', "None"),
        ('{"type":["a"],"n":3}', "does not know"),
        ('{"type":"eqjax.groups.SO","n":3,"m":1}', "fields that this version lacks: m"),
        ('{"type":"eqjax.groups.SO"}', "SO does not fit this version, or is damaged"),
        ('[{"type":"eqjax.groups.SO","n":3}]', "holds no spec"),
        ("null", "holds no spec"),
        ('{"type":"eqjax.groups.SO","n":1}', "`n` must be an integer of at least 2"),
    ],
)
def test_damaged_text_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        spec_from_json(text)
