# shellcheck shell=sh disable=SC2013,SC2034,SC2154
# The first boot: the second slots, system and state are made in the space behind the image.
#
# The table is written once, with everything in it. A new partition is called `…_new` until it has been looked at, and `…_making`
# until it has its filesystem, so that a power cut at any point leaves what the next boot finishes. Existing partitions are never
# moved or formatted.

# Makes what is missing.
make_partitions() {
	if first_boot; then
		say "first start: preparing $disk"
		sectors=$(cat "$sys/size")
		script=$(sfdisk --dump "$disk" 2>/dev/null | awk \
			-v disk_guid="$(new_guid)" -v esp="$esp" -v esp_guid="$(new_guid)" \
			-v sectors="$sectors" -v type_base="$TYPE_BASE" -v type_profile="$TYPE_PROFILE" \
			-v type_system="$TYPE_SYSTEM" -v type_state="$TYPE_STATE" \
			-v system_most="$SYSTEM_SECTORS" -v least="$LEAST_SECTORS" "$new_table")
		[ -n "$script" ] || fail "$disk is too small: behind the image it needs $((LEAST_SECTORS / 2048)) MiB more"
		echo "$script" | sfdisk --quiet --lock=yes --wipe=never --wipe-partitions=never "$disk" >/dev/null 2>&1 ||
			fail "the partition table of $disk cannot be written"
		udevadm settle --timeout=30
		read_table
	fi
	made=
	finish_partition "$TYPE_SYSTEM" system
	finish_partition "$TYPE_STATE" state
	read_table
}

# Reads a dump of sfdisk, writes the script for the new table; writes nothing if there is too little room.
# shellcheck disable=SC2016
new_table='
function up(n) { return int((n + 2047) / 2048) * 2048 }
function add(size, type, name) {
	text = text sprintf("start=%d, size=%d, type=%s, name=\"%s\"\n", next_start, size, type, name)
	next_start += size
}
/^label-id:/ { text = text "label-id: " disk_guid "\n"; next }
/^(device|first-lba|last-lba|sector-size):/ { next }
/start=/ {
	start = $0; sub(/.*start= */, "", start); start += 0
	size = $0; sub(/.*size= */, "", size); size += 0
	if (start + size > next_start) next_start = up(start + size)
	if ($1 == esp) sub(/uuid=[0-9A-Fa-f-]*/, "uuid=" esp_guid)
	if (tolower($0) ~ "type=" type_base) base = size
	if (tolower($0) ~ "type=" type_profile) profile = size
}
{ text = text $0 "\n" }
END {
	add(base, type_base, "_empty")
	add(profile, type_profile, "_empty")
	# 33 sectors at the end belong to the second copy of the table.
	room = int((sectors - 34 - next_start) / 2048) * 2048
	if (room < least) exit
	system_size = int(room / 3 / 2048) * 2048
	if (system_size > system_most) system_size = system_most
	add(system_size, type_system, "system_new")
	add(room - system_size, type_state, "state_new")
	printf "%s", text
}'

# Gives the partition of role $2 (type $1) its filesystem, if it is new.
finish_partition() {
	node=$(partition_of "$1" "$2_making")
	if [ -z "$node" ]; then
		node=$(partition_of "$1" "$2_new")
		[ -n "$node" ] || return 0
		if holds_ours "$2" "$node"; then
			name_partition "$node" "$2"
			return
		fi
		# Half a filesystem would look like a damaged one.
		name_partition "$node" "$2_making"
	fi
	make_filesystem "$2" "$node"
	sync
	name_partition "$node" "$2"
}

# Gives the partition $1 the name $2.
name_partition() {
	number=$(cat "/sys/class/block/${1##*/}/partition")
	sfdisk --quiet --lock=yes --part-label "$disk" "$number" "$2" >/dev/null 2>&1 ||
		fail "the partition table of $disk cannot be written"
	udevadm settle --timeout=30
}

# Makes the filesystem of the role $1 on the partition $2, which is encrypted first if it is to be: the state only with a
# system that can keep its key.
make_filesystem() {
	# Where another box was, the second copy of its header would be found.
	! is_encrypted "$2" || head -c 16777216 /dev/zero >"$2"
	volume=$2
	if [ -n "$encrypt" ] && { [ "$1" = system ] || is_encrypted "$(partition_of "$TYPE_SYSTEM")"; }; then
		make_volume "$1" "$2"
		volume=/dev/mapper/boxwright-$1
	fi
	case $1 in
	system) mke2fs -q -F -t ext4 -m 1 -e remount-ro -E lazy_itable_init=1,nodiscard -L boxwright-sys "$volume" ;;
	state) mkfs.xfs -q -f -K -L boxwright-st "$volume" ;;
	esac || fail "$2, which is to be the $1 partition, cannot be formatted"
	[ "$volume" = "$2" ] || finish_volume "$1" "$2"
	made="$made $1"
}

# Whether a partition that is new in the table holds this box's data from before: then an image was written over the
# same box. Its layout is the same each time, so the data are where they were. The state belongs to the system, which may
# have got its name back before the power was cut.
holds_ours() {
	case $1 in
	system)
		system_is_ours "$2" || return 1
		note "this disk has belonged to $box before: its data are kept"
		;;
	state)
		case $made in
		*system*) return 1 ;;
		esac
		{ is_of_this_box state "$2" || [ "$(blkid -p -o value -s LABEL "$2")" = boxwright-st ]; } &&
			system_is_ours "$(partition_of "$TYPE_SYSTEM")"
		;;
	esac
}

# Whether what is on $1 is this box's system. An encrypted one is not opened for that; a plain one that has just been made
# does not say so yet. A box's system is repaired as at any start. Whose it was may be lost all the same: nothing is formatted
# then, as it may be this box's.
system_is_ours() {
	! is_of_this_box system "$1" || return 0
	[ "$(blkid -p -o value -s LABEL "$1")" = boxwright-sys ] || return 1
	mkdir -p /run/boxwright/look
	repair_system "$1"
	owner=
	if mount -t ext4 -o ro "$1" /run/boxwright/look; then
		owner=$(cat /run/boxwright/look/box 2>/dev/null)
		umount /run/boxwright/look
	else
		status=8
	fi
	[ -n "$owner" ] || [ "$status" -lt 4 ] ||
		fail "$1 has the system of a box from before, too damaged to tell whose. Nothing was formatted: save what is needed from this disk on another computer, then write the image with boxwright flash --erase-state"
	[ "$owner" = "$box" ]
}

# A random GUID.
new_guid() {
	cat /proc/sys/kernel/random/uuid
}

# Names that the rest of the box uses; a rule for udev, which makes them again after the switch to the root.
publish_devices() {
	mkdir -p /dev/boxwright /run/udev/rules.d /run/boxwright
	sequence=$(sed -n 's/^DISKSEQ=//p' "$sys/uevent")
	ln -sf "../${disk##*/}" /dev/boxwright/disk
	rule="SUBSYSTEM==\"block\", ENV{DISKSEQ}==\"$sequence\""
	{
		echo "$rule, ENV{DEVTYPE}==\"disk\", SYMLINK+=\"boxwright/disk\""
		for role in "esp $TYPE_ESP" "system $TYPE_SYSTEM" "state $TYPE_STATE" "secrets $TYPE_SECRETS"; do
			node=$(partition_of "${role#* }")
			[ -n "$node" ] || continue
			device=$(device_of "${role%% *}" "$node")
			ln -sf "..${device#/dev}" "/dev/boxwright/${role%% *}"
			number=$(cat "/sys/class/block/${node##*/}/partition")
			match="$rule, ENV{DEVTYPE}==\"partition\", ENV{PARTN}==\"$number\""
			if [ "$device" != "$node" ]; then
				echo "$match, SYMLINK+=\"boxwright/${role%% *}-encrypted\""
				match="SUBSYSTEM==\"block\", ENV{DM_NAME}==\"${device##*/}\""
			fi
			wants=
			# Mounted whenever it appears, also after its mount has given up waiting for it.
			[ "${role%% *}" != state ] || wants=', TAG+="systemd", ENV{SYSTEMD_WANTS}+="srv-state.mount"'
			echo "$match, SYMLINK+=\"boxwright/${role%% *}\"$wants"
		done
	} >/run/udev/rules.d/60-boxwright.rules
}
