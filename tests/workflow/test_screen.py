"""What Snakemake's logger plugin makes of failures: sentences, each once, last on the screen."""

import io
import logging
import subprocess
import sys
from types import SimpleNamespace

import pytest
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.common import LogEvent

import snakemake_logger_plugin_humwatch as plugin


@pytest.fixture
def screen(monkeypatch):
    settings = SimpleNamespace(
        quiet={Quietness.RULES}, debug_dag=False, verbose=False, dryrun=False, printshellcmds=False, nocolor=True, stdout=False,
        show_failed_logs=False,
    )  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["snakemake"])
    handler = plugin.LogHandler(settings, None)
    handler.screen.setStream(io.StringIO())

    def say(text="", level=logging.ERROR, **extra):
        handler.emit(
            logging.makeLogRecord({"msg": text, "levelno": level, "levelname": logging.getLevelName(level)} | extra)
        )
        return handler.screen.stream.getvalue()

    return say


def failed(jobid, log, message=None):
    return {
        "event": LogEvent.JOB_ERROR, "rule_name": "train", "jobid": jobid, "log": [str(log)], "rule_msg": message, "msg": None,
        "input": [], "output": [], "conda_env": None, "shellcmd": None, "aux": {},
    }  # fmt: skip


def ended(how):
    text = f"RuleException:\nCalledProcessError in file x.smk, line 3:\nCommand 'python train.py' {how}."
    return {"text": text, "event": LogEvent.ERROR, "exception": "RuleException"}


END = {"text": "WorkflowError:\nAt least one job did not complete successfully.", "event": LogEvent.ERROR}


def log_file(path, *errors):
    path.write_text(
        "".join(f"12:00:00 train fan: ERROR: {error}\n" for error in errors) + "12:00:01 train fan: INFO: x\n"
    )
    return path


def test_sentences_of_failed_jobs_stand_last(screen, tmp_path):
    log = log_file(tmp_path / "a.log", "fan/1.wav is truncated", "fan/2.wav is empty")
    assert screen(**ended("returned non-zero exit status 1")) == ""
    screen(**failed(1, log))
    said = screen(**END)
    assert said.splitlines()[1:] == [
        "train fan: fan/1.wav is truncated",
        "train fan: fan/2.wav is empty",
        f"    more in {log}",
    ]
    assert "nothing that is finished is lost" in said.splitlines()[0]


def test_a_later_try_that_succeeds_is_no_failure(screen, tmp_path):
    screen(**failed(1, log_file(tmp_path / "a.log", "no answer")))
    screen(**failed(2, log_file(tmp_path / "b.log", "broken")))
    screen(level=logging.INFO, event=LogEvent.JOB_FINISHED, job_id=1, text="Finished")
    said = screen(**END)
    assert "broken" in said and "no answer" not in said


def test_jobs_that_say_nothing(screen, tmp_path):
    screen(**ended("died with <Signals.SIGKILL: 9>"))
    screen(**failed(1, log_file(tmp_path / "a.log")))
    screen(**failed(2, tmp_path / "none.log", "SLURM-job '7' failed, SLURM status is: 'OUT_OF_MEMORY'."))
    said = screen(**END)
    assert "train: it ended without a word (SIGKILL, perhaps for want of memory)" in said and "OUT_OF_MEMORY" in said


def test_of_a_group_only_the_guilty(screen, tmp_path):
    members = [
        {"jobid": n, "rule_name": "train", "log": [str(log_file(tmp_path / f"{n}.log", *["bad"] * (n == 2)))]}
        for n in range(4)
    ]
    screen(event=LogEvent.GROUP_ERROR, job_error_info=members, msg=None, aux_logs=[], groupid="g")
    said = screen(**END)
    assert said.count("more in") == 1 and "train fan: bad" in said


def test_somebody_stopped_it(screen, tmp_path):
    for how in (
        "died with <Signals.SIGINT: 2>",
        "returned non-zero exit status 130",
        "returned non-zero exit status 143",
    ):
        screen(**ended(how))
    screen(**failed(1, log_file(tmp_path / "a.log", "interrupted")))
    assert screen(**END) == "stopped: nothing that is finished is lost, and the next run goes on from here\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("OSError: [Errno 28] No space left on device: 'x'", "the disk is full"),
        ("MissingRuleException:\nNo rule to produce results/x.csv (if you ...).", "results/x.csv is nothing"),
        ("PermissionError in file x.smk:\n[Errno 13] Permission denied: 'results/a'", "results/a cannot be read"),
    ],
)  # fmt: skip
def test_exceptions_of_snakemake(screen, text, sentence):
    said = screen(text=text, event=LogEvent.ERROR)
    assert said.startswith(sentence) and len(said.splitlines()) == 1


def test_a_target_after_the_configuration(screen, monkeypatch, tmp_path):
    (tmp_path / "c.yaml").write_text("dataset: {name: x, source: demo}\n")
    monkeypatch.setattr(
        sys, "argv", ["snakemake", "--configfile", str(tmp_path / "c.yaml"), "results/x/tables/auc.csv", "-n"]
    )
    said = screen(
        text="FileNotFoundError: [Errno 2] No such file or directory: 'results/x/tables/auc.csv'", event=LogEvent.ERROR
    )
    assert "results/x/tables/auc.csv" in said and "name results/x/tables/auc.csv before it" in said


def test_ctrl_c_before_anything_runs():
    code = "import snakemake_logger_plugin_humwatch; raise KeyboardInterrupt"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode != 0 and done.stderr == "interrupted: the next run goes on from here\n"
