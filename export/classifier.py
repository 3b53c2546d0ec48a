"""The part `classifier`: a head that `a2v_evaluate --save_heads` kept, behind the encoder.

`classify` has the inputs of the encoder's `embed` and gives the scores beside the embedding. The
head continues with the encoder's own integers, and the softmax of its dequantised logits is float,
as 256 probabilities would be few. Its ops are in the window model from which all forms derive, so
scores are as exact as embeddings.
"""

import copy
from typing import Any

from a2v_tf.errors import A2vError
from a2v_tf.evaluation.saved_heads import SavedHead, weights_key
from a2v_tf.export import check, convert
from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.part import Origin, Part
from a2v_tf.runtime.classifier import PART
from a2v_tf.training.model_dir import load_encoder

_OF_HEAD = ("dataset", "protocol", "finetune", "accuracy")  # facts of the file about its head


class ClassifierPart(Part):
    """A classifier of each window."""

    name = PART

    def __init__(self, origin: Origin) -> None:
        """Convert the head.

        Raises:
          A2vError: there is none, or it was trained on another encoder.
        """
        if origin.head is None:
            raise A2vError(
                "part is 'classifier': expected a head that a2v_evaluate --save_heads kept"
            )
        self._saved: SavedHead = origin.head
        if not self._saved.has_encoder:
            _check_encoder(origin, self._saved)
        self._encoder = check.fingerprint(origin.window)
        embeddings = None if origin.slices is None else self._saved.embeddings
        self._model = convert.head_model(
            convert.dense_head(self._saved.head.layers), origin.window, embeddings, origin.how
        )

    @property
    def facts(self) -> dict[str, Any]:
        of_head = {name: self._saved.facts.get(name) for name in _OF_HEAD}
        return {
            "part": self.name,
            "labels": list(self._saved.head.labels),
            "trained_on": of_head,
            "encoder_weights_and_scales": self._encoder,
        }

    def extended(self, window: fb.Model) -> fb.Model:
        graph = fb.Graph.new(fb.empty_model(), "embed")
        at = fb.insert(graph, window, {})
        signature = fb.signature(window, "embed")
        inputs = {name: at[index] for name, index in fb.names(signature.inputs).items()}
        outputs = {name: at[index] for name, index in fb.names(signature.outputs).items()}
        logits = _append(graph, outputs["embedding"], self._model)
        outputs["scores"] = graph.softmax("scores", logits)
        fb.set_signature(graph, "embed", inputs, outputs)
        return graph.model

    def signed(self, form: fb.Model, mode: str) -> fb.Model:
        """Name all outputs in `classify`, and all but the scores in `embed`: of one subgraph."""
        del mode
        form = fb.shallow_copy(form)  # it may be the window model itself
        form.signatureDefs = copy.deepcopy(form.signatureDefs)
        embed = fb.signature(form, "embed")
        classify = copy.deepcopy(embed)
        classify.signatureKey = "classify"
        embed.outputs = [entry for entry in embed.outputs if fb.text(entry.name) != "scores"]
        form.signatureDefs.append(classify)
        return form


def _check_encoder(origin: Origin, saved: SavedHead) -> None:
    key = weights_key(load_encoder(origin.model_dir, for_audio=False))
    if saved.facts.get("depends_on", {}).get("encoder") != key:
        raise A2vError(
            f"--head: was trained on another encoder than that of {str(origin.model_dir)!r}; "
            "expected the --model_dir that a2v_evaluate judged"
        )


def _append(graph: fb.Graph, embedding: int, head: fb.Model) -> int:
    """Append a head's ops to a graph with an embedding; return its result.

    An int8 head takes the integers from which the embedding was dequantised.
    """
    model = copy.deepcopy(head)
    signature = fb.signature(model, "embed")
    (z,), (y,) = (fb.names(maps).values() for maps in (signature.inputs, signature.outputs))
    replacements = {z: embedding}
    source, first = fb.single_graph(model), fb.single_graph(model).subgraph.operators[0]
    made_by = next(op for op in graph.subgraph.operators if int(op.outputs[0]) == embedding)
    if fb.kind(model, first) == "QUANTIZE" and fb.kind(graph.model, made_by) == "DEQUANTIZE":
        quantized, integers = int(first.outputs[0]), int(made_by.inputs[0])
        if fb.scales(source.tensor(quantized)) == fb.scales(graph.tensor(integers)):
            replacements[quantized] = integers
            source.subgraph.operators.remove(first)
    return fb.insert(graph, model, replacements)[y]
