# The disk has its partitions and no keys of the town's yet.
. "$FAI/lib/nomade.sh"
"$FAI/lib/keys" > $nomade_dir/keys.log 2>&1 || nomade_stop "keys of the disk: $(tail -n 3 $nomade_dir/keys.log)"
