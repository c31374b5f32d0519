#!/usr/bin/env bash
# Has V8 compile the programs, by running each once until it is ready: precompile.sh FOLDER. Beside gantryd.js and gantry.js
# there is then what start.js (board/common/rootfs/usr/lib/gantry) gives to V8.
set -euo pipefail
folder=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/gantry.toml" <<EOF
[bridge]
id = "precompile"
state_dir = "$work/state"
[control]
url = "mqtt://127.0.0.1:1"
EOF
ln -s "$folder/start.js" "$work/gantryd"
ln -s "$folder/start.js" "$work/gantry"
GANTRY_PRECOMPILE=$folder/gantryd.js.cache node "$work/gantryd" --config "$work/gantry.toml" >"$work/log" &
daemon=$!
for _ in $(seq 200); do
  grep -q '"ready"' "$work/log" && break
  kill -0 $daemon 2>/dev/null || break
  sleep 0.05
done
GANTRY_PRECOMPILE=$folder/gantry.js.cache node "$work/gantry" --socket "$work/state/gantry.sock" show system >/dev/null
kill -TERM $daemon
wait $daemon || { cat "$work/log" >&2; exit 1; }
[ -s "$folder/gantryd.js.cache" ] && [ -s "$folder/gantry.js.cache" ]
