/* The log-mel front end of a2v_tf in C99, with fixed memory: for microcontrollers, whose files of
 * `export_tflite --target=micro` take log-mel frames.
 *
 * A frame is 25 ms of mono PCM at 16 kHz under a Hann window, every 10 ms: a Fourier transform of 512
 * samples, 64 mel filters from 60 to 7800 Hz on its magnitudes, and log(x + 0.01). */
#ifndef A2V_LOG_MEL_H
#define A2V_LOG_MEL_H

#include <stdint.h>

enum {
  LOG_MEL_WINDOW = 400, /* samples of a frame */
  LOG_MEL_HOP = 160,    /* samples from frame to frame */
  LOG_MEL_FFT = 512,
  LOG_MEL_HALF = LOG_MEL_FFT / 2,
  LOG_MEL_BINS = 64
};

/* Everything that the front end needs, 9 kB; no memory is allocated. */
typedef struct {
  float pcm[LOG_MEL_WINDOW];               /* the last samples; 240 of them overlap the next frame */
  float hann[LOG_MEL_WINDOW];
  float cosine[LOG_MEL_HALF];              /* cos(2 pi k / 512), and sines below */
  float sine[LOG_MEL_HALF];
  float rise[LOG_MEL_HALF];                /* share of a frequency in the filter that rises there */
  uint8_t filter[LOG_MEL_HALF];            /* number of that filter; 255: outside of the band */
  float real[LOG_MEL_HALF], imag[LOG_MEL_HALF];
} log_mel;

/* Compute the tables, and start a stream: silence precedes it. Call it once. */
void log_mel_init(log_mel *self);

/* Start another stream. */
void log_mel_reset(log_mel *self);

/* Take the next 160 samples, floats in [-1, 1], and write the frame that ends with them. */
void log_mel_next(log_mel *self, const float pcm[LOG_MEL_HOP], float frame[LOG_MEL_BINS]);

#endif
