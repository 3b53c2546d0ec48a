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

models=
for flags in "$here"/candidates/*.flags; do
  model="$work/models/$(basename "$flags" .flags)"
  a2v_train --flagfile="$here/train.flags" --flagfile="$flags" \
    --data="$work/corpus/unlabelled" --cache="$work/cache" --model_dir="$model"
  models="$models${models:+,}$model"
done

python "$here/choose.py" --models="$models" --corpus="$work/corpus" \
  --cache_dir="$work/embeddings" --output="$work/choice.json"
python "$here/ship.py" --work="$work"
