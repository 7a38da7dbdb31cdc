#!/usr/bin/env bash
# Build the message packages of interfaces/ into an environment whose ROS 2 comes from wheels, where no
# package manager has them: the stand-ins for arm drivers and their tests speak these types. On a
# machine with ROS they come with the drivers of the arms, and nothing is built; nor where it was done.
#
#   scripts/build_messages.sh .venv      needs a C++ compiler; two to four minutes
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly ENVIRONMENT=$(realpath "$1")
readonly STAMP=$ENVIRONMENT/messages.stamp
mark=$(find interfaces scripts/build_messages.sh -type f -exec sha256sum {} + | sort | sha256sum)
if "$ENVIRONMENT/bin/python" -c 'import control_msgs.msg, interbotix_xs_msgs.srv, tf2_msgs.msg' 2>/dev/null &&
    [[ ! -f $STAMP || $(<"$STAMP") == "$mark" ]]; then exit; fi
echo "building messages that no wheel has (2 to 4 minutes)"
readonly WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
readonly TOOLS=$WORK/tools

# The generators want another empy than the rest, so they live apart and are thrown away.
"$ENVIRONMENT/bin/python" -m venv "$TOOLS"
grep -vE '^(empy|setuptools|lark)==' constraints.txt >"$WORK/constraints.txt"
"$TOOLS/bin/python" -m pip install --quiet --disable-pip-version-check \
    --constraint "$WORK/constraints.txt" --requirement interfaces/requirements.txt \
    ros-jazzy-rclpy ros-jazzy-rmw-fastrtps-cpp ros-jazzy-common-interfaces

# The wheels' CMake files name the interpreter that they were made with.
include=$("$TOOLS/bin/python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
packages=$("$TOOLS/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
find "$TOOLS/share" -name '*.cmake' -exec sed -i -E \
    -e "s#/opt/python/cp3[0-9]+-cp3[0-9]+/include/python[0-9.]+#$include#g" \
    -e "s#/opt/python/cp3[0-9]+-cp3[0-9]+/lib/python[0-9.]+/site-packages#$packages#g" {} +

export AMENT_PREFIX_PATH=$TOOLS PATH=$TOOLS/bin:$PATH
for package in interfaces/*/; do
    build=$WORK/$(basename "$package")
    cmake --log-level=WARNING -S "$package" -B "$build" -DCMAKE_INSTALL_PREFIX="$ENVIRONMENT" \
        -DCMAKE_PREFIX_PATH="$TOOLS" -DPython3_EXECUTABLE="$TOOLS/bin/python" \
        -DBUILD_TESTING=OFF -DCMAKE_BUILD_TYPE=Debug
    cmake --build "$build" --parallel 2 >"$WORK/log" || { tail -n 30 "$WORK/log" >&2 && exit 1; }
    cmake --install "$build" >/dev/null
done
echo "$mark" >"$STAMP"
