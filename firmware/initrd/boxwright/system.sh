# shellcheck shell=sh disable=SC2013,SC2034,SC2154
# The system partition: repaired and mounted, never formatted. Without it the box comes up on a tmpfs and says so.

# Where it is mounted: systemd leaves mounts below /run/initramfs alone until the very end.
system=/run/initramfs/system

# Mounts the system partition, or sets degraded to the reason why it cannot be used.
open_system() {
	degraded=
	mkdir -p "$system"
	node=$(partition_of "$TYPE_SYSTEM")
	if [ -z "$node" ]; then
		degraded="the system partition is missing from $disk"
	else
		node=$(device_of system "$node")
		repair_system "$node"
		mount -t ext4 -o noatime "$node" "$system" || degraded="the system partition $node cannot be mounted"
	fi
	# This takes no room: a partition that is full can be used.
	if [ -z "$degraded" ] && ! touch "$system"; then
		degraded="the system partition $node cannot be written"
		umount "$system"
	fi
	[ -n "$degraded" ] || claim_system
	if [ -n "$degraded" ]; then
		note "$degraded; it was left as it is. The box starts without its services and forgets everything that is changed now"
		echo "$degraded" >/run/boxwright/degraded
		mount -t tmpfs -o mode=0755,size=50% tmpfs "$system" || fail "no memory for a temporary system"
	fi
}

# Removes what a copy or a download that was cut short has left, and says whose the partition is if it does not say so.
claim_system() {
	rm -rf "$system"/uppers/*/yesterday.new "$system"/uppers/*/upper/var/cache/apt/archives/*.deb
	[ "$(cat "$system/box" 2>/dev/null)" != "$box" ] || return 0
	if ! { echo "$box" >"$system/.box" && mv "$system/.box" "$system/box"; } 2>/dev/null; then
		note "the system partition is full: it does not say yet that it is of $box"
	fi
}

# Checks the filesystem on $1: first what is safe, then with a yes to everything. Sets status to 4 or more if it was damaged.
repair_system() {
	status=0
	e2fsck -p "$1" >/run/boxwright/fsck 2>&1 || status=$?
	[ "$status" -ge 4 ] || return 0
	note "the system partition was damaged and is being repaired"
	e2fsck -y "$1" >/run/boxwright/fsck 2>&1 || :
}

# Sets uppers to the folder of this release's upper layer. Each boot is counted there; the health check resets the
# count. The third boot in a row that never got good has its patches set aside.
choose_upper() {
	uppers=$system/uppers/$release
	mkdir -p "$uppers"
	boots=$(cat "$uppers/boots" 2>/dev/null || echo 0)
	case $boots in
	"" | *[!0-9]*) boots=0 ;;
	esac
	if [ "$boots" -ge 3 ] && [ -d "$uppers/upper" ]; then
		rm -rf "$uppers/aside"
		mv "$uppers/upper" "$uppers/aside"
		if [ -d "$uppers/yesterday" ]; then
			mv "$uppers/yesterday" "$uppers/upper"
			note "the box did not become good $boots times in a row: the patches of yesterday are used"
		else
			note "the box did not become good $boots times in a row: it starts without patches"
		fi
		boots=0
	fi
	if ! { echo $((boots + 1)) >"$uppers/.boots" && mv "$uppers/.boots" "$uppers/boots"; } 2>/dev/null; then
		note "the system partition is full: this start is not counted, and patches that break the box are not set aside"
	fi
	mkdir -p "$uppers/upper" "$uppers/work"
	chmod 0755 "$uppers/upper"
	sync
}
