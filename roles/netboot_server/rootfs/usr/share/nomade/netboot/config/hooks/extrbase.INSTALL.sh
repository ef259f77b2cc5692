# In the place of FAI's base file and of all its stages that install packages.
. "$FAI/lib/nomade.sh"
"$FAI/lib/unpack" > $nomade_dir/unpack.log 2>&1 || nomade_stop "the system cannot be unpacked: $(tail -n 3 $nomade_dir/unpack.log)"
skiptask extrbase debconf repository updatebase instsoft
