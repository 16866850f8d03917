"""docker/serve/Dockerfile, as far as it can be tested without a container engine."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib

import pytest
from conftest import ROOT
from small_detector import run

TEXT = (ROOT / "docker/serve/Dockerfile").read_text()
LINES = [line for line in re.sub(r"\\\n\s*", " ", TEXT).splitlines() if line and not line.startswith("#")]


def instructions(name: str) -> list[str]:
    return [line.partition(" ")[2] for line in LINES if line.split()[0] == name]


def command() -> list[str]:
    return json.loads(instructions("ENTRYPOINT")[0])


def install() -> list[str]:
    (line,) = [line for line in instructions("RUN") if "pip install" in line]
    return shlex.split(line)


def test_it_names_what_there_is():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (extra,) = re.findall(r"\.\[(\w+)\]", " ".join(install()))
    assert extra in project["optional-dependencies"] and command()[0] in project["scripts"]
    for line in instructions("COPY"):
        *sources, _ = line.split()
        assert all((ROOT / source).exists() for source in sources)
    text = run(*command()[1:2], "--help", text=True).stdout
    options = [word for word in command() if word.startswith("--")]
    assert options and all(f"{option} " in text for option in options)


def test_it_runs_as_a_user_and_says_when_it_is_well():
    assert instructions("USER") == ["humwatch"] and LINES.index("USER humwatch") < LINES.index("WORKDIR /data")
    (health,) = instructions("HEALTHCHECK")
    _, _, arguments = health.partition("CMD ")
    program, option, code = json.loads(arguments)
    compile(code, "health", "exec")
    port = command()[command().index("--port") + 1]
    assert (program, option) == ("python", "-c") and f":{port}/healthz" in code and instructions("EXPOSE") == [port]


def test_without_a_token_it_says_what_to_do(fan, tmp_path):
    """Its address is open to others."""
    arguments = [str(tmp_path / "history.sqlite") if word.startswith("/data/") else word for word in command()[1:]]
    done = subprocess.run(
        [sys.executable, "-m", "humwatch", *arguments, fan],
        env={name: value for name, value in os.environ.items() if name != "HUMWATCH_TOKEN"}
        | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1 and "set HUMWATCH_TOKEN" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_its_packages_install_in_a_fresh_environment(fan, tmp_path):
    """By its own command, from the package index: humwatch serve starts, and is well by its own check."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    binaries, copied = tmp_path / "venv/bin", tmp_path / "copied"
    copied.mkdir()
    for line in instructions("COPY"):
        *sources, _ = line.split()
        subprocess.run(["cp", "-r", *(ROOT / source for source in sources), copied], check=True)
    done = subprocess.run([binaries / "pip", *install()[1:]], cwd=copied, capture_output=True, text=True)
    if re.search("connection|Temporary failure|No matching distribution", done.stderr) and done.returncode:
        pytest.skip(f"no package index can be reached: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    arguments = [str(tmp_path / "history.sqlite") if word.startswith("/data/") else word for word in command()[1:]]
    arguments[arguments.index("--host") + 1] = "127.0.0.1"
    arguments[arguments.index("--port") + 1] = "0"
    environment = {"PATH": f"{binaries}:/usr/bin:/bin", "HOME": str(tmp_path)}
    process = subprocess.Popen(
        [binaries / "humwatch", *arguments, fan], env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    try:
        address = process.stdout.readline().split()[-1]
        code = json.loads(instructions("HEALTHCHECK")[0].partition("CMD ")[2])[2]
        code = code.replace("http://127.0.0.1:8080/", address)
        subprocess.run([binaries / "python", "-c", code], check=True, timeout=60)
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()
