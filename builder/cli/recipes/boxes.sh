#!/bin/sh
# The boxes of this repository in CI; any runner can call it. It needs git, cargo and a C compiler.
#
#   ci/boxes.sh check           every profile is right, and its lock fits it
#   ci/boxes.sh build           every image with all that lies beside it, in out/, built once more and compared
#   ci/boxes.sh diff COMMIT     what changed since that commit, as Markdown; after `build`, with the CVEs
#   ci/boxes.sh update          newer packages and images into every lock; what moved is built and compared as by
#                               `build`, and told as Markdown
#   ci/boxes.sh comment WHERE [BYTES]
#                               of such Markdown, on standard input, as many whole boxes as a comment of GitHub's takes;
#                               if that is not all of them, it ends with WHERE the rest is
#
# BOXWRIGHT names the program, if it is not built here. BOXWRIGHT_CACHE is a folder that may be kept from run to run.
set -eu
cd "$(dirname "$0")/.."

if [ -z "${BOXWRIGHT-}" ]; then
	cargo build --quiet --release --locked
	BOXWRIGHT=$PWD/out/target/release/boxwright
fi

boxwright() {
	"$BOXWRIGHT" ${BOXWRIGHT_CACHE:+--cache "$BOXWRIGHT_CACHE"} "$@"
}

# Profiles that have a lock are the boxes; the others are examples.
boxes() {
	for lock in profiles/*.lock; do
		[ ! -e "$lock" ] || echo "${lock%.lock}.toml"
	done
}

# Packed as well, for those who keep or fetch images; `verify` reads the raw one.
build() {
	for profile in "$@"; do
		boxwright build "$profile" --compress
		boxwright verify "out/$(basename "$profile" .toml).img"
	done
	# What a cache that is kept from run to run need not keep.
	boxwright cache prune --keep 14
}

scratch=$(mktemp -d)
before=$scratch/before
trap '[ ! -e "$before" ] || git worktree remove --force "$before"; rm -r "$scratch"' EXIT

case ${1-} in
check)
	for profile in $(boxes); do
		boxwright check "$profile"
		boxwright lock "$profile" --check
	done
	;;
build)
	# Each word is a profile.
	# shellcheck disable=SC2046
	build $(boxes)
	;;
diff)
	git worktree add --quiet --detach "$before" "${2:?which commit is it to be compared with?}"
	for profile in $(boxes); do
		printf '## %s\n\n' "$(basename "$profile" .toml)"
		if [ -e "$before/$profile" ] && [ -e "$before/${profile%.toml}.lock" ]; then
			boxwright diff "$before/$profile" "$profile" --markdown
		else
			echo "This box is new."
		fi
		echo
	done
	for lock in "$before"/profiles/*.lock; do
		name=$(basename "$lock" .lock)
		if [ -e "$lock" ] && [ ! -e "profiles/$name.lock" ]; then
			printf '## %s\n\nThis box is gone.\n\n' "$name"
		fi
	done
	;;
update)
	moved=
	for profile in $(boxes); do
		lock=${profile%.toml}.lock
		cp "$lock" "$scratch"
		boxwright lock "$profile" --update >&2
		cmp -s "$lock" "$scratch/${lock##*/}" || moved="$moved $profile"
	done
	if [ -z "$moved" ]; then
		echo "Nothing moved."
		exit
	fi
	# Nobody need look at what cannot be built. And `diff` reads CVEs in the new packages, as far as the cache has them:
	# it has them once the boxes are built.
	# shellcheck disable=SC2086
	build $moved >&2
	printf 'Built and verified: each of these boxes was built from its new lock, and once more, with the same bytes.\n\n'
	for profile in $moved; do
		lock=${profile%.toml}.lock
		printf '## %s\n\n' "$(basename "$profile" .toml)"
		boxwright diff "$scratch/${lock##*/}" "$lock" --markdown
		echo
	done
	;;
comment)
	# GitHub takes 65,536 characters and refuses the whole comment if it has more; a byte is at most one. `diff` keeps one
	# box below that, not all of them together. Only the heading of a box starts a line with `## `: diffs and tables have
	# a sign before it.
	LC_ALL=C awk -v rest="${2:?where is the rest?}" -v most="${3:-65536}" '
		BEGIN { size = length(rest) + 80 } # the last line
		function put() {
			if (left || size + length(box) > most) left++
			else { size += length(box); printf "%s", box }
			box = ""
		}
		/^## / { put() }
		{ box = box $0 "\n" }
		END {
			put()
			if (left) print "**Too long for a comment: " left " more.** All of it is in " rest "."
		}
	'
	;;
*)
	sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac
