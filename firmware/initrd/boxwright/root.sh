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
	cp "$system/machine-id" "$rootmnt/etc/machine-id"
	chmod 0444 "$rootmnt/etc/machine-id"

	mkdir -p "$rootmnt/var/lib/boxwright"
	mount -o bind "$system" "$rootmnt/var/lib/boxwright"
	[ -z "$degraded" ] || hold_services
	keep_persistent

	echo "$release" >/run/boxwright/release
	echo "$version" >/run/boxwright/version
	ln -sf "/var/lib/boxwright/uppers/$release" /run/boxwright/upper
}

# Binds what lives longer than a release. Each line of the list: path, mode, owner, group.
keep_persistent() {
	list=$rootmnt/usr/lib/boxwright/persist
	[ -e "$list" ] || return 0
	while read -r path mode uid gid; do
		case $path in
		/*) ;;
		*) continue ;;
		esac
		kept=$system/persist$path
		if [ ! -d "$kept" ]; then
			mkdir -p "$kept"
			chmod "$mode" "$kept"
			chown "${uid:-0}:${gid:-0}" "$kept"
		fi
		mkdir -p "$rootmnt$path"
		mount -o bind "$kept" "$rootmnt$path" || note "$path does not persist: it cannot be mounted"
	done <"$list"
}

# Services would write into memory, and find no data: none starts.
hold_services() {
	for unit in docker.service docker.socket containerd.service; do
		ln -sf /dev/null "$rootmnt/etc/systemd/system/$unit"
	done
}
