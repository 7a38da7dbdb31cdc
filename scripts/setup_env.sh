#!/usr/bin/env bash
# Make .venv with everything that the demo, the tests and the linters need. Run it again at any time:
# it does nothing when nothing changed. Pip's own environment variables (PIP_INDEX_URL, ...) apply.
#
#   PYTHON=/path/to/python3   the interpreter to build on; otherwise the first of python3, 3.12,
#                             3.11, 3.13, 3.10 that will do, or that of a sourced ROS 2
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly ROS_WHEELS=(ros-jazzy-rclpy ros-jazzy-rmw-fastrtps-cpp ros-jazzy-common-interfaces)
# Without their dependencies: gym-aloha for the robot's meshes, since its code never runs here; viser since
# it asks for older versions of rich and websockets than it runs with. What it needs is in requirements-dev.txt.
readonly ALONE=(gym-aloha viser)
# library : Debian package that has it
readonly LIBRARIES=(libEGL.so.1:libegl1 libGL.so.1:libgl1 libGLESv2.so.2:libgles2
    libusb-1.0.so.0:libusb-1.0-0)
readonly LOG=.venv/setup.log
readonly STAMP=.venv/setup.stamp

say() { printf '%s\n' "$*"; }
fail() { printf 'setup: %s\n' "$@" >&2; exit 1; }
has_ros() { [[ -n ${ROS_DISTRO:-} && -n ${AMENT_PREFIX_PATH:-} ]]; }

# What the environment is made from; another folder, ROS 2 or interpreter makes another one.
fingerprint() {
    {
        cat constraints.txt requirements*.txt package.xml setup.py setup.cfg scripts/setup_env.sh
        ls cosmos_policy_ros/nodes/*.py
        sha256sum models/*/transformer/*.safetensors
        say "$PWD" "${PYTHON:-}" "${ROS_DISTRO:-}"
    } | sha256sum | cut -d ' ' -f 1
}

# Print the path of a usable interpreter: Python 3.10 to 3.13, or any since 3.10 that has rclpy.
find_python() {
    local name ros=0 names=(python3 /usr/bin/python3 python3.12 python3.11 python3.13 python3.10)
    [[ -z ${PYTHON:-} ]] || names=("$PYTHON")
    ! has_ros || ros=1
    for name in "${names[@]}"; do
        "$name" - "$ros" 2>/dev/null <<'PY' && return
import sys
ros = sys.argv[1] == '1'
if ros:
    import rclpy
assert (3, 10) <= sys.version_info < ((4, 0) if ros else (3, 14))
print(getattr(sys, '_base_executable', None) or sys.executable)  # not one inside another venv
PY
    done
    if has_ros; then
        fail "ROS 2 $ROS_DISTRO is sourced, but no Python here can import its rclpy:" \
            "    $("${names[0]}" -c 'import rclpy' 2>&1 | tail -n 1)" \
            "Install it (Debian, Ubuntu: apt-get install ros-$ROS_DISTRO-rclpy) or name the" \
            "interpreter it was made for: make setup PYTHON=/path/to/python3"
    fi
    fail "no Python 3.10 to 3.13 found (${PYTHON:-python3} is $("${PYTHON:-python3}" -V 2>&1 | tail -n 1))." \
        "Install one (Debian, Ubuntu: apt-get install python3 python3-venv) or name one:" \
        "make setup PYTHON=/path/to/python3"
}

check_machine() {
    [[ $(uname -s) == Linux ]] || fail "this is $(uname -s); the stack runs on Linux only."
    has_ros || [[ $(uname -m) == x86_64 ]] || fail \
        "this machine is $(uname -m), and the ROS 2 wheels exist for x86-64 only." \
        "Install ROS 2 (Humble, Jazzy or later) from docs.ros.org, then" \
        "source /opt/ros/<distro>/setup.bash and run this again: it will use that one."
}

# Print the Debian packages whose libraries this machine lacks.
missing_packages() {
    local entry
    for entry in "${LIBRARIES[@]}"; do
        "$1" -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1])' "${entry%%:*}" 2>/dev/null ||
            say "${entry##*:}"
    done
    # Mesa's driver, which draws where there is no GPU; NVIDIA brings its own
    "$1" -c 'import ctypes; ctypes.CDLL("libEGL_nvidia.so.0")' 2>/dev/null ||
        compgen -G '/usr/lib*/dri/*_dri.so' >/dev/null ||
        compgen -G '/usr/lib*/*/dri/*_dri.so' >/dev/null || say libgl1-mesa-dri
    "$1" -c 'import ensurepip' 2>/dev/null ||
        "$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'
}

install_packages() {
    local missing=("$@") root=()
    [[ $EUID -eq 0 ]] || root=(sudo -n)
    if command -v apt-get >/dev/null && { [[ $EUID -eq 0 ]] || sudo -n true 2>/dev/null; }; then
        say "installing ${missing[*]}"
        "${root[@]}" apt-get update -q >>"$log" 2>&1 || true  # an old list may still do
        "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -q --no-install-recommends "${missing[@]}" >>"$log" 2>&1 && return
        tail -n 15 "$log" >&2
        fail "apt-get could not install ${missing[*]} (see above)."
    fi
    command -v apt-get >/dev/null || fail \
        "this system lacks what Debian calls ${missing[*]}, and it has no apt-get." \
        "Install EGL, GL, GLES (Mesa) and Python's venv with its own package manager, then this."
    fail "these system packages are missing: ${missing[*]}" \
        "They need root, which this user does not have without a password. Run" \
        "    sudo apt-get install --no-install-recommends ${missing[*]}" \
        "and then this again."
}

# Print which interpreter an environment is of, and whether it sees the system's packages.
kind_of() {
    "$1" -c 'import sys; print(sys.version_info[:2], sys.base_prefix, sys.argv[1])' "$2"
}

make_venv() {
    local python=$1 system=false
    ! has_ros || system=true
    if [[ -x .venv/bin/python ]]; then
        local cfg old
        cfg=$(sed -n 's/^include-system-site-packages = //p' .venv/pyvenv.cfg)
        old=$(kind_of .venv/bin/python "$cfg" 2>/dev/null) || old=broken
        [[ $old != "$(kind_of "$python" "$system")" ]] || return 0
    fi
    local options=(--clear)
    [[ $system == false ]] || options+=(--system-site-packages)
    "$python" -m venv "${options[@]}" .venv >>"$log" 2>&1 || {
        tail -n 15 "$log" >&2
        fail "$python could not make .venv (see above)."
    }
}

# Run pip, show what it is at, and keep all of it in the log.
pip_install() {
    local line width=$((${COLUMNS:-80} - 4)) status=0
    .venv/bin/python -m pip install --disable-pip-version-check --constraint constraints.txt "$@" 2>&1 |
        while IFS= read -r line; do
            say "$line" >>"$log"
            [[ -t 1 && $line =~ ^\ *(Collecting|Downloading|Building|Installing) ]] || continue
            printf '\r\033[K  %s' "${line:0:width}"
        done || status=1
    [[ ! -t 1 ]] || printf '\r\033[K'
    [[ $status == 0 ]] || {
        tail -n 15 "$log" >&2
        fail "pip could not install the packages (see above; all of it in $LOG)." \
            "It needs a package index within reach; pip's PIP_INDEX_URL and PIP_PROXY apply."
    }
}

keep_log() {
    [[ ! -d .venv ]] || cp "$log" "$LOG"
    rm -f "$log"
}

# Fail here, with a reason, rather than in the middle of the demo.
check_result() {
    local modules="cv2, diffusers, mujoco, rclpy, rosbags, torch"
    .venv/bin/python -c "import $modules" >>"$log" 2>&1 || {
        tail -n 15 "$log" >&2
        fail "the packages are installed but do not load (see above)."
    }
    MUJOCO_GL=egl .venv/bin/python -c 'import mujoco; mujoco.GLContext(8, 8)' >>"$log" 2>&1 || {
        tail -n 15 "$log" >&2
        fail "MuJoCo cannot draw through EGL (see above); on Debian or Ubuntu the packages" \
            "libegl1 libgl1 libgles2 libgl1-mesa-dri or NVIDIA's driver provide what it needs."
    }
}

# The committed networks in the format that the fastest runtime here reads.
export_networks() {
    .venv/bin/cosmos-policy export --queries 2 >>"$log" 2>&1 ||
        say "the networks could not be exported (see $LOG); torch runs them, slower"
}

main() {
    local python mark packages
    mark=$(fingerprint)
    if [[ -f $STAMP && $(<"$STAMP") == "$mark" && -x .venv/bin/cosmos-policy ]]; then return; fi
    check_machine
    python=$(find_python)
    log=$(mktemp)
    trap keep_log EXIT
    mapfile -t packages < <(missing_packages "$python")
    ((${#packages[@]} == 0)) || install_packages "${packages[@]}"
    say "setting up .venv on $("$python" -V) (3 to 7 minutes)"
    make_venv "$python"
    rm -f "$STAMP"
    local wanted=(--requirement requirements.txt --requirement requirements-dev.txt)
    has_ros || wanted+=("${ROS_WHEELS[@]}")
    pip_install "${wanted[@]}"
    pip_install --no-deps "${ALONE[@]}"
    pip_install --no-deps --no-build-isolation --editable .
    check_result
    export_networks
    say "$mark" >"$STAMP"
    say "ready after $SECONDS s: .venv"
}

main
