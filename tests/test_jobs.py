"""jobs/: the scripts of the schedulers, run by bash with `scontrol`, `qstat` and `qsub` played by recorders."""

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
JOBS = ROOT / "jobs"
SCRIPTS = ("training.sh", "train.slurm", "train.pbs")

# Trains as the modules do: makes a run, stops on SIGUSR1 with status 130, and is done when it was resumed.
TRAINING = """
import json, os, pathlib, signal, subprocess, sys, time
said = pathlib.Path("said.jsonl")
with said.open("a") as file:
    print(json.dumps(sys.argv[1:]), file=file)
words = sys.argv[1:]
if "--resume" in words or "at-once" in words:
    sys.exit(0)
if "broken" in words:
    sys.exit(1)
if "launched" in words and not os.environ.get("RANK"):
    sys.exit(subprocess.run([sys.executable, __file__, *words], env=os.environ | {"RANK": "0"}).returncode)
run = pathlib.Path("runs", words[words.index("train") + 1].replace("-", "_"), words[words.index("--name") + 1])
stopped = []
signal.signal(signal.SIGUSR1, lambda *_: stopped.append(1))
run.mkdir(parents=True)
(run / "provenance.json").write_text("{}")
pathlib.Path("ready").touch()
for _ in range(600):
    if stopped:
        time.sleep(1)
        pathlib.Path("stopped").touch()
        sys.exit(130)
    time.sleep(0.05)
"""


@pytest.fixture
def site(tmp_path):
    """A folder to submit from: the scripts, a training, and schedulers' commands that write down what they are told."""
    shutil.copytree(JOBS, tmp_path / "jobs")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tmp_path / "training.py").write_text(TRAINING)
    scripts = {
        "python": f'shift; exec {sys.executable} "{tmp_path}/training.py" "$@"',  # without its -m
        "scontrol": f'echo "scontrol $*" >> "{tmp_path}/queued"',
        "qsub": f'echo "qsub $* RUN_NAME=$RUN_NAME TASK=$TASK RESTARTS=$RESTARTS" >> "{tmp_path}/queued"',
        "qstat": f'cat "{tmp_path}/qstat" 2>/dev/null',
    }
    for name, body in scripts.items():
        (tools / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (tools / name).chmod(0o755)
    return tmp_path


def start(site, script, *arguments, **environment):
    inherited = {
        k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "PBS_", "QUADRATSEG_")) and k != "PYTHON"
    }
    environment = inherited | {"PATH": f"{site / 'tools'}:{os.environ['PATH']}"} | environment
    return subprocess.Popen(
        ["bash", f"jobs/{script}", *arguments],
        cwd=site,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def slurm(site, *arguments, **more):
    return start(site, "train.slurm", *arguments, SLURM_SUBMIT_DIR=str(site), SLURM_JOB_ID="77", **more)


def pbs(site, arguments, walltime="00:10:05", **more):
    (site / "qstat").write_text(
        f"Job Id: 9.server\n    queue = gpu\n    Account_Name = reef\n    Resource_List.select = 1:ncpus=8:ngpus=1\n"
        f"    Resource_List.walltime = {walltime}\n"
    )
    given = {"MODULE": "coral_seg_yolo", "ARGUMENTS": arguments, "PBS_JOBID": "9.server", "PBS_O_WORKDIR": str(site)}
    return start(site, "train.pbs", **given | more)


def ended(process):
    told, _ = process.communicate(timeout=60)
    return process.returncode, told


def wait_until_it_trains(site, process):
    for _ in range(600):
        if (site / "ready").exists():
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    raise AssertionError("the training did not begin")


def said(site):
    return [json.loads(line) for line in (site / "said.jsonl").read_text().splitlines()]


def queued(site):
    path = site / "queued"
    return path.read_text() if path.exists() else ""


def test_slurm_runs_the_same_command_as_by_hand(site):
    assert ended(slurm(site, "coral_seg_yolo", "--data", "data/two words", "--name", "reef", "at-once"))[0] == 0
    assert said(site) == [
        ["quadrat", "train", "coral_seg_yolo", "--data", "data/two words", "--name", "reef", "at-once"]
    ]
    assert queued(site) == ""


def test_slurm_queues_itself_again_when_the_time_is_over_and_resumes(site):
    arguments = ("coral_seg_yolo", "--data", "data/reef", "--name", "reef")
    process = slurm(site, *arguments)
    wait_until_it_trains(site, process)
    process.send_signal(signal.SIGUSR1)  # as `--signal=B:USR1` sends it, to the script alone
    status, told = ended(process)
    assert status == 0, told
    assert queued(site) == "scontrol requeue 77\n"
    assert ended(slurm(site, *arguments, SLURM_RESTART_COUNT="1"))[0] == 0
    assert said(site)[1] == [*said(site)[0], "--resume"]


def test_a_job_that_somebody_ends_is_stopped_cleanly_and_not_queued_again(site):
    process = slurm(site, "coral_seg_yolo", "--name", "reef")
    wait_until_it_trains(site, process)
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 130
    assert queued(site) == ""


def test_a_training_that_fails_is_not_queued_again(site):
    assert ended(slurm(site, "coral_seg_yolo", "broken"))[0] == 1
    assert queued(site) == ""


def test_a_job_does_not_go_on_for_ever(site):
    process = slurm(site, "coral_seg_yolo", "--name", "reef", SLURM_RESTART_COUNT="50")
    wait_until_it_trains(site, process)
    process.send_signal(signal.SIGUSR1)
    assert ended(process)[0] == 130
    assert queued(site) == ""


def test_a_run_without_a_name_keeps_the_jobs_through_restarts(site):
    process = slurm(site, "coral-seg-yolo", "--data", "data/reef")
    wait_until_it_trains(site, process)
    process.send_signal(signal.SIGUSR1)
    assert ended(process)[0] == 0
    ended(slurm(site, "coral-seg-yolo", "--data", "data/reef"))
    assert [words[-3:] for words in said(site)] == [
        ["data/reef", "--name", "slurm-77"],
        ["--name", "slurm-77", "--resume"],
    ]


def test_tasks_of_an_array_differ_by_their_number(site):
    words = ("coral_seg_yolo", "--data", "data/fold-{task}", "--seed={task}", "at-once")
    ended(slurm(site, *words, SLURM_ARRAY_JOB_ID="70", SLURM_ARRAY_TASK_ID="3"))
    assert said(site)[0][3:] == ["--data", "data/fold-3", "--seed=3", "at-once", "--name", "slurm-70-3"]


def test_a_dotted_name_is_run_as_it_stands(site):
    assert ended(slurm(site, "DINOv2_mmseg.kfold", "--out", "runs/kfold", "at-once"))[0] == 0
    assert said(site) == [["DINOv2_mmseg.kfold", "--out", "runs/kfold", "at-once"]]


def test_a_launcher_that_dies_of_the_signal_leaves_nobody_untold(site):
    """As torch's does: the processes that train are told, and waited for."""
    process = slurm(site, "launched", "--name", "several")
    wait_until_it_trains(site, process)
    process.send_signal(signal.SIGUSR1)
    status, told = ended(process)
    assert status == 0, told
    assert (site / "stopped").exists()
    assert queued(site) == "scontrol requeue 77\n"


def test_an_image_wraps_the_command(site):
    apptainer = site / "tools" / "apptainer"
    apptainer.write_text(f'#!/usr/bin/env bash\necho "$*" > "{site}/wrapped"\n')
    apptainer.chmod(0o755)
    assert ended(slurm(site, "coral_seg_yolo", "--name", "a", QUADRATSEG_IMAGE="q.sif", PYTHON="python"))[0] == 0
    assert (site / "wrapped").read_text() == (
        f"exec --nv --bind {site} --pwd {site} q.sif python -m quadrat train coral_seg_yolo --name a\n"
    )


@pytest.mark.parametrize(("script", "words"), [("train.slurm", "with sbatch"), ("train.pbs", "with qsub")])
def test_a_script_that_is_not_submitted_says_so(site, script, words):
    status, told = ended(start(site, script, "coral_seg_yolo"))
    assert status != 0
    assert words in told


def test_pbs_stops_ahead_of_its_time_and_queues_itself_with_what_it_had(site):
    status, told = ended(pbs(site, "--data 'data/two words' --name reef", AHEAD_S="604"))  # 1 s after it began
    assert status == 0, told
    assert said(site) == [["quadrat", "train", "coral_seg_yolo", "--data", "data/two words", "--name", "reef"]]
    assert queued(site) == (
        "qsub -v MODULE,ARGUMENTS,RUN_NAME,TASK,RESTARTS -l walltime=00:10:05 -q gpu -A reef"
        " -l select=1:ncpus=8:ngpus=1 jobs/train.pbs RUN_NAME=pbs-9 TASK= RESTARTS=1\n"
    )
    assert ended(pbs(site, "--data 'data/two words' --name reef", RESTARTS="1"))[0] == 0
    assert said(site)[1][-1] == "--resume"


def test_a_task_of_a_pbs_array_is_queued_again_as_itself(site):
    process = pbs(site, "--seed {task}", AHEAD_S="604", PBS_JOBID="9[3].server", PBS_ARRAY_INDEX="3")
    assert ended(process)[0] == 0
    assert "RUN_NAME=pbs-9 TASK=3" in queued(site)
    ended(pbs(site, "--seed {task}", PBS_JOBID="10.server", RUN_NAME="pbs-9", TASK="3"))
    assert said(site) == [
        ["quadrat", "train", "coral_seg_yolo", "--seed", "3", "--name", "pbs-9-3"],
        ["quadrat", "train", "coral_seg_yolo", "--seed", "3", "--name", "pbs-9-3", "--resume"],
    ]


def test_pbs_without_a_known_time_says_so_and_trains(site):
    process = pbs(site, "at-once", walltime="")
    status, told = ended(process)
    assert status == 0
    assert "not stopped ahead of time" in told


def test_the_signal_comes_early_enough_and_to_the_script():
    lines = (JOBS / "train.slurm").read_text().splitlines()
    assert "#SBATCH --signal=B:USR1@600" in lines
    assert "#SBATCH --requeue" in lines
    first = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    assert all(not line.startswith("#SBATCH") for line in lines[first:])  # sbatch reads no further


def test_scripts_satisfy_shellcheck():
    shellcheck = Path(sysconfig.get_path("scripts"), "shellcheck")
    scripts = [JOBS / name for name in SCRIPTS] + sorted(ROOT.glob("deploy/*/**/*.sh"))
    assert len(scripts) > len(SCRIPTS)
    checked = subprocess.run(
        [shellcheck, "-x", "-P", ROOT, *scripts], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


def test_what_the_dockerfile_names_is_there():
    text = (JOBS / "Dockerfile").read_text()
    copied = [line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY ")]
    assert all((ROOT / path).exists() for paths in copied for path in paths)
    assert "USER 10001:10001" in text
    assert "latest" not in text
