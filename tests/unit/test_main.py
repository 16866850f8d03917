"""The command line: what there is, and what each command loads."""

import re
import subprocess
import sys

import pytest
from conftest import ROOT

from humwatch import __main__


def test_help_lists_every_command_and_loads_none():
    code = "import sys; from humwatch.__main__ import main; main(['--help'])"
    watched = f"import sys, atexit; atexit.register(lambda: print('pandas' in sys.modules)); {code}"
    done = subprocess.run([sys.executable, "-c", watched], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\nFalse\n")
    listed = re.findall(r"^    (\w+)(?: +\S|$)", done.stdout, re.M)
    assert listed == sorted(path.stem for path in (ROOT / "src/humwatch/commands").glob("[a-z]*.py"))
    assert "What a study's data set has: what is there" in done.stdout


@pytest.mark.parametrize("command", ["data", "plan"])
def test_help_of_a_command_is_its_docstring(command, capsys):
    with pytest.raises(SystemExit) as ended:
        __main__.main([command, "--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0 and f"humwatch {command} --configfile" in said and "--configfile CONFIGFILE" in said


@pytest.mark.parametrize(("arguments", "sentence"), [([], "required: COMMAND"), (["dance"], "invalid choice: 'dance'")])
def test_no_command(arguments, sentence, capsys):
    with pytest.raises(SystemExit) as ended:
        __main__.main(arguments)
    assert ended.value.code == 2 and sentence in capsys.readouterr().err
