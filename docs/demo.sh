#!/bin/sh
# The main job from end to end, through the real command line: `make demo` runs this with .venv on the PATH.
# Text becomes music, lands in a library of its own (data/demo), is found by meaning and made again.
set -eu
cd "$(dirname "$0")/.."

AUDIOLIB_LIBRARY=data/demo
export AUDIOLIB_LIBRARY
# Nothing of this needs the network: the music model and the embedder are already here.
HF_HUB_OFFLINE=1
export HF_HUB_OFFLINE

say() { printf '\n== %s\n' "$*"; }
show() {
    printf '\n$ audiolib'
    for word in "$@"; do
        case $word in *" "*) printf ' "%s"' "$word" ;; *) printf ' %s' "$word" ;; esac
    done
    printf '\n'
    audiolib "$@"
}

if [ -e "$AUDIOLIB_LIBRARY" ]; then
    say "demo: removing $AUDIOLIB_LIBRARY of the last run (your own library is ./data and is not touched)"
    rm -rf "$AUDIOLIB_LIBRARY"
fi

say "demo 1/3: five sentences become music (bundled starter model, 8 seconds each)"
show generate "calm piano" --model starter --duration 8 --seed 1
show generate "happy rock" --model starter --duration 8 --seed 2
show generate "energetic electronic dance" --model starter --duration 8 --seed 3
show generate "dark ambient pad" --model starter --duration 8 --seed 4
show generate "slow sad strings" --model starter --duration 8 --seed 5

say "demo 2/3: found by meaning, in other words than the prompts"
show search "quiet keyboard melody"
show search "music for a party"

say "demo 3/3: the best hit for \"quiet keyboard melody\" again, sample for sample"
best=$(audiolib search "quiet keyboard melody" -k 1 --json |
    python -c 'import json, sys; print(json.loads(sys.stdin.readline())["id"])')
show regenerate "$best"

say "demo: done. The WAV files:"
find "$AUDIOLIB_LIBRARY" -name '*.wav' | sort
printf '\nNext: .venv/bin/audiolib generate "calm piano"\n'
