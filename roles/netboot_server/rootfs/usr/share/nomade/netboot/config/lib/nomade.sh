# Shell functions of the installer's hooks and scripts.
nomade_dir=/run/nomade

nomade_serial() {
    tr -d '\0' < /sys/class/dmi/id/product_serial | sed 's/[[:space:]]*$//'
}

nomade_random() { # LENGTH: letters that sit on the same keys of an AZERTY and a QWERTY keyboard
    python3 -IS -c '
import secrets, sys
print("".join(secrets.choice("bcdefghjknprstuvxy") for _ in range(int(sys.argv[1]))), end="")' "$1"
}

nomade_post() { # PATH FILE: send a JSON file to the server
    curl --fail-with-body --silent --show-error --max-time 60 --retry 5 --retry-connrefused \
        --header 'Content-Type: application/json' --data-binary "@$2" "$NOMADE_URL/nomade/$1"
}

nomade_take() { # take this machine's order, once; its fields are files of /run/nomade/order
    mkdir -p -m 0700 $nomade_dir/order
    jq --null-input --arg serial "$(nomade_serial)" '{serial_number: $serial}' > $nomade_dir/take.json
    nomade_post take $nomade_dir/take.json > $nomade_dir/order.json 2> $nomade_dir/take.log || return 1
    for field in asset_tag suite wipe token id; do
        jq --raw-output ".$field" $nomade_dir/order.json > $nomade_dir/order/$field
    done
}

nomade_order() { # FIELD of the order
    cat "$nomade_dir/order/$1"
}

nomade_report() { # STAGE [FIELD FILE]...: say how far it is; the contents of files are sent with it
    stage=$1
    shift
    set -- "$@" token $nomade_dir/order/token
    jq --null-input --arg serial "$(nomade_serial)" --arg stage "$stage" \
        '{serial_number: $serial, stage: $stage}' > $nomade_dir/report.json
    while [ $# -ge 2 ]; do
        jq --arg key "$1" --rawfile value "$2" '.[$key] = ($value | rtrimstr("\n"))' \
            $nomade_dir/report.json > $nomade_dir/report.new || return 1
        mv $nomade_dir/report.new $nomade_dir/report.json
        shift 2
    done
    nomade_post report $nomade_dir/report.json > /dev/null
}

nomade_stop() { # REASON: the installation ends here, the screen and the server say why
    nomade_reason=$*
    printf '%s' "$nomade_reason" > $nomade_dir/reason
    nomade_report failed reason $nomade_dir/reason
    printf '\n\n  **********************************************************************\n'
    printf '  Nomade: installation stopped / installation interrompue\n  %s\n' "$nomade_reason"
    printf '  **********************************************************************\n\n'
    : > $nomade_dir/stopped
    task_error 900
}
