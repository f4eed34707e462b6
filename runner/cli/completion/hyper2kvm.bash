# bash completion for hyper2kvm(1). Needs nothing but bash.

_hyper2kvm()
{
    local current=${COMP_WORDS[COMP_CWORD]}
    local previous=${COMP_WORDS[COMP_CWORD - 1]}
    local subcommand=${COMP_WORDS[1]}
    local guest='-h --help --root --key --key-file --key-directory --temp-dir -v --verbose -q --quiet --no-progress'
    local convert="$guest -o --output -O --output-format --output-device --output-file --output-filename -c --compress --compression
        --compress-level --name --no-fix --override --dry-run --validate-boot --boot-timeout --attest
        --no-check-grains --rate-limit --report --no-report --register --libvirt-uri --network --bridge --pool --start
        --autostart --overwrite --log-format --termination-message"
    local inspect="$guest --json"
    local daemon='-h --help --instance --watch-dir --output-dir --log-level --config-dir --runtime-dir'
    COMPREPLY=()

    # bash splits --option=value at the equals sign.
    if [[ $current == = ]]; then
        current=
    elif [[ $previous == = ]]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi

    case $previous in
        -O | --output-format)
            COMPREPLY=($(compgen -W 'qcow2 raw vdi' -- "$current"))
            return
            ;;
        --log-format)
            COMPREPLY=($(compgen -W 'text json' -- "$current"))
            return
            ;;
        --compression)
            COMPREPLY=($(compgen -W 'deflate zstd' -- "$current"))
            return
            ;;
        --compress-level)
            COMPREPLY=($(compgen -W '1 2 3 4 5 6 7 8 9' -- "$current"))
            return
            ;;
        --libvirt-uri)
            COMPREPLY=($(compgen -W 'qemu:///system qemu:///session' -- "$current"))
            return
            ;;
        --log-level)
            COMPREPLY=($(compgen -W 'debug info warn error' -- "$current"))
            return
            ;;
        -o | --output | --key-directory | --temp-dir | --watch-dir | --output-dir | --config-dir | --runtime-dir)
            compopt -o filenames 2> /dev/null
            local IFS=$'\n'
            COMPREPLY=($(compgen -d -- "$current"))
            return
            ;;
        --name | --instance | --root | --key | --rate-limit | --boot-timeout | --network | --bridge | --pool)
            return
            ;;
    esac

    if [[ $current == -* ]]; then
        local options
        case $subcommand in
            inspect) options=$inspect ;;
            daemon) options=$daemon ;;
            convert) options=$convert ;;
            -*) options="-h --help -V --version $convert" ;;
            *) options=$convert ;;
        esac
        COMPREPLY=($(compgen -W "$options" -- "$current"))
        return
    fi

    compopt -o filenames 2> /dev/null
    local IFS=$'\n'
    COMPREPLY=($(compgen -f -- "$current"))
    if ((COMP_CWORD == 1)); then
        COMPREPLY+=($(compgen -W $'convert\ninspect\ndaemon' -- "$current"))
    fi
}

complete -F _hyper2kvm hyper2kvm
