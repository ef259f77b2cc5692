# FAI calls this at the end, and also where it stops at a failure: the screen and the server learn which it is.
. "$FAI/lib/nomade.sh"
if ifclass INSTALL && [ ! -e $nomade_dir/stopped ]; then
    nomade_code=$(cat "$LOGDIR/task_error")
    if [ "$nomade_code" -gt 1 ] || [ ! -s "$target/etc/ssh/ssh_host_ed25519_key.pub" ]; then
        { tail -n 5 "$LOGDIR/fai.log"; } > $nomade_dir/tail 2>&1
        nomade_stop "task ${taskname:-?} failed ($nomade_code): $(cat $nomade_dir/tail)"
    else
        nomade_report installed host_key "$target/etc/ssh/ssh_host_ed25519_key.pub" ||
            nomade_stop "the server does not answer"
    fi
fi
