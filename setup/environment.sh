#!/usr/bin/env bash
# Makes .venv with all that the project needs. `make` calls it before every target: when nothing changed it ends at once.
#
#   TORCH_BACKEND=cpu|auto|cu128|…   which PyTorch builds uv takes (its --torch-backend); remembered. Default: PyPI's
#   PYTHON=python3.12                the interpreter that .venv is made with. Default: python3

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=${PYTHON:-python3}
stamp=.venv/.quadratseg-setup
recorded=.venv/.torch-backend
backend=${TORCH_BACKEND:-$(cat "$recorded" 2>/dev/null || true)}

say() { printf '%s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

wanted() { # what .venv must have been made from
    sha256sum pyproject.toml constraints.txt overrides.txt
    say "backend=$backend root=$PWD"
}

has_library() { # $1: soname
    local known
    known=$(PATH="$PATH:/usr/sbin:/sbin" ldconfig -p 2>/dev/null || true)
    [[ $known == *"$1"* ]]
}

can_get_uv() { command -v uv >/dev/null || "$python" -c 'import ensurepip' 2>/dev/null || "$python" -m pip --version >/dev/null 2>&1; }

missing_system_packages() { # Debian's names
    can_get_uv || say python3-venv
    if [[ $(uname -sm) == "Linux x86_64" ]]; then # FiftyOne's MongoDB links these two; nothing else links outside .venv
        has_library libcurl.so.4 || say libcurl4
        has_library libcrypto.so.3 || say libssl3
    fi
}

install_system_packages() {
    local missing as_root=()
    missing=$(missing_system_packages | xargs)
    [[ -n $missing ]] || return 0
    if command -v apt-get >/dev/null && { [[ $(id -u) == 0 ]] || sudo -n true 2>/dev/null; }; then
        [[ $(id -u) == 0 ]] || as_root=(sudo -n)
        say "Installing system packages: $missing"
        "${as_root[@]}" apt-get update -qq
        # shellcheck disable=SC2086  # several names
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing
        return 0
    fi
    say "System packages are missing (Debian's names): $missing"
    say "    sudo apt-get install $missing"
    can_get_uv || fail "python3-venv (or uv on the PATH) is needed to go on"
    say "Going on: without them all works but FiftyOne's database."
}

announce() {
    [[ ! -e $stamp ]] || { say "Bringing .venv up to date."; return 0; }
    say "Setting up .venv: about 282 packages, 3.6 GB to download, 7.8 GB on disk; half a minute to a few minutes on a fast line."
    say "Most of it is PyTorch with CUDA, which runs on the CPU too."
    if [[ -z $backend ]] && ! command -v nvidia-smi >/dev/null; then
        say "This machine has no NVIDIA GPU: 'make setup TORCH_BACKEND=cpu' takes PyTorch's much smaller CPU builds"
        say "(from PyTorch's own package index, which must be in reach). Going on with the default builds."
    fi
}

find_uv() { # prints the path of uv, fetched into .cache/uv where the machine has none
    local own=.cache/uv/bin/uv
    command -v uv && return 0
    if [[ ! -x $own ]]; then
        if "$python" -c 'import ensurepip' 2>/dev/null; then
            "$python" -m venv .cache/uv >&2
            .cache/uv/bin/python -m pip install --quiet --disable-pip-version-check uv >&2
        else
            "$python" -m pip install --quiet --disable-pip-version-check --target .cache/uv uv >&2
        fi
    fi
    say "$PWD/$own"
}

obey_pip_settings() { # uv reads no pip.conf; a machine whose pip is set to a mirror means it for uv as well
    local mirror
    [[ -z ${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-} ]] || return 0
    mirror=${PIP_INDEX_URL:-$("$python" -m pip config get global.index-url 2>/dev/null || true)}
    [[ -z $mirror ]] || export UV_DEFAULT_INDEX=$mirror
}

install() {
    local uv=$1 options=()
    .venv/bin/python -c 'import sys' 2>/dev/null || "$uv" venv --quiet --clear --python "$python" .venv
    [[ -z $backend ]] || options=(--torch-backend "$backend")
    "$uv" pip install --python .venv/bin/python "${options[@]}" \
        --override overrides.txt --constraint constraints.txt --editable '.[all]' ||
        fail "the packages could not be installed (see above)${backend:+; without TORCH_BACKEND=$backend the default index serves}"
}

[[ $(wanted) != "$(cat "$stamp" 2>/dev/null || true)" ]] || exit 0
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Python 3.11 or newer is needed, '$python' is $("$python" --version 2>&1 || true): give another one, PYTHON=python3.12 make setup"
started=$SECONDS
install_system_packages
announce
obey_pip_settings
install "$(find_uv)"
[[ -z $backend ]] || say "$backend" >"$recorded"
wanted >"$stamp"
say "Set up in $((SECONDS - started)) s."
