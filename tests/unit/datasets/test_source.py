"""What every data source answers, and what one in a file of its own needs: nothing else."""

import json
import subprocess
import sys

import pytest
from conftest import ROOT

from humwatch import datasets
from humwatch.datasets import source as sources
from humwatch.errors import InputError
from humwatch.study.config import read_schema
from humwatch.study.imports import imported_files

HEAVY = {"pandas", "pyarrow", "requests", "scipy", "soundfile", "torch"}  # what takes time to load
PRESSES = '''"""Recordings of presses: `good/*.wav` train, `bad/*.wav` are tested."""

from dataclasses import dataclass
from pathlib import Path

from humwatch.datasets.clip_name import ClipName
from humwatch.datasets.recordings import LayoutError, audio_files, read_folder
from humwatch.datasets.source import RecordingsSource
from humwatch.parameters import parameter

LAYOUT = {"good": ("train", 0), "bad": ("test", 1)}


def parse(clip: str) -> ClipName:
    folder = clip.split("/")[0]
    if folder not in LAYOUT:
        raise LayoutError(clip, "is neither in good/ nor in bad/: move it")
    return ClipName(clip, "press", "00", *LAYOUT[folder])


@dataclass(frozen=True, kw_only=True)
class Source(RecordingsSource):
    every: int = parameter(1, "Take each so many-th recording.", minimum=1)

    summary = "presses, good and bad."
    parse = staticmethod(parse)

    def find(self, folder: Path) -> list[ClipName]:
        return read_folder("presses", folder, audio_files(folder)[:: self.every], parse)
'''


@pytest.fixture
def presses(tmp_path, monkeypatch):
    """A source in a file of its own."""
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources/presses.py").write_text(PRESSES)
    monkeypatch.setattr(datasets, "__path__", [*datasets.__path__, str(tmp_path / "sources")])
    sources.source_class.cache_clear()
    yield {"source": "presses", "path": str(tmp_path / "recordings")}
    sys.modules.pop("humwatch.datasets.presses", None)
    sources.source_class.cache_clear()


def write(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_keys_of_the_schema_are_those_of_the_sources():
    assert sources.schemas() == read_schema()["properties"]["dataset"]["properties"]


def test_a_source_is_a_file(presses, tmp_path):
    folder = write(tmp_path / "recordings", "good/1.wav", "good/2.wav", "good/3.wav", "bad/1.wav")
    source = sources.of(presses)
    found = source.recordings(source.folder())
    assert source.machines(found) == {("press", "test"): ["00"], ("press", "train"): ["00"]}
    assert source.clip_counts(found, source.machines(found)) == {
        ("press", "train", "00"): 3,
        ("press", "test", "00"): 1,
    }
    assert len(sources.of(presses | {"every": 2}).recordings(folder)["press", "train"]) == 1
    schemas = sources.schemas()
    assert schemas["source"]["enum"][-1] == "presses" and schemas["source"]["description"].endswith("good and bad.")
    assert schemas["every"]["sources"] == ["presses"] and "presses" in schemas["sample_rate"]["sources"]
    with pytest.raises(InputError, match=r"^dataset.source is folder, but .* set dataset.source to presses$"):
        sources.of({"source": "folder"}).recordings(folder)


def test_a_source_that_is_none(presses, tmp_path):
    with pytest.raises(InputError, match=r"^dataset.source is 'robots': there is no src/humwatch/datasets/robots.py$"):
        sources.of({"source": "robots"})
    (tmp_path / "sources/presses.py").write_text(PRESSES.replace("import dataclass", "import dataclas"))
    with pytest.raises(InputError, match=r"presses.py cannot be imported \(cannot import name 'dataclas'"):
        sources.of(presses)


@pytest.mark.parametrize(
    ("dataset", "names"),
    [
        ({"source": "folder", "csv": "list.csv"}, ["fan/1.wav", "fan/2.wav", "fan/normal/3.wav"]),
        (
            {"source": "mimii", "seed": 5},
            [f"fan/id_00/{kind}/{i}.wav" for kind in ("normal", "abnormal") for i in range(9)],
        ),
        ({"source": "directory", "machine_ids": ["00"]}, ["fan/train/id_00_1.wav", "fan/train/id_02_1.wav"]),
        (
            {"source": "demo", "name": "x", "size": "small"},
            ["slider/train/normal_id_00_1.wav", "slider/test/id_00_1.wav"],
        ),
    ],
)
def test_clip_tables_find_the_clips_that_planning_found(tmp_path, monkeypatch, dataset, names):
    """By the keys that reach them, as JSON."""
    monkeypatch.chdir(write(tmp_path, *names))
    (tmp_path / "list.csv").write_text(
        "file,machine,split,label\n" + "fan/1.wav,fan,train,\nfan/2.wav,fan,test,anomaly\n"
    )
    planned = sources.of(dataset | {"path": "."}).recordings(".")
    assert planned
    for (machine_type, split), clips in planned.items():
        needed = json.loads(json.dumps(sources.of(dataset | {"path": "."}).needed(split)))
        again = sources.of(needed | {"machine_types": [machine_type]}).recordings(".")
        assert again[machine_type, split] == clips


def test_clip_tables_depend_on_no_key_that_does_not_concern_them():
    """Another mirror, another size, another part's split: their clips are the same."""
    dcase = sources.of(
        {"source": "dcase2020", "parts": ["dev", "eval"], "base_url": "x", "data_folder": "y", "name": "z"}
    )
    assert dcase.needed("train") == {
        "source": "dcase2020",
        "machine_ids": [],
        "parts": ["dev"],
        "ground_truth": True,
        "path": "y",
    }
    demo = sources.of({"source": "demo", "name": "x", "size": "full", "seed": 3, "channel": 1})
    assert demo.needed("train") == {"source": "demo", "machine_ids": [], "path": "results/x/recordings"}


@pytest.mark.parametrize("name", ["demo", "dcase2020", "folder", "directory", "mimii"])
def test_planning_loads_no_libraries(name):
    """Beside those that what is planned needs."""
    code = f"""
import sys
from humwatch.datasets import source as sources
made = sources.of({{"source": {name!r}, "name": "x", "path": "."}})
made.folder(), made.known_clips(), made.inputs("slider", "train"), made.is_made and made.clip_counts({{}}, made.machines({{}}))
print(*sorted({HEAVY!r} & sys.modules.keys()))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""


@pytest.mark.parametrize(
    ("script", "modules", "never"),
    [
        ("tables", [], ["dcase", "zenodo", "dcase_fetch", "recordings", "audio"]),
        ("clips", ["datasets/dcase"], ["zenodo", "dcase_fetch", "slide_rails", "folder", "mimii"]),
        ("clips", ["datasets/demo"], ["slide_rails", "dcase", "folder"]),
        ("features", [], ["source", "names", "recordings", "directory", "slide_rails"]),
        ("train", ["detectors/vae"], ["source", "names", "clips", "audio"]),
    ],
)
def test_what_runs_again_after_an_edit(script, modules, never):
    """Not the tables after one of the download, not the clips after one of another source, nor features after one of names."""
    files = imported_files(
        [ROOT / f"workflow/scripts/{script}.py", *(ROOT / f"src/humwatch/{module}.py" for module in modules)],
        ROOT / "src",
    )
    assert not {f"{ROOT}/src/humwatch/datasets/{name}.py" for name in never} & {*files}
