package org.a2vtf.runtime;

import java.io.Closeable;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.a2vtf.core.Encoder;
import org.a2vtf.core.Recordings;
import org.a2vtf.runtime.Models.ModelException;

/**
 * A file of {@code export_tflite --part=classifier}: scores of labels, from every hop of a stream
 * or from a window.
 *
 * <pre>{@code
 * try (Classifier classifier = Classifier.open(bytes, new Models.Options())) {
 *   float[] scores = new float[classifier.labels().size()];
 *   classifier.classify(pcm, scores); // classifier.samples() numbers in [-1, 1], at 16 kHz
 * }
 * }</pre>
 */
public final class Classifier implements Closeable {
  private final TfliteEncoder scorer;
  private final List<String> labels;

  private Classifier(TfliteEncoder scorer, List<String> labels) {
    this.scorer = scorer;
    this.labels = Collections.unmodifiableList(labels);
  }

  /**
   * Opens a classifier.
   *
   * @param model the content of the file
   * @throws ModelException if it is no classifier with PCM input, or does not run here
   */
  public static Classifier open(byte[] model, Models.Options options) throws ModelException {
    final Map<String, Object> facts = Metadata.read(model);
    Models.checkRate(model, options.sampleRate);
    return Tflite.open(
        model,
        options,
        new Tflite.Loader<Classifier>() {
          @Override
          public Classifier load(Tflite file) throws ModelException {
            TfliteEncoder scorer = new TfliteEncoder(file, "classify", "scores");
            List<String> labels = Metadata.texts(facts, "labels");
            if (labels == null || labels.size() != scorer.embeddingDim()) {
              throw new ModelException(
                  "The model has " + scorer.embeddingDim() + " scores and "
                      + (labels == null ? 0 : labels.size()) + " labels: expected one for each.");
            }
            return new Classifier(scorer, labels);
          }
        });
  }

  /** The labels, one for each score. */
  public List<String> labels() {
    return labels;
  }

  /** Whether it has a state: then it takes a stream hop by hop, otherwise windows. */
  public boolean streams() {
    return scorer.streams();
  }

  /** Samples that it takes at once: a hop, or a window. */
  public int samples() {
    return scorer.hopSamples();
  }

  /**
   * Classifies the window that ends with these samples.
   *
   * @param pcm exactly {@link #samples} samples in [-1, 1]
   * @param scores filled with a score for each label, the highest for the most likely one
   */
  public void classify(float[] pcm, float[] scores) {
    scorer.embed(pcm, scores);
  }

  /** Classifies the window of a recording that ends at a sample; see {@link Recordings#embedAt}. */
  public float[] classifyAt(float[] recording, int end) {
    return Recordings.embedAt(scorer, recording, end)[0];
  }

  /** The classifier as a stream's encoder, whose embeddings are the scores. */
  public Encoder scorer() {
    return scorer;
  }

  /** Resets the state to that after opening the file. */
  public void reset() {
    scorer.reset();
  }

  /** Frees the model, which cannot be used any more. */
  @Override
  public void close() {
    scorer.close();
  }
}
