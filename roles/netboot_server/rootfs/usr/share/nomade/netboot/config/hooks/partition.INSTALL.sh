# Before the disk is touched: which disk it is, and whether it may be erased.
. "$FAI/lib/nomade.sh"
nomade_disk=$(python3 -IS "$FAI/lib/disk.py" "$(nomade_order wipe)" 2> $nomade_dir/disk.log) ||
    nomade_stop "$(cat $nomade_dir/disk.log)"
disklist=$(basename "$nomade_disk")
export disklist nomade_disk
echo "$nomade_disk" > $nomade_dir/disk
# setup-storage wants a passphrase, and writes it into its log: it gets one that lasts until the next hook, put into
# this machine's own copy of the configuration, which is in memory.
nomade_random 40 > $nomade_dir/first
sed -i "s/ONETIME/$(cat $nomade_dir/first)/" "$FAI/disk_config/INSTALL"
nomade_report partition disk $nomade_dir/disk || nomade_stop "the server does not answer"
# What a former system left (RAID, LVM, LUKS headers) would come alive again at the same place.
for part in $(lsblk --noheadings --list --paths --output NAME "$nomade_disk" | tac); do
    wipefs --all --quiet "$part" || nomade_stop "$part cannot be erased"
done
