#!/usr/bin/env bash
# Makes the secrets of the bridge in files/ beside this script, which git ignores; one that is there stays.
# The token of the bridge's account in CVAT is asked for (or read from standard input): CVAT makes it.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bash "$here/../../compose/make_secrets.sh" "$here/files"
cd "$here/files"
if [[ ! -s redis_auth ]]; then
    password=$(head -c 24 /dev/urandom | od -An -vtx1 | tr -d ' \n')
    printf 'requirepass %s\n' "$password" >redis_auth
    printf 'redis://:%s@bridge-redis:6379/0' "$password" >redis_url
    printf 'redis_auth, redis_url: made\n'
fi
