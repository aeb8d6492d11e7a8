#!/bin/sh
# The boxes of this repository in CI; any runner can call it. It needs git, cargo and a C compiler.
#
#   ci/boxes.sh check          every profile is right, and its lock fits it
#   ci/boxes.sh build          every image with all that lies beside it, in out/, built once more and compared
#   ci/boxes.sh diff COMMIT    what changed since that commit, as Markdown
#   ci/boxes.sh update         newer packages and images into every lock; what moved, as Markdown
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

before=
trap '[ -z "$before" ] || git worktree remove --force "$before"' EXIT

case ${1-} in
check)
	for profile in $(boxes); do
		boxwright check "$profile"
		boxwright lock "$profile" --check
	done
	;;
build)
	for profile in $(boxes); do
		boxwright build "$profile"
		boxwright verify "out/$(basename "$profile" .toml).img"
	done
	# What a cache that is kept from run to run need not keep.
	boxwright cache prune --keep 14
	;;
diff)
	before=$(mktemp -d)/before
	git worktree add --quiet --detach "$before" "${2:?which commit is it to be compared with?}"
	for profile in $(boxes); do
		echo "## $(basename "$profile" .toml)"
		echo
		if [ -e "$before/$profile" ]; then
			boxwright diff "$before/$profile" "$profile" --markdown
		else
			echo "This box is new."
		fi
		echo
	done
	;;
update)
	for profile in $(boxes); do
		old=$(mktemp)
		cp "${profile%.toml}.lock" "$old.lock"
		boxwright lock "$profile" --update >&2
		echo "## $(basename "$profile" .toml)"
		echo
		boxwright diff "$old.lock" "${profile%.toml}.lock" --markdown
		echo
	done
	;;
*)
	sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac
