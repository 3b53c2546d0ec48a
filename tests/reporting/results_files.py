"""Results as a2v_evaluate writes them, with chosen accuracies."""

import json

from a2v_tf.evaluation.metrics import wilson

TEST_CLIPS = 1000


def config(task="cbow", encoder="small", data="tfds:audioset:unbalanced", **more):
    return {
        **{"task": task, "encoder": encoder, "data": data, "steps": 1_500_000, "batch_size": 256},
        **{"learning_rate": 1e-3, "seed": 0, "model_dir": f"models/{task}", **more},
    }


SPL = {"judge": "slices", "select": "last", "train_slices": 8}
ICLR = {**SPL, "judge": "clips"}


def row(
    task, model, accuracy, protocol="sgd", finetune="none", per_class=None, parameters=None, **more
):
    low, high = wilson(accuracy, TEST_CLIPS)
    return {
        **{"task": task, "model": model, "protocol": protocol, "finetune": finetune},
        **{"examples_per_class": per_class, "accuracy": accuracy, "low": low, "high": high},
        **{"n_test": TEST_CLIPS, "classes": 3, "replicas": [accuracy]},
        "task_parameters": parameters,
        **more,
    }


def write(path, rows, of):
    content = {"results": rows, "normalised": [], "command": ["a2v_evaluate", "-x"], "config": of}
    path.write_text(json.dumps(content))
    return str(path)
