# shellcheck shell=sh disable=SC2013,SC2034,SC2154
# The layers: squashfs images, each followed by its dm-verity tree in one partition.

# Opens and mounts all layers of the release.
open_layers() {
	open_layer base "$base_hash"
	open_layer profile "$profile_hash"
	[ -z "$images_hash" ] || open_layer images "$images_hash"
}

# Mounts the layer $1 with root hash $2 at /run/boxwright/layers/$1. The partition's GUID is the hash's first 128 bits.
open_layer() {
	guid=$(echo "$2" | sed 's/^\(.\{8\}\)\(.\{4\}\)\(.\{4\}\)\(.\{4\}\)\(.\{12\}\).*/\1-\2-\3-\4-\5/')
	node=$(echo "$table" | while read -r node _ uuid _; do
		[ "$uuid" = "$guid" ] && echo "$node"
	done)
	[ -n "$node" ] || fail "the $1 layer ($guid) is not on $disk"
	[ "$(echo "$node" | wc -l)" = 1 ] || fail "the $1 layer ($guid) is on $disk more than once"
	# bytes_used, at byte 40 of a squashfs superblock; the tree begins at the next 4096.
	used=$(od -A n -t u8 -j 40 -N 8 "$node" | tr -d ' ')
	offset=$(((used + 4095) / 4096 * 4096))
	veritysetup open --panic-on-corruption --hash-offset="$offset" "$node" "boxwright-$1" "$node" "$2" ||
		fail "the $1 layer on $node does not match this release: write the image again, or start the release before"
	mkdir -p "/run/boxwright/layers/$1"
	mount -t squashfs -o ro "/dev/mapper/boxwright-$1" "/run/boxwright/layers/$1" ||
		fail "the $1 layer on $node cannot be mounted"
}
