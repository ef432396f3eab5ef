#!/usr/bin/env bash
# Read in by train.slurm and train.pbs: a training that a signal stops cleanly, and that goes on when it is called again.
#
#   train MODULE [arguments]     the exit status; 130: it was stopped and can go on
#
# MODULE is one of `python -m quadrat train`, or a dotted name, such as DINOv2_mmseg.kfold, that goes on by itself.
# `{task}` in an argument becomes the number of the task of a job array.
#
#   PYTHON             interpreter (default: .venv/bin/python of this folder, else python)
#   QUADRATSEG_IMAGE   an Apptainer image to run in
#   RUN_NAME           name of the run where the arguments have no --name
#   QUADRATSEG_RUNS    folder of the runs (default: runs)

EXIT_STOPPED=130
stopped_by= # USR1: the time is nearly over; TERM: somebody ended the job

task_number() { printf '%s' "${TASK:-${SLURM_ARRAY_TASK_ID:-${PBS_ARRAY_INDEX:-}}}"; }

name_of() { # the arguments of a training: what stands after --name
    local previous='' argument
    for argument; do
        [[ $previous != --name ]] || { printf '%s' "$argument"; return 0; }
        [[ $argument != --name=* ]] || { printf '%s' "${argument#--name=}"; return 0; }
        previous=$argument
    done
}

make_command() { # MODULE and arguments -> command, an array
    local module=$1 task name python=${PYTHON:-}
    shift
    task=$(task_number)
    local arguments=("${@//\{task\}/$task}")
    [[ -n $python || ! -x .venv/bin/python ]] || python=$PWD/.venv/bin/python
    if [[ $module == *.* ]]; then
        command=("${python:-python}" -m "$module" "${arguments[@]}")
    else
        name=$(name_of "${arguments[@]}")
        [[ -n $name ]] || { name=$RUN_NAME${task:+-$task}; arguments+=(--name "$name"); }
        # There already: this job, or one before it, was stopped.
        [[ ! -f ${QUADRATSEG_RUNS:-runs}/${module//-/_}/$name/provenance.json ]] || arguments+=(--resume)
        command=("${python:-python}" -m quadrat train "$module" "${arguments[@]}")
    fi
    [[ -z ${QUADRATSEG_IMAGE:-} ]] || command=(apptainer exec --nv --bind "$PWD" --pwd "$PWD" "$QUADRATSEG_IMAGE" "${command[@]}")
}

ask_to_stop() { # $1: the signal that came
    stopped_by=${stopped_by:-$1}
    [[ -z ${running:-} ]] || kill -USR1 "$running" 2>/dev/null || true
}

wait_for() { # $1: a process -> its exit status; a signal to this shell cuts a wait short
    local status=0 got
    while :; do
        wait "$1"
        got=$?
        [[ $got == 127 ]] || status=$got # 127: it has been told already
        kill -0 "$1" 2>/dev/null || break
    done
    wait "$1"
    got=$?
    [[ $got == 127 ]] || status=$got
    return "$status"
}

train() { # MODULE and arguments
    local command=() status
    make_command "$@"
    printf '%s' "${command[0]}"
    printf ' %q' "${command[@]:1}"
    printf '\n'
    trap 'ask_to_stop USR1' USR1
    trap 'ask_to_stop TERM' TERM
    set -m # a process group of its own, so that what a launcher leaves behind is found
    "${command[@]}" &
    running=$!
    set +m
    wait_for "$running"
    status=$?
    # A launcher of several processes dies of the signal itself; those that train are told now, and waited for.
    if kill -0 -- "-$running" 2>/dev/null; then
        [[ -z $stopped_by ]] || kill -USR1 -- "-$running" 2>/dev/null || true
        while kill -0 -- "-$running" 2>/dev/null; do sleep 1; done
    fi
    # Before its handler is there, Python dies of the signal: 128 + 10, 128 + 15.
    [[ -z $stopped_by || ($status != 138 && $status != 143) ]] || status=$EXIT_STOPPED
    return "$status"
}
