# shellcheck shell=sh
# The room on the system partition.

# Whether $1 KiB fit there besides what patches need: downloads, and the new files next to those that they replace. On a small
# partition that is an eighth of it. What only root could still take counts as taken.
fits_beside_patches() {
	df --output=size,avail --block-size=1K /var/lib/boxwright | awk -v needs="$1" '
		NR == 2 { least = $1 / 8 < 524288 ? $1 / 8 : 524288; fits = $2 >= needs + least }
		END { exit !fits }'
}
