"""A web service that embeds recordings with an exported model (patent paragraph 84, figure 6A).

  pip install fastapi uvicorn
  uvicorn --app-dir examples web_service:app
  curl --data-binary @song.flac 'http://127.0.0.1:8000/embeddings'

MODEL names another file than the encoder that comes with a2v_tf. TensorFlow is not needed.
"""

import os
import tempfile
from typing import Annotated

from fastapi import Body, FastAPI, HTTPException

import a2v_tf

MODEL = os.environ.get("MODEL", "pretrained")
MOST_BYTES = 50_000_000
app = FastAPI(title="Audio embeddings")


@app.post("/embeddings")
def embeddings(
    recording: Annotated[bytes, Body(media_type="application/octet-stream")],
) -> dict[str, float | list[list[float]]]:
    """Embed an audio file of any format: one embedding every `hop_s` seconds."""
    if len(recording) > MOST_BYTES:
        raise HTTPException(413, f"{len(recording)} bytes: expected at most {MOST_BYTES}")
    embedder = a2v_tf.load(MODEL)  # of this request alone, as one object is one stream
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "recording")
        with open(path, "wb") as file:
            file.write(recording)
        try:
            pcm = a2v_tf.read_audio(path, sample_rate=embedder.sample_rate)
        except a2v_tf.A2vError as error:
            raise HTTPException(422, str(error).removeprefix(f"{path}: ")) from error
    found = [embedding.tolist() for embedding in embedder.stream(pcm)]
    return {"hop_s": embedder.stream_hop / embedder.sample_rate, "embeddings": found}
