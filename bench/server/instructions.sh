#!/usr/bin/env bash
# Counts the user-space instructions of the server for one request, with callgrind. The count does not depend on the load
# of the machine. Needs valgrind, and builds with symbols:
#
#     CARGO_PROFILE_RELEASE_STRIP=none cargo build --release -p cardea -p cardea-bench-server
#     bench/server/instructions.sh "completion, auth"        # or another row with one kind of request
#
# The count begins ten seconds after the start, lasts ten seconds, and is divided by the number of request events. A busy
# machine needs more time for the start: `WARM=30 bench/server/instructions.sh …`.
set -euo pipefail
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
target=${CARGO_TARGET_DIR:-target}/release
cat > "$here/cardea" <<RUN
#!/usr/bin/env bash
case " \$* " in
    *" serve "*) exec valgrind --tool=callgrind --callgrind-out-file=$here/out "$(realpath "$target/cardea")" "\$@" ;;
    *) exec "$(realpath "$target/cardea")" "\$@" ;;
esac
RUN
chmod +x "$here/cardea"
BENCH_BINARY=$here/cardea "$target/cardea-bench-server" "${1:?which row?}" > "$here/bench" 2>&1 &
bench=$!
until server=$(pgrep -f "callgrind-out-file=$here/out" | head -1) && [ -n "$server" ]; do sleep 0.1; done
sleep "${WARM:-10}"
callgrind_control -z "$server" > /dev/null 2>&1
sleep 10
callgrind_control -d "$server" > /dev/null 2>&1
sleep 1
kill "$bench" "$server" 2> /dev/null || true
awk '
    /^c?fn=\([0-9]+\) / { match($0, /\([0-9]+\)/); names[substr($0, RSTART, RLENGTH)] = $0 }
    /^cfn=/ { match($0, /\([0-9]+\)/); called = substr($0, RSTART, RLENGTH) }
    /^calls=/ { split($1, count, "="); if (names[called] ~ /Observe>::request$/) requests += count[2]; skip = 1; next }
    /^[0-9+*-]/ { if (!skip) all += $2; skip = 0 }
    END { if (!requests) { print "no request was counted"; exit 1 }
          printf "%d instructions for each of %d requests\n", all / requests, requests }
' "$here/out.1"
