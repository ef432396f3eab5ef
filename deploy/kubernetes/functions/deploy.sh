#!/usr/bin/env bash
# Builds the functions, pushes their images and deploys them into a cluster.
#
#   bash deploy/kubernetes/functions/deploy.sh OVERLAY REGISTRY [NAME…]
#
#   OVERLAY    cpu, gpu, gpu-scale-to-zero, or a folder of your own with a kustomization.yaml
#   REGISTRY   where nuctl pushes images to and the cluster pulls them from, such as registry.example.org/reef
#   NAME…      only these functions
#
# kubectl renders each function's configuration, nuctl does the rest: Nuclio's controller passes over a function that
# `kubectl apply` made, since nobody has built its image. Called again it updates.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)

fail() { printf 'deploy.sh: %s\n' "$*" >&2; exit 1; }

[[ $# -ge 2 ]] || fail "expected OVERLAY REGISTRY [NAME…]; see the top of ${BASH_SOURCE[0]}"
for tool in kubectl nuctl; do
    command -v "$tool" >/dev/null || fail "$tool is not on the PATH: install it"
done
overlay=$1 registry=$2
shift 2
[[ -d $overlay ]] || overlay=$here/$overlay
[[ -f $overlay/kustomization.yaml ]] || fail "$overlay has no kustomization.yaml: expected cpu, gpu, gpu-scale-to-zero or a folder"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The functions lie in their modules, outside the overlay's folder: kustomize must be told that this is meant.
kubectl kustomize --load-restrictor LoadRestrictionsNone --output "$work" "$overlay"

wanted() { # $1: a name, then those asked for
    local name=$1
    shift
    [[ $# == 0 ]] || [[ " $* " == *" $name "* ]]
}

failed=()
for file in "$work"/*_nucliofunction_*.yaml; do
    name=${file##*_nucliofunction_}
    name=${name%.yaml}
    wanted "$name" "$@" || continue
    folder=$(find "$root" -path "*/deploy/$name/nuclio" -not -path '*/.*' -print -quit)
    gpu=()
    ! grep -q 'nvidia.com/gpu' "$file" || gpu=(--gpu)
    project=$(sed -n 's/^ *nuclio.io\/project-name: *//p' "$file" | head -1)
    nuctl create project "${project:-cvat}" --platform kube --namespace cvat >/dev/null 2>&1 || true # is there already
    bash "$folder/../deploy_as_zip.sh" "${gpu[@]}" &&
        nuctl deploy "$name" --platform kube --namespace cvat --project-name "${project:-cvat}" \
            --path "$folder" --file "$file" --registry "$registry" || failed+=("$name")
done
[[ ${#failed[@]} == 0 ]] || fail "not deployed: ${failed[*]}"
