#!/usr/bin/env bash
# Pack this function into a zip that Nuclio takes, and print the nuctl command; --help lists the options.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec bash "$here/../../../deploy/pack_function.sh" "$here" DINOv2_mmseg "$@"
