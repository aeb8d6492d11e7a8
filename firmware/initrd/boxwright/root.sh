# shellcheck shell=sh disable=SC2013,SC2034,SC2154
# The root filesystem: the upper of this release over the profile layer over the base layer.

mount_overlay() {
	layers=/run/boxwright/layers
	mount -t overlay -o "lowerdir=$layers/profile:$layers/base,upperdir=$uppers/upper,workdir=$uppers/work" \
		boxwright "$rootmnt" || fail "the layers cannot be put together"
}

# What must be in place before the first program of the box runs.
prepare_root() {
	if [ ! -s "$system/machine-id" ]; then
		new_guid | tr -d - >"$system/.machine-id"
		sync
		mv "$system/.machine-id" "$system/machine-id"
	fi
	# Written once: on a partition without room, nothing would be left of it.
	if [ "$(cat "$rootmnt/etc/machine-id" 2>/dev/null)" != "$(cat "$system/machine-id")" ]; then
		cp "$system/machine-id" "$rootmnt/etc/machine-id"
		chmod 0444 "$rootmnt/etc/machine-id"
	fi

	mkdir -p "$rootmnt/var/lib/boxwright"
	mount -o bind "$system" "$rootmnt/var/lib/boxwright"
	[ -z "$degraded" ] || hold_services
	keep_persistent

	echo "$release" >/run/boxwright/release
	echo "$version" >/run/boxwright/version
	ln -sf "/var/lib/boxwright/uppers/$release" /run/boxwright/upper
}

# Binds what outlives a release: the folders of the list, which says itself how it is read.
keep_persistent() {
	list=$rootmnt/usr/lib/boxwright/persist
	[ -e "$list" ] || return 0
	own=/run/boxwright/own
	mkdir -p "$own"
	mount -o bind "$rootmnt" "$own"
	while read -r path; do
		case $path in
		/*) keep_folder "$path" ;;
		-/*)
			[ ! -d "$own${path#-}" ] || [ ! -d "$rootmnt${path#-}" ] ||
				mount -o bind "$own${path#-}" "$rootmnt${path#-}"
			;;
		esac
	done <"$list"
	umount "$own"
}

# Binds the folder $1 from the system partition.
keep_folder() {
	kept=$system/persist$1
	if [ ! -d "$kept" ]; then
		rm -rf "$kept.new"
		mkdir -p "$kept.new"
		# Half of it is none: it is begun anew at the next start.
		[ ! -d "$rootmnt$1" ] || cp -a "$rootmnt$1/." "$kept.new" || rm -rf "$kept.new"
		sync
		mv "$kept.new" "$kept"
	fi
	mkdir -p "$rootmnt$1"
	mount -o bind "$kept" "$rootmnt$1" || note "$1 does not persist: it cannot be mounted"
}

# Services would write into memory, and find no data: none starts.
hold_services() {
	for unit in docker.service docker.socket containerd.service; do
		ln -sf /dev/null "$rootmnt/etc/systemd/system/$unit"
	done
	# Its key is in the system partition: nobody is to wait for it.
	! is_encrypted "$(partition_of "$TYPE_STATE")" || ln -sf /dev/null "$rootmnt/etc/systemd/system/srv-state.mount"
}
