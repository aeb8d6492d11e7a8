# shellcheck shell=sh disable=SC2013,SC2034,SC2154
# What the box says before it has a system: on every console, in the kernel's log, and at last on the ESP.

# Says one line.
say() {
	echo "<6>boxwright: $*" >/dev/kmsg
	for console in $(cat /sys/class/tty/console/active); do
		echo "boxwright: $*" >"/dev/$console"
	done
}

# Leaves a note that the running box shows in its status.
note() {
	say "$*"
	mkdir -p /run/boxwright
	echo "$*" >>/run/boxwright/notes
}

# Says what is missing, leaves it on the ESP for whoever takes the disk out, and restarts.
fail() {
	delay=${panic:-60}
	case $delay in
	"" | *[!0-9]*) delay=60 ;;
	esac
	say "cannot start: $*"
	say "restarting in $delay seconds"
	if [ -n "${esp:-}" ]; then
		mkdir -p /run/boxwright/esp
		if mount -t vfat -o umask=077 "$esp" /run/boxwright/esp 2>/dev/null; then
			mkdir -p /run/boxwright/esp/boxwright
			printf 'release %s could not start:\r\n%s\r\n' "${release:-}" "$*" \
				>/run/boxwright/esp/boxwright/status.txt
			umount /run/boxwright/esp
		fi
	fi
	sync
	sleep "$delay"
	reboot -f
	# A kernel that panics restarts too.
	exit 1
}
