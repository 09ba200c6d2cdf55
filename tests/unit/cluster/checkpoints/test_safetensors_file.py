"""Our reader and writer against the safetensors package's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, load_file, save_file

from cluster.checkpoints.safetensors_file import RawTensor, read_tensors, write_tensors

SHAPES = st.lists(st.integers(0, 5), max_size=3).map(tuple)


@given(shapes=st.dictionaries(st.text("ab.0", min_size=1, max_size=6), SHAPES, min_size=1, max_size=5))
def test_what_is_written_is_what_the_package_reads(shapes: dict[str, tuple[int, ...]]) -> None:
    from tempfile import TemporaryDirectory

    arrays = {name: np.random.default_rng(0).random(shape).astype("<f2") for name, shape in shapes.items()}
    with TemporaryDirectory() as folder:
        path = Path(folder, "ours")
        write_tensors(path, {name: RawTensor("F16", a.shape, a.tobytes()) for name, a in arrays.items()})
        theirs = load(path.read_bytes())
        ours = read_tensors(path)
    assert theirs.keys() == ours.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(theirs[name], array)
        assert (ours[name].shape, bytes(ours[name].data)) == (array.shape, array.tobytes())


def test_reads_what_the_package_writes(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6, dtype="<i8").reshape(2, 3), "b": np.ones(3, "<f4")}
    save_file(arrays, tmp_path / "theirs")
    read = read_tensors(tmp_path / "theirs")
    assert {name: (t.dtype, t.shape) for name, t in read.items()} == {"a": ("I64", (2, 3)), "b": ("F32", (3,))}
    np.testing.assert_array_equal(np.frombuffer(read["a"].data, "<i8").reshape(2, 3), arrays["a"])
    assert load_file(tmp_path / "theirs").keys() == read.keys()


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 64])
def test_another_format_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(ValueError, match="not a safetensors file"):
        read_tensors(tmp_path / "other")
