#!/bin/sh
# From nothing to weights. Every step goes on where it was stopped: start it again.
#   recipes/debian_audio/run.sh WORK
# PATH has the project's commands; a2v_tf/pretrained/ is replaced at the end.
set -eu
here=$(dirname "$0")
work=${1:?usage: run.sh WORK}

python -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"
python "$here/download.py" --work="$work"
python "$here/cut.py" --work="$work"

train() {
  flags_of_run=$1
  shift
  a2v_train --flagfile="$here/train.flags" --flagfile="$flags_of_run" \
    --data="$work/corpus/unlabelled" --cache="$work/cache" "$@"
}

models=
for flags in "$here"/candidates/*.flags; do
  name=$(basename "$flags" .flags)
  model="$work/models/$name"
  initial=
  if [ -f "$here/first/$name.flags" ]; then  # a run whose encoder the candidate starts with
    initial="$work/first/$name"
    train "$here/first/$name.flags" --model_dir="$initial"
  fi
  train "$flags" --model_dir="$model" ${initial:+--initial_encoder="$initial"}
  models="$models${models:+,}$model"
done

python "$here/choose.py" --models="$models" --corpus="$work/corpus" \
  --cache_dir="$work/embeddings" --output="$work/choice.json"
python "$here/ship.py" --work="$work"
