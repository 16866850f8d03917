"""Names of folders and models: safe whatever machines are called, one for each, and quoted wherever a shell sees them."""

import re
import subprocess

import pytest
from conftest import ROOT

from humwatch.slugs import readable, slug
from humwatch.study.layout import Scope

NAMES = [
    "slider", "fan_-6_dB", "00", "a.b", "..", ".", "-pump", ".hidden", "", "a'$(touch x)'b", "Bob's pump", "pump {3}",
    "<results>", "line 1/left", "../../x", "a%2Fb", "a=2Fb", "=2D", "Größe", "x\ny", "日本語", "a" * 30, "a" * 200,
    "ab" * 100, "ß" * 200, "~root",
]  # fmt: skip


def test_slugs_are_safe_and_differ():
    slugs = [slug(name) for name in NAMES]
    assert len({s.lower() for s in slugs}) == len(NAMES)
    for name, made in zip(NAMES, slugs, strict=True):
        assert re.fullmatch(r"(?![-.~])[A-Za-z0-9_.~+=-]{0,80}", made), name
        assert not re.search(r"(.+?)\1{19}$", made), name
    assert all(slug(name) == name for name in NAMES[:4])


def test_a_shell_reads_a_slug_as_it_is():
    slugs = [slug(name) for name in NAMES if name]
    said = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {' '.join(slugs)}"], capture_output=True, text=True, check=True
    )
    assert said.stdout.splitlines() == slugs


@pytest.mark.parametrize("name", [name for name in NAMES if len(name) < 20])
def test_readable_is_the_inverse(name):
    assert readable(f"train {slug(name)} vae_seed-0") == f"train {name} vae_seed-0"


def test_scopes():
    assert [Scope().name, Scope("fan").name, Scope("fan", "00").name] == ["all", "fan", "fan_id_00"]
    assert Scope("a/b", "c d").name == "a=2Fb_id_c=20d"
    assert Scope("fan", "00").hears("fan") and Scope("fan", "00").hears("fan", "00") and Scope().hears("pump", "1")
    # No two scopes share a name, however types and ids are cut.
    parts = ["a", "a_id", "id", "id_a", "_id", "a_i", "d_a", "id_id", "_id_id"]
    names = [Scope(t, i).name for t in parts for i in (None, *parts) if "_id_" not in t]
    assert len(set(names)) == len(names)
    assert not Scope("fan", "00").hears("fan", "02") and not Scope("fan").hears("pump")


def shell_commands():
    for path in sorted((ROOT / "workflow/rules").glob("*.smk")):
        for block in re.findall(r"^ +shell:\n((?: +.*\n)+)|^ +shell\((.*)\)$", path.read_text(), re.M):
            yield path.name, "".join(block)


def test_every_value_in_a_command_line_is_quoted():
    commands = list(shell_commands())
    assert len(commands) >= 15
    for file, command in commands:
        placeholders = re.findall(r"\{([^{}]+)\}", command)
        assert placeholders, command
        for placeholder in placeholders:
            assert placeholder.endswith(":q"), f"{file}: {{{placeholder}}} is not quoted"
        assert not re.search(r"'[^']*\{[^']*'", command), f"{file}: quoted within quotes: {command}"
