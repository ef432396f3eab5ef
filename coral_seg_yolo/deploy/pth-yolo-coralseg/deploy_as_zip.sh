#!/usr/bin/env bash
# Pack this function, with all that its main.py imports, into a zip that Nuclio takes, and print the nuctl command.
# Needs bash, tar and Python 3; nothing is installed and nothing is deployed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
name=$(basename "$here")
variant=function.yaml
weights=
out=

usage() {
    echo "usage: $(basename "$0") [--gpu] [--weights FILE_OR_FOLDER] [--out FILE.zip]"
    echo "  --gpu      pack function-gpu.yaml"
    echo "  --weights  own weights (a .pt file or an OpenVINO folder, its card beside it); by default those that ship"
    echo "  --out      the zip to write; by default dist/$name.zip (dist/$name-gpu.zip)"
}

fail() {
    echo "$(basename "$0"): $1" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
        --gpu) variant=function-gpu.yaml ;;
        --weights) weights=${2:?"--weights needs a path"}; shift ;;
        --out) out=${2:?"--out needs a path"}; shift ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; fail "unknown option $1" ;;
    esac
    shift
done

if [ -z "$out" ]; then
    out="$root/dist/$name.zip"
    if [ "$variant" = function-gpu.yaml ]; then out="$root/dist/$name-gpu.zip"; fi
fi
mkdir -p "$(dirname "$out")"
out=$(cd "$(dirname "$out")" && pwd)/$(basename "$out")

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

tar -C "$root" --exclude=tests --exclude=__pycache__ --exclude=coral_seg_yolo/deploy \
    -cf - quadrat yolo coral_seg_yolo deploy/__init__.py deploy/serving | tar -C "$stage" -xf -
cp "$here/nuclio/main.py" "$stage/main.py"
cp "$here/nuclio/$variant" "$stage/function.yaml"
cp "$root/LICENSE" "$stage/LICENSE"

mkdir "$stage/weights"
env_option=
if [ -n "$weights" ]; then
    weights=${weights%/}
    [ -e "$weights" ] || fail "$weights: no such weights; give a .pt file or an OpenVINO folder"
    env_option=" --env MODEL_PATH=/opt/nuclio/weights/$(basename "$weights")"
else
    index="$root/weights/index.yaml"
    [ -f "$index" ] || fail "$index is missing, so no weights ship: name your own with --weights"
    shipped=$(sed -n 's/^[[:space:]]*coral_seg_yolo:[[:space:]]*\([^[:space:]#]*\).*/\1/p' "$index" | head -n 1)
    [ -n "$shipped" ] || fail "$index names no default weights of coral_seg_yolo: name your own with --weights"
    weights="$root/weights/$shipped"
    cp "$index" "$stage/weights/"
fi
cp -R "$weights" "$stage/weights/"
card="${weights%.*}.card.yaml"
if [ -d "$weights" ]; then card="$weights.card.yaml"; fi
if [ -f "$card" ]; then cp "$card" "$stage/weights/"; fi

rm -f "$out"
(cd "$stage" && python3 -m zipfile -c "$out" ./*)
echo "$out ($(($(wc -c < "$out") / 1024)) KiB)"
echo "Deploy it with:"
echo "  nuctl create project cvat --platform local"
echo "  nuctl deploy $name --project-name cvat --path \"$out\" --platform local$env_option"
