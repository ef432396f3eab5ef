#!/usr/bin/env bash
# Pack a function, with all that its main.py imports, into a zip that Nuclio takes, and print the nuctl command.
# Called by the deploy_as_zip.sh beside each function, with its folder and the key of its weights in weights/index.yaml
# (MODULE or MODULE/TASK). Needs bash, tar and Python 3; nothing is installed and nothing is deployed.
set -euo pipefail

here=${1:?"the function's folder"}
key=${2:?"MODULE or MODULE/TASK"}
shift 2
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
name=$(basename "$here")
module=${key%%/*}
variant=function.yaml
weights=
out=

usage() {
    echo "usage: deploy_as_zip.sh [--gpu] [--weights FILE_OR_FOLDER] [--out FILE.zip]"
    echo "  --gpu      pack function-gpu.yaml"
    echo "  --weights  own weights (a .pt file or an OpenVINO folder, its card beside it); by default those that ship"
    echo "  --out      the zip to write; by default dist/$name.zip (dist/$name-gpu.zip)"
}

fail() {
    echo "deploy_as_zip.sh: $1" >&2
    exit 2
}

# The files beside the weights that its card names: layouts that are not built in.
copy_layouts() {
    local layout
    sed -n '/^layouts:/,/^[a-z_]*:[^:]*$/s/^- *//p' "$1" | tr -d "'\"" | while read -r layout; do
        case $layout in
            *.yaml | *.yml | *.npy | *.json)
                [ -f "$(dirname "$1")/$layout" ] || fail "$1 names the layout $layout, which is not beside it"
                cp "$(dirname "$1")/$layout" "$stage/weights/"
                ;;
        esac
    done
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

# What the YOLO modules share goes along with them only.
shared=()
if grep -rqE --include='*.py' '^(from|import) yolo\b' "$root/$module"; then shared=(yolo); fi
tar -C "$root" --exclude=tests --exclude=__pycache__ --exclude="$module/deploy" \
    -cf - quadrat ${shared[@]+"${shared[@]}"} "$module" deploy/__init__.py deploy/serving | tar -C "$stage" -xf -
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
    shipped=$(sed -n "s|^[[:space:]]*$key:[[:space:]]*\([^[:space:]#]*\).*|\1|p" "$index" | head -n 1)
    [ -n "$shipped" ] || fail "$index names no default weights of $key: name your own with --weights"
    weights="$root/weights/$shipped"
    cp "$index" "$stage/weights/"
fi
cp -R "$weights" "$stage/weights/"
card="${weights%.*}.card.yaml"
if [ -d "$weights" ]; then card="$weights.card.yaml"; fi
if [ -f "$card" ]; then
    cp "$card" "$stage/weights/"
    copy_layouts "$card"
fi

# Functions that CVAT cannot use name another project than cvat.
project=$(sed -n 's|^[[:space:]]*nuclio.io/project-name:[[:space:]]*\([^[:space:]#]*\).*|\1|p' "$stage/function.yaml")

rm -f "$out"
(cd "$stage" && python3 -m zipfile -c "$out" ./*)
echo "$out ($(($(wc -c < "$out") / 1024)) KiB)"
echo "Deploy it with:"
echo "  nuctl create project $project --platform local"
echo "  nuctl deploy $name --project-name $project --path \"$out\" --platform local$env_option"
