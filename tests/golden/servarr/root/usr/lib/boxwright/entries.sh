# shellcheck shell=sh disable=SC2034
# The boot entries on the ESP. systemd-boot counts the starts of an entry in its name: NAME+LEFT-DONE.conf. An entry
# without a count is blessed; one with +0 has used up its tries and is started only if there is no other.

entries=/efi/loader/entries
variable=/sys/firmware/efi/efivars/LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f

# The file of the entry that was started, if it is still counted.
counted_entry() {
	[ -e "$variable" ] || return 0
	# Four bytes of attributes, then UTF-16 with backslashes. In efivarfs nothing can seek.
	# shellcheck disable=SC2002
	path=$(cat "$variable" | tail -c +5 | tr -d '\000' | tr '\134' /)
	if [ -f "/efi$path" ]; then
		echo "/efi$path"
	fi
}

# The name of an entry without its count.
entry_name() {
	basename "$1" .conf | sed 's/+[0-9]*\(-[0-9]*\)\{0,1\}$//'
}

# Whether the release with the id $1 has an entry.
has_entry() {
	for entry in "$entries"/*-"$1".conf "$entries"/*-"$1"+*.conf; do
		[ ! -e "$entry" ] || return 0
	done
	return 1
}

# Whether there is another release to start: an entry that is not the file $1 and has tries left or needs none.
other_entry() {
	for entry in "$entries"/*.conf; do
		case $entry in
		"$1" | *+0.conf | *+0-*.conf) ;;
		*)
			[ ! -e "$entry" ] || return 0
			;;
		esac
	done
	return 1
}
