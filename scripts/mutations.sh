#!/usr/bin/env bash
# Mutation test. Inserts the fault of each line of scripts/mutations.tsv, switched off, builds once, and then switches on
# one fault at a time. The test that the line names must pass without the fault and fail with it.
#
#   scripts/mutations.sh              all mutations
#   scripts/mutations.sh M04 M08      only these
#
# The script works in a temporary worktree of the last commit, with a separate build unless CARGO_TARGET_DIR is set. With
# MUTATE_HERE=1 it works in this worktree, which rebuilds less. The worktree must have no changes and is restored at the
# end.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
list=$(mktemp)
cp "$here/scripts/mutations.tsv" "$list"
wanted="^($(IFS='|'; echo "${*:-M[0-9]+}"))$(printf '\t')"
rows() { grep -E "$wanted" "$list"; }
if [ -n "${MUTATE_HERE:-}" ]; then
  tree=$here
  [ -z "$(git -C "$tree" status --porcelain --untracked-files=no)" ] || { echo "$tree has uncommitted changes" >&2; exit 2; }
  trap 'git -C "$tree" checkout -q -- .; rm -f "$list"' EXIT
else
  tree=$(mktemp -d)/cardea
  trap 'git -C "$here" worktree remove --force "$tree" >/dev/null 2>&1 || true; rm -rf "$(dirname "$tree")" "$list"' EXIT
  git -C "$here" worktree add -q --detach "$tree" HEAD
fi

while IFS=$'\t' read -r id file line from to _; do
  ID=$id LINE=$line FROM=$from TO=$to perl -0pi -e '
    my ($id, $line, $from, $to) = @ENV{qw(ID LINE FROM TO)};
    my $found = () = /\Q$line\E/g;
    die "$id: `$line` occurs $found times in $ARGV instead of once\n" if $found != 1;
    my $new = $line;
    my $at = index($new, $from);
    die "$id: `$from` is not in `$line`\n" if $at < 0;
    substr($new, $at, length $from) =
      "(if std::env::var_os(\"MUTANT\").is_some_and(|on| on == \"$id\") { $to } else { $from })";
    s/\Q$line\E/$new/;
  ' "$tree/$file"
done < <(rows)

cd "$tree"
built=$(cargo test -q --workspace --lib --test it --no-run 2>&1) || { echo "$built" >&2; exit 2; } # the build warns about parentheses
run() { cargo test -q --workspace --no-fail-fast --lib --test it -- "$1" 2>&1 || true; }
bad=0
while IFS=$'\t' read -r id file _ from to test what; do
  without=$(unset MUTANT; run "$test" < /dev/null)
  with=$(export MUTANT=$id; run "$test" < /dev/null)
  if ! grep -qE '[1-9][0-9]* passed' <<<"$without" || grep -qE '[1-9][0-9]* failed' <<<"$without"; then
    word='NO TEST' bad=1
  elif grep -qE '[1-9][0-9]* failed' <<<"$with"; then
    word=caught
  else
    word=SURVIVED bad=1
  fi
  printf '%-9s %s  %s: `%s` -> `%s`  (%s)\n' "$word" "$id" "$file" "$from" "$to" "$test"
done < <(rows)
exit $bad
