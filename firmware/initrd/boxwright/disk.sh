# shellcheck shell=sh disable=SC2013,SC2034,SC2154
# Which disk this is. GUIDs are the same on every disk written from one image, so nothing may be guessed.

# Sets box, release, version, encrypt and the root hashes from the kernel command line.
read_command_line() {
	box='' release='' version='' encrypt='' base_hash='' profile_hash='' images_hash=''
	for word in $(cat /proc/cmdline); do
		case $word in
		boxwright.box=*) box=${word#*=} ;;
		boxwright.release=*) release=${word#*=} ;;
		boxwright.version=*) version=${word#*=} ;;
		boxwright.encrypt=*) encrypt=${word#*=} ;;
		boxwright.base=*) base_hash=${word#*=} ;;
		boxwright.profile=*) profile_hash=${word#*=} ;;
		boxwright.images=*) images_hash=${word#*=} ;;
		esac
	done
	for name in box release base_hash profile_hash; do
		eval "[ -n \"\$$name\" ]" || fail "the kernel command line has no boxwright.${name%_hash}="
	done
}

# The GUID of the partition that systemd-boot was started from, in lower case.
loader_partition() {
	variable=/sys/firmware/efi/efivars/LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f
	[ -d /sys/firmware/efi ] || fail "this machine did not start through UEFI; switch legacy (CSM) boot off in its setup"
	[ -e "$variable" ] || mount -t efivarfs efivarfs /sys/firmware/efi/efivars 2>/dev/null || :
	[ -e "$variable" ] || fail "systemd-boot left no LoaderDevicePartUUID, so the disk that was started is unknown"
	# Four bytes of attributes, then UTF-16.
	tail -c +5 "$variable" | tr -d '\000' | tr 'A-F' 'a-f'
}

# The partitions with the GUID $1, as kernel names, one a line.
partitions_with_guid() {
	for entry in $(grep -ls "^E:ID_PART_ENTRY_UUID=$1\$" /run/udev/data/b*); do
		node=$(readlink "/sys/dev/block/${entry##*/b}") || continue
		echo "${node##*/}"
	done
}

# Sets disk (/dev/…), esp and sys (the disk's folder in /sys).
find_disk() {
	guid=$(loader_partition)
	tries=0
	until found=$(partitions_with_guid "$guid") && [ -n "$found" ]; do
		tries=$((tries + 1))
		[ "$tries" -lt 240 ] || fail "no disk appeared within 60 seconds that has the partition $guid, from which the firmware started"
		sleep 0.25
		udevadm settle --timeout=10
	done
	use_partition "$found"
	# A disk that keeps the GUIDs of its image may have a twin that is slow to appear, as USB disks are.
	if first_boot && [ -n "$(ls /sys/bus/usb/devices 2>/dev/null)" ]; then
		sleep 5
		udevadm settle --timeout=30
		found=$(partitions_with_guid "$guid")
		use_partition "$found"
	fi
}

# Takes the partition $1, if that is one partition and on a disk.
use_partition() {
	case $1 in
	*[[:space:]]*)
		fail "these partitions have the same GUID: $(echo "$1" | tr '\n' ' ')- two disks from one image? Nothing was changed; take one of them out, start once, and put it back"
		;;
	esac
	esp=/dev/$1
	sys=$(readlink -f "/sys/class/block/$1/..")
	disk=/dev/${sys##*/}
	[ -b "$disk" ] || fail "$esp, from which the firmware started, is not on a disk"
	read_table
}

# Sets table: one line a partition, "node type uuid name start size", in lower case.
read_table() {
	table=$(sfdisk --dump "$disk" 2>/dev/null | tr 'A-F' 'a-f' | sed -n \
		's/^\([^ ]*\) *: *start= *\([0-9]*\), *size= *\([0-9]*\), *type=\([0-9a-f-]*\), *uuid=\([0-9a-f-]*\)\(, *name="\([^"]*\)"\)\{0,1\}.*/\1 \4 \5 \7 \2 \3/p')
	[ -n "$table" ] || fail "the partition table of $disk cannot be read"
}

# The node of the partition with the role of type GUID $1, and name $2 if given; nothing if there is none.
partition_of() {
	echo "$table" | while read -r node type _ name _; do
		if [ "$type" = "$1" ] && { [ $# -lt 2 ] || [ "$name" = "$2" ]; }; then
			echo "$node"
			break
		fi
	done
}

# Whether the disk is as the image left it. One that lost a partition is not: nothing is made on it then.
first_boot() {
	[ -z "$(partition_of "$TYPE_SYSTEM")" ] && [ -z "$(partition_of "$TYPE_STATE")" ] &&
		[ "$(echo "$table" | grep -c " $TYPE_BASE ")" = 1 ]
}
