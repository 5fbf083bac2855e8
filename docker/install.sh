#!/bin/sh
# Install negmine from this checkout into a virtual environment.
#
#   docker/install.sh VENV EXTRAS [--editable]      e.g. docker/install.sh .venv cpu,offline,dev --editable
#
# `make install` and both images call this, so that all of them get the versions in constraints.txt.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
venv=$1
extras=$2
shift 2
python=${PYTHON:-python3}

"$python" - <<'CHECK' || exit 2
import sys
if sys.version_info < (3, 11):
    sys.exit(f"negmine needs Python 3.11 or newer, this is {sys.version.split()[0]}: set PYTHON=python3.11")
CHECK

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --constraint "$here/constraints.txt" "$@" "$here[$extras]"
