#!/usr/bin/env bash
# Makes the secrets of the compose files, each a random text in a file of its own; one that is there stays.
#
#   bash deploy/compose/make_secrets.sh [FOLDER]      # default: deploy/compose/secrets, which git ignores
#
# The token of the bridge's account in CVAT is asked for (or read from standard input): CVAT makes it.

set -euo pipefail
folder=${1:-$(dirname "${BASH_SOURCE[0]}")/secrets}

random_text() { head -c 24 /dev/urandom | od -An -vtx1 | tr -d ' \n'; } # 48 characters; CVAT takes 64 at most

keep() { # $1: name, standard input: the secret
    cat >"$folder/$1.new"
    [[ -s $folder/$1.new ]] || { rm "$folder/$1.new"; printf '%s: left out, nothing was given\n' "$1"; return 0; }
    # The folder keeps others out; the file is read by the container's user, who is not the one that made it.
    chmod 644 "$folder/$1.new"
    mv "$folder/$1.new" "$folder/$1"
    printf '%s: made\n' "$1"
}

mkdir -p "$folder"
chmod 700 "$folder"
for name in bridge_secret bridge_token grafana_password mongo_password; do
    if [[ -s $folder/$name ]]; then printf '%s: is there\n' "$name"; else random_text | keep "$name"; fi
done
if [[ -s $folder/cvat_token ]]; then
    printf 'cvat_token: is there\n'
else
    [[ ! -t 0 ]] || printf 'Access token of the bridge'"'"'s account in CVAT, with write access (not shown): '
    IFS= read -rs token || true
    printf '%s' "$token" | keep cvat_token
fi
