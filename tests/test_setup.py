"""setup/environment.sh with a stand-in for uv: what it says, what it asks for, and that a second call does nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = ("bash", "cat", "dirname", "echo", "env", "id", "ln", "mkdir", "sha256sum", "uname", "xargs")
UV = f"""#!/usr/bin/env bash
echo "uv $* # $UV_DEFAULT_INDEX" >> calls
if [[ $1 == venv ]]; then mkdir -p .venv/bin && ln -sf {sys.executable} .venv/bin/python; fi
"""


@pytest.fixture
def project(tmp_path):
    """A copy of what set-up reads, and a PATH with little more than a stand-in for uv."""
    (tmp_path / "setup").mkdir()
    shutil.copy(ROOT / "setup" / "environment.sh", tmp_path / "setup")
    for name in ("pyproject.toml", "constraints.txt", "overrides.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (tmp_path / "bin" / tool).symlink_to(found)
    program(tmp_path, "uv", UV)
    program(tmp_path, "ldconfig", "#!/usr/bin/env bash\necho libcurl.so.4 libcrypto.so.3\n")
    return tmp_path


def program(project: Path, name: str, text: str) -> None:
    path = project / "bin" / name
    path.write_text(text, "utf-8")
    path.chmod(0o755)


def set_up(project: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    (project / "calls").unlink(missing_ok=True)
    environment = {"PATH": str(project / "bin"), "PYTHON": sys.executable, "UV_DEFAULT_INDEX": "own", **variables}
    command = [str(project / "bin" / "bash"), "setup/environment.sh"]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


def calls(project: Path) -> str:
    path = project / "calls"
    return path.read_text("utf-8") if path.exists() else ""


def test_it_says_what_it_downloads_and_installs_everything(project):
    result = set_up(project)
    assert result.returncode == 0, result.stderr
    assert "282 packages" in result.stdout
    assert "TORCH_BACKEND=cpu" in result.stdout
    install = calls(project).splitlines()[-1]
    assert "--override overrides.txt --constraint constraints.txt --editable .[all]" in install
    assert "--torch-backend" not in install


def test_a_second_call_does_nothing(project):
    set_up(project)
    result = set_up(project)
    assert (result.returncode, result.stdout, calls(project)) == (0, "", "")


def test_a_changed_file_installs_again_into_the_same_environment(project):
    set_up(project)
    with (project / "constraints.txt").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    assert "to download" not in set_up(project).stdout
    assert [line.split()[1] for line in calls(project).splitlines()] == ["pip"]


def test_a_torch_backend_is_passed_on_and_remembered(project):
    set_up(project)
    assert set_up(project, TORCH_BACKEND="cpu").returncode == 0
    assert "--torch-backend cpu" in calls(project)
    assert set_up(project).stdout == ""
    (project / "overrides.txt").write_text("numpy>=2.0\n", "utf-8")
    set_up(project)
    assert "--torch-backend cpu" in calls(project)


def test_on_a_machine_with_a_gpu_the_cpu_builds_are_not_suggested(project):
    program(project, "nvidia-smi", "#!/usr/bin/env bash\n")
    assert "TORCH_BACKEND=cpu" not in set_up(project).stdout


def test_missing_libraries_are_named_where_they_cannot_be_installed(project):
    program(project, "ldconfig", "#!/usr/bin/env bash\n")
    result = set_up(project)
    assert result.returncode == 0
    if os.uname().sysname == "Linux" and os.uname().machine == "x86_64":
        assert "apt-get install libcurl4 libssl3" in result.stdout


def test_root_gets_missing_libraries_installed(project):
    program(project, "ldconfig", "#!/usr/bin/env bash\n")
    program(project, "id", "#!/usr/bin/env bash\necho 0\n")
    program(project, "apt-get", f'#!{project}/bin/bash\necho "apt-get $*" >> calls\n')
    assert set_up(project).returncode == 0
    if os.uname().sysname == "Linux" and os.uname().machine == "x86_64":
        assert "install -qq -y --no-install-recommends libcurl4 libssl3" in calls(project)


def test_a_mirror_that_pip_is_set_to_serves_uv_too(project):
    set_up(project, UV_DEFAULT_INDEX="", PIP_INDEX_URL="file:///mirror")
    assert "# file:///mirror" in calls(project)


def test_a_failed_install_is_tried_again(project):
    program(project, "uv", UV + "[[ $1 != pip ]] || exit 1\n")
    failed = set_up(project, TORCH_BACKEND="cpu")
    assert failed.returncode == 1
    assert "without TORCH_BACKEND=cpu" in failed.stderr
    program(project, "uv", UV)
    assert set_up(project).returncode == 0
    assert "--torch-backend" not in calls(project)


def test_an_old_python_is_refused(project):
    program(project, "python3", '#!/usr/bin/env bash\n[[ $1 == --version ]] && echo "Python 3.9.2"\nexit 1\n')
    result = set_up(project, PYTHON="python3")
    assert result.returncode == 1
    assert "Python 3.9.2" in result.stderr
    assert "PYTHON=" in result.stderr
