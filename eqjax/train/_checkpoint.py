"""Checkpoints that know their spec and detect damage."""

from __future__ import annotations

import json
import os
import pathlib
import re
import types
import warnings
from typing import Any

import orbax.checkpoint as ocp

from eqjax._core._checks import check_size
from eqjax._core._specs import spec_from_json, spec_to_json
from eqjax.train import _leaves, _manifest

_ENTRY = re.compile(r"\d+(\.corrupt(\.\d+)?|\.orbax-checkpoint-tmp.*)?")


class CheckpointMismatchError(ValueError):
    """The checkpoint is sound, but not what was asked for.

    Its tree, shapes, dtypes or spec differ from those of the program. No older step is
    tried, since it would not fit either.
    """


class CheckpointCorruptError(RuntimeError):
    """Checkpoints exist, but none of those asked for passes its verification."""


class Checkpoints:
    """A handle on a folder of checkpoints: the one stateful object of this package.

    Each step holds a pytree of arrays, the JSON of a spec, and a manifest with a digest
    of every leaf, all committed by one rename, so that a step never exists without its
    digests. Restoring verifies every leaf: a damaged file leads to an older step and a
    warning, never to a wrong value. What is restored is bit-exact.

    The folder holds nothing else, and no step is ever overwritten. Nothing is written
    before the first `save`.

    Args:
        path: The folder; created by the first `save`.
        keep: How many of the newest steps to keep.
        every: `save` skips steps that are not a multiple of this number.
        keep_every: Steps that are a multiple of this number are kept for ever.
        spec: What the state belongs to, e.g. the model's spec. Steps of another spec
            are refused.

    Raises:
        ValueError: If `path` is no folder of checkpoints, or an option is out of its
            range.
        CheckpointMismatchError: If the folder holds checkpoints of another spec.

    Example:
        >>> import tempfile
        >>> import jax, jax.numpy as jnp
        >>> from eqjax.train import Checkpoints
        >>> state = {"w": jnp.ones((2, 3)), "key": jax.random.key(0)}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with Checkpoints(f"{folder}/run") as checkpoints:
        ...         saved = checkpoints.save(100, state)
        ...         abstract = jax.eval_shape(lambda: state)
        ...         restored = checkpoints.restore(abstract)
        ...         newest = checkpoints.latest()
        >>> saved, newest, bool((restored["w"] == 1).all())
        (True, 100, True)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        keep: int = 3,
        every: int = 1,
        keep_every: int | None = None,
        spec: Any = None,
    ) -> None:
        check_size("keep", keep)
        check_size("every", every)
        if keep_every is not None:
            check_size("keep_every", keep_every)
        if "://" in os.fspath(path):
            raise ValueError(
                f"`path` must be a folder of a file system, got {os.fspath(path)!r}. "
                "Object stores are not supported; mount the store."
            )
        self._path = pathlib.Path(path).absolute()
        self._every = every
        self._keep = keep
        self._keep_every = keep_every
        self._spec = None if spec is None else json.loads(spec_to_json(spec))
        self._corrupt: set[int] = set()
        self._writer: ocp.CheckpointManager | None = None
        self._reader = ocp.Checkpointer(
            ocp.CompositeCheckpointHandler("state", "manifest")
        )
        _check_folder(self._path)
        if spec is not None:
            self._check_spec_of_folder()

    def latest(self) -> int | None:
        """The newest step of the folder, or None; waits for a save in progress."""
        steps = self._steps()
        return steps[0] if steps else None

    def save(self, step: int, state: Any, *, force: bool = False) -> bool:
        """Saves a state in the background.

        The state may be donated or changed as soon as this returns. An error of the
        background work is raised by the next `save`, `wait` or `close`.

        Args:
            step: The number of steps done, zero or more: the loop's own counter.
            state: A pytree of arrays; typed keys are fine.
            force: Save although `step` is not a multiple of `every`.

        Returns:
            Whether the step is being saved: False if it is not due or exists already.

        Raises:
            ValueError: If `step` lies before the newest one of the folder, or a leaf is
                no array or holds no values.
        """
        check_size("step", step, minimum=0)
        if step % self._every and not force:
            return False
        plain, stored = _leaves.to_plain(state)
        if not plain:
            raise ValueError("`state` must hold at least one array that is not empty.")
        self.wait()
        self._set_aside_corrupt()
        steps = self._steps()
        if step in steps:
            return False
        if steps and step < steps[0]:
            raise ValueError(
                f"`step` {step} lies before step {steps[0]} of {self._path}. Restore "
                "that one first, or save this run to a new folder."
            )
        manifest = _manifest.encode(step, stored, self._spec)
        return self._manager().save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(plain),
                manifest=ocp.args.JsonSave(manifest),
            ),
            force=True,
        )

    def restore(self, abstract_state: Any, *, step: int | None = None) -> Any:
        """Restores a state, bit-exact and verified.

        Args:
            abstract_state: A pytree of the same structure whose leaves have the shape
                and dtype of those stored: arrays or `jax.ShapeDtypeStruct`s. A leaf's
                `sharding` says where the restored one lies (by default on the first
                device); for a NumPy array, a NumPy array is restored.
            step: Which step; by default the newest one that passes its verification,
                with a warning for each one that does not.

        Returns:
            The state, with the structure of `abstract_state`.

        Raises:
            FileNotFoundError: If there is no step, or not this one.
            CheckpointMismatchError: If paths, shapes, dtypes or the spec differ.
            CheckpointCorruptError: If no step passes its verification.
        """
        asked = _leaves.flatten(abstract_state)
        request = _leaves.to_request(asked)

        def read(number: int) -> Any:
            manifest = self._read_manifest(number)
            self._check_spec(number, manifest)
            stored = _manifest.leaves(manifest)
            self._check_leaves(number, stored, asked)
            plain = self._read_state(number, request)
            damage = _leaves.find_damage(plain, request, stored)
            if damage is not None:
                raise _DamagedError(damage)
            return _leaves.from_plain(plain, abstract_state)

        return self._first_sound(read, step)

    def spec(self, step: int | None = None) -> Any:
        """The spec that a step was saved with, or None if it had none.

        It is decoded from JSON to eqjax's own types alone; the training script is not
        needed.

        Args:
            step: Which step; by default the newest one with a readable manifest.

        Raises:
            FileNotFoundError: If there is no step, or not this one.
            CheckpointCorruptError: If no manifest is readable.
            ValueError: If the spec names a type that this version does not know.
        """
        manifest = self._first_sound(self._read_manifest, step)
        stored = manifest["spec"]
        return None if stored is None else spec_from_json(json.dumps(stored))

    def wait(self) -> None:
        """Waits until what was saved is on disk, and raises its error if it failed."""
        if self._writer is not None:
            self._writer.wait_until_finished()

    def close(self) -> None:
        """Waits, then releases threads; saving again opens the folder again."""
        writer, self._writer = self._writer, None
        if writer is not None:
            try:
                writer.wait_until_finished()
            finally:
                writer.close()

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        self.close()

    def _manager(self) -> ocp.CheckpointManager:
        # Built by the first save, because it creates the folder and removes temporary
        # folders of killed saves, which a handle that only reads must not do.
        if self._writer is None:
            self._writer = ocp.CheckpointManager(
                self._path,
                options=ocp.CheckpointManagerOptions(
                    max_to_keep=self._keep,
                    keep_period=self._keep_every,
                    cleanup_tmp_directories=True,
                    enable_async_checkpointing=True,
                ),
                item_names=("state", "manifest"),
            )
        return self._writer

    def _steps(self) -> list[int]:
        """Committed steps, newest first."""
        self.wait()
        if not self._path.is_dir():
            return []
        names = (entry.name for entry in self._path.iterdir())
        return sorted((int(name) for name in names if name.isdecimal()), reverse=True)

    def _first_sound(self, read: Any, step: int | None) -> Any:
        """`read` of the given step, or of the newest one that is not damaged."""
        steps = self._steps()
        if not steps or (step is not None and step not in steps):
            wanted = "checkpoint" if step is None else f"step {step}"
            raise FileNotFoundError(
                f"There is no {wanted} in {self._path}. It holds "
                f"{'steps ' + ', '.join(map(str, steps)) if steps else 'no steps'}."
            )
        reasons: list[str] = []
        for number in steps if step is None else [step]:
            try:
                result = read(number)
            except _DamagedError as error:
                reasons.append(f"step {number}: {error}")
                self._corrupt.add(number)
                continue
            for reason in reasons:
                warnings.warn(
                    f"A checkpoint in {self._path} is damaged, {reason}. Step {number} "
                    "is used instead.",
                    RuntimeWarning,
                    stacklevel=3,
                )
            return result
        listed = "".join(f"\n  {reason}" for reason in reasons)
        raise CheckpointCorruptError(
            f"No checkpoint that was asked for in {self._path} is sound:{listed}"
        )

    def _read_manifest(self, step: int) -> dict[str, Any]:
        try:
            item = self._reader.restore(
                self._path / str(step),
                args=ocp.args.Composite(manifest=ocp.args.JsonRestore()),
            )["manifest"]
            manifest = _manifest.decode(item)
        except Exception as error:
            # Damage shows as whatever error the parser at hand raises.
            raise _DamagedError(f"unreadable manifest, {_short(error)}") from error
        if manifest["format"] != _manifest.FORMAT:
            raise CheckpointMismatchError(
                f"Step {step} of {self._path} has format {manifest['format']}, "
                f"expected {_manifest.FORMAT}. Read it with the version of eqjax that "
                "wrote it."
            )
        if manifest["step"] != step:
            raise _DamagedError(f"it holds step {manifest['step']} under another name")
        return manifest

    def _read_state(self, step: int, request: dict[str, Any]) -> dict[str, Any]:
        try:
            restored = self._reader.restore(
                self._path / str(step),
                args=ocp.args.Composite(state=ocp.args.StandardRestore(request)),
            )
            return dict(restored["state"])
        except Exception as error:
            # The manifest says that the request fits, so it is the files that do not.
            raise _DamagedError(f"unreadable arrays, {_short(error)}") from error

    def _check_spec(self, step: int, manifest: dict[str, Any]) -> None:
        if self._spec is None or manifest["spec"] == self._spec:
            return
        lines = _manifest.differences(manifest["spec"], self._spec)
        raise CheckpointMismatchError(
            f"Step {step} of {self._path} belongs to another spec:\n"
            f"{_manifest.table(lines)}\n"
            "Use that spec (`Checkpoints(path).spec()`), or another folder."
        )

    def _check_spec_of_folder(self) -> None:
        for step in self._steps():
            try:
                self._check_spec(step, self._read_manifest(step))
            except _DamagedError:
                continue  # `restore` reports it
            return

    def _check_leaves(
        self, step: int, stored: dict[str, _leaves.StoredLeaf], asked: dict[str, Any]
    ) -> None:
        cells = {name: leaf.describe() for name, leaf in stored.items()}
        wanted = {
            name: _leaves.describe(leaf.shape, leaf.dtype)
            for name, leaf in asked.items()
        }
        if cells == wanted:
            return
        lines = [
            (name, cells.get(name, "-"), wanted.get(name, "-"))
            for name in sorted(cells.keys() | wanted.keys())
            if cells.get(name) != wanted.get(name)
        ]
        raise CheckpointMismatchError(
            f"Step {step} of {self._path} does not fit the state that was asked for:\n"
            f"{_manifest.table(lines)}\nAsk for what is stored, or use another folder."
        )

    def _set_aside_corrupt(self) -> None:
        """Renames steps found damaged, so that the run can save those steps anew."""
        for step in sorted(self._corrupt):
            source = self._path / str(step)
            target = self._path / f"{step}.corrupt"
            copies = 0
            while target.exists():
                copies += 1
                target = self._path / f"{step}.corrupt.{copies}"
            if source.exists():
                source.rename(target)
        if self._corrupt and self._writer is not None:
            self._writer.reload()
        self._corrupt.clear()


class _DamagedError(Exception):
    """One step does not pass its verification."""


def _check_folder(path: pathlib.Path) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        raise ValueError(f"`path` must be a folder, got the file {path}.")
    for entry in sorted(path.iterdir()):
        if entry.name.startswith("."):
            continue
        ours = entry.is_dir() and _ENTRY.fullmatch(entry.name) is not None
        if ours and entry.name.isdecimal():
            parts = ("manifest", "state", "_CHECKPOINT_METADATA")
            ours = any((entry / part).exists() for part in parts)
        if not ours:
            raise ValueError(
                f"`path` must be a new folder or one of checkpoints, but {path} holds "
                f"{entry.name!r}, which no checkpoint wrote. Choose another folder."
            )


def _short(error: Exception) -> str:
    return " ".join(repr(error).split())[:200]
