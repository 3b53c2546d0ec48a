#!/bin/sh
# From the choice of choose.py to packed encoders with their cards; run.sh ends with it.
#   recipes/debian_audio/ship.sh WORK [FOLDER]
# Without FOLDER, a2v_tf/pretrained/ is replaced; with it, FOLDER/NAME is written.
set -eu
here=$(dirname "$0")
work=${1:?usage: ship.sh WORK [FOLDER]}

# What the card compares with besides: the papers' tasks, and the paper's encoder.
compare=
for name in cbow skip_gram distill_small; do
  if [ -f "$work/models/$name/encoder.keras" ]; then
    compare="$compare${compare:+,}$work/models/$name"
  fi
done

for name in $(python -c 'import json, sys; print(*json.load(open(sys.argv[1]))["choices"])' \
  "$work/choice.json"); do
  if [ $# -gt 1 ]; then
    folder="$2/$name"
  else
    folder=$(python -c 'import sys; from a2v_tf import pretrained; print(pretrained.folder(sys.argv[1]))' "$name")
  fi
  python "$here/pack.py" --choice="$work/choice.json" --work="$work" --name="$name" --output="$folder"
  python "$here/evaluate.py" --model_dir="$folder" --name="$name" --corpus="$work/corpus" \
    --compare="$compare" --cache_dir="$work/embeddings" --output="$work/$name.json"
  python "$here/card.py" --work="$work" --name="$name" --packed="$folder"
done
