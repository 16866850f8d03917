"""What stands in several of the project's own files agrees."""

import re

import pytest
import yaml
from conftest import ROOT

from humwatch import __version__

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "config/README.md"])


def read(name: str):
    return yaml.safe_load((ROOT / name).read_text())


def test_pre_commit_has_the_versions_of_make_lint():
    pinned = (ROOT / "requirements.txt").read_text().splitlines()
    hooks = read(".pre-commit-config.yaml")["repos"][0]["hooks"]
    used = {name for hook in hooks for name in hook["additional_dependencies"]}
    assert used <= {*pinned} and {re.split("==", name)[0] for name in used} >= {"ruff", "snakefmt", "import-linter"}


def test_requirements_are_pinned():
    wanted = re.findall(r"^([\w.-]+)", (ROOT / "requirements.in").read_text(), re.M)
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / "requirements.txt").read_text(), re.M)
    assert {name.lower() for name in wanted} <= {name.lower() for name in pinned}


def test_citation():
    """The keys that the Citation File Format 1.2.0 requires."""
    citation = read("CITATION.cff")
    assert citation["cff-version"] == "1.2.0" and citation["message"] and citation["title"]
    assert all(author.keys() & {"name", "family-names"} for author in citation["authors"])
    assert citation["version"] == __version__ and citation["license"] == "MIT"


def test_workflows_of_ci_run_targets_of_the_makefile():
    jobs = read(".github/workflows/ci.yml")["jobs"]
    ran = {step["run"] for job in jobs.values() for step in job["steps"] if "run" in step}
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.M)
    assert {f"make {name}" for name in ("lint", "test", "run", "docs")} == ran
    assert {command.split()[1] for command in ran} <= {*targets}
    assert jobs["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]


def test_forms_ask_what_can_be_answered():
    for form in (read(f".github/ISSUE_TEMPLATE/{name}.yml") for name in ("bug", "idea")):
        assert form["name"] and form["description"]
        ids = [field["id"] for field in form["body"]]
        assert len(ids) == len({*ids})


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_of_pages_lead_somewhere(page):
    for target in re.findall(r"\]\((?!\w+:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_readme_can_be_read_in_one_go():
    assert len((ROOT / "README.md").read_text().splitlines()) < 120
