"""The history on disk: what is written is read, in either kind of file."""

import pytest

from humwatch.use.history import Record, open_history

RECORDS = [
    Record(
        'a, "b".wav', 0.5, "fan/00", 1.25, 1e-3, 3.0, True, True, "1 s; 2 s", scores="1.25 -0.1", time="t", sha256="x"
    ),
    Record("b.wav", problem="it is broken", nearest=True, bytes=7, modified_ns=2**62, detector="d"),
    Record("b.wav", microphone="silent", machine="fan/00", sha256="y", bytes=8),
]


@pytest.mark.parametrize("name", ["h.csv", "h.sqlite", "deep/h.db"])
def test_what_is_written_is_read(tmp_path, name):
    history = open_history(tmp_path / name)
    for record in RECORDS:
        history.add(record)
    history.close()
    for history in (open_history(tmp_path / name), open_history(tmp_path / name)):
        assert [*history.records()] == RECORDS
        assert history.has("b.wav", "y") and not history.has("b.wav", "z")
        assert history.has_file("b.wav", 8, 0) and not history.has_file("b.wav", 9, 0)
        history.close()


def test_a_torn_line_goes_and_only_that(tmp_path):
    history = open_history(tmp_path / "h.csv")
    for record in RECORDS:
        history.add(record)
    history.close()
    whole = (tmp_path / "h.csv").read_bytes()
    last = whole.rstrip(b"\n").rindex(b"\n") + 1
    for end in range(last, len(whole)):
        (tmp_path / "h.csv").write_bytes(whole[:end])
        history = open_history(tmp_path / "h.csv")
        assert [*history.records()] == RECORDS[:2]
        history.add(RECORDS[2])
        history.close()
        assert (tmp_path / "h.csv").read_bytes() == whole
