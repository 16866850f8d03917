"""The file of a detector: the same bytes for the same content, and no others are read."""

import json

import numpy as np
import pytest
import safetensors.numpy

from humwatch.errors import InputError
from humwatch.use import pack

ARRAYS = {"fan/Ü 1.mean": np.arange(3.0), "b": np.array(3), "empty": np.zeros((0, 4), np.float32)}


def write(path, **more):
    pack.write(path, {"machines": [["fan", "Ü"]], **more}, ARRAYS)
    return path


def test_what_was_written_is_read(tmp_path):
    description, arrays = pack.read(write(tmp_path / "d.humwatch"))
    assert description["machines"] == [["fan", "Ü"]] and description["format"] == pack.FORMAT
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype and arrays[name].shape == array.shape


def test_same_content_same_bytes(tmp_path):
    one, other = write(tmp_path / "one.humwatch"), tmp_path / "other.humwatch"
    pack.write(other, {"machines": [["fan", "Ü"]]}, dict(reversed(ARRAYS.items())))
    assert one.read_bytes() == other.read_bytes()


def test_every_flipped_bit_and_every_cut_is_noticed(tmp_path):
    path = write(tmp_path / "d.humwatch")
    data = path.read_bytes()
    for i in range(8 * len(data)):
        changed = bytearray(data)
        changed[i // 8] ^= 1 << i % 8
        path.write_bytes(changed)
        with pytest.raises(InputError) as raised:
            pack.read(path)
        assert "\n" not in str(raised.value) and str(path) in str(raised.value)
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(InputError):
            pack.read(path)
    path.write_bytes(data + b"\0")
    with pytest.raises(InputError, match="damaged"):
        pack.read(path)
    path.write_bytes(data[:-1])
    with pytest.raises(InputError, match="is cut"):
        pack.read(path)


def test_a_newer_format(tmp_path, monkeypatch):
    monkeypatch.setattr(pack, "FORMAT", 2)
    path = write(tmp_path / "d.humwatch", versions={"humwatch": "9.1"})
    monkeypatch.undo()
    with pytest.raises(
        InputError, match=r"is in format 2, and this humwatch reads up to 1: install humwatch 9\.1 or newer"
    ):
        pack.read(path)


@pytest.mark.parametrize(
    "content", [b"", b"RIFF....WAVE", b"PK\3\4" + bytes(100), b"{}", bytes(8), b"\x80\x04K\x01.", b"x" * 5000]
)
def test_other_files(tmp_path, content):
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(InputError) as raised:
        pack.read(path)
    assert "\n" not in str(raised.value)


def test_safetensors_of_others(tmp_path):
    path = tmp_path / "weights.safetensors"
    for metadata in (None, {"format": "pt"}):
        path.write_bytes(safetensors.numpy.save({"w": np.ones(3)}, metadata))
        with pytest.raises(InputError, match="is no detector of humwatch"):
            pack.read(path)


def test_no_such_file(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        pack.read(tmp_path / "none.humwatch")
    with pytest.raises(InputError, match="Is a directory"):
        pack.read(tmp_path)


def test_any_safetensors_reader_can_read_it(tmp_path):
    path = write(tmp_path / "d.humwatch")
    with safetensors.safe_open(path, "numpy") as file:
        assert json.loads(file.metadata()["humwatch"])["machines"] == [["fan", "Ü"]]
        np.testing.assert_array_equal(file.get_tensor("b"), ARRAYS["b"])
