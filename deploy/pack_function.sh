#!/usr/bin/env bash
# Pack a function for Nuclio. Called by the deploy_as_zip.sh beside each function, with its folder and the key of its
# weights in weights/index.yaml; deploy/pack.py does it, with the project's Python where there is one, else with any.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$root/.venv/bin/python
[ -x "$python" ] || python=python3
PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} exec "$python" -m deploy.pack "$@"
