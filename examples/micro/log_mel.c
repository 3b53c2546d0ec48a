#include "log_mel.h"

#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846
#define NO_FILTER 255

static const double kRate = 16000, kLowHz = 60, kHighHz = 7800;
static const float kLogOffset = 0.01f;

static double to_mel(double hz) { return 1127.0 * log1p(hz / 700.0); }

/* A frequency lies between two neighbouring edges of the 66 that the filters share: one filter rises
 * there, and the one before it falls, by what is left. */
static void init_filters(log_mel *self) {
  const double low = to_mel(kLowHz), width = (to_mel(kHighHz) - low) / (LOG_MEL_BINS + 1);
  self->filter[0] = NO_FILTER; /* the constant component */
  for (int k = 0; k < LOG_MEL_HALF; k++) {
    const double place = (to_mel(k * kRate / LOG_MEL_FFT) - low) / width;
    const int inside = k > 0 && place >= 0 && place < LOG_MEL_BINS + 1;
    self->filter[k] = inside ? (uint8_t)place : NO_FILTER;
    self->rise[k] = inside ? (float)(place - floor(place)) : 0.0f;
  }
}

void log_mel_init(log_mel *self) {
  for (int n = 0; n < LOG_MEL_WINDOW; n++)
    self->hann[n] = (float)(0.5 - 0.5 * cos(2 * PI * n / LOG_MEL_WINDOW));
  for (int k = 0; k < LOG_MEL_HALF; k++) {
    self->cosine[k] = (float)cos(2 * PI * k / LOG_MEL_FFT);
    self->sine[k] = (float)sin(2 * PI * k / LOG_MEL_FFT);
  }
  init_filters(self);
  log_mel_reset(self);
}

void log_mel_reset(log_mel *self) { memset(self->pcm, 0, sizeof self->pcm); }

static void swap(float *a, float *b) {
  const float kept = *a;
  *a = *b;
  *b = kept;
}

/* Fourier transform of 256 complex numbers, in place. */
static void transform(log_mel *self) {
  float *re = self->real, *im = self->imag;
  for (int i = 1, j = 0; i < LOG_MEL_HALF; i++) { /* j is i with its bits reversed */
    int bit = LOG_MEL_HALF >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      swap(&re[i], &re[j]);
      swap(&im[i], &im[j]);
    }
  }
  for (int size = 2; size <= LOG_MEL_HALF; size *= 2) {
    const int half = size / 2, step = LOG_MEL_FFT / size;
    for (int start = 0; start < LOG_MEL_HALF; start += size) {
      for (int k = 0; k < half; k++) {
        const float c = self->cosine[k * step], s = -self->sine[k * step];
        const int a = start + k, b = a + half;
        const float x = re[b] * c - im[b] * s, y = re[b] * s + im[b] * c;
        re[b] = re[a] - x;
        im[b] = im[a] - y;
        re[a] += x;
        im[a] += y;
      }
    }
  }
}

/* Magnitude of frequency k of the 512 real samples, whose even and odd ones were transformed as the
 * real and the imaginary part. */
static float magnitude(const log_mel *self, int k) {
  const int mirrored = (LOG_MEL_HALF - k) % LOG_MEL_HALF;
  const float a = self->real[k], b = self->imag[k];
  const float c = self->real[mirrored], d = -self->imag[mirrored];
  const float even_re = 0.5f * (a + c), even_im = 0.5f * (b + d);
  const float odd_re = 0.5f * (b - d), odd_im = -0.5f * (a - c);
  const float cosine = self->cosine[k], sine = -self->sine[k];
  const float re = even_re + odd_re * cosine - odd_im * sine;
  const float im = even_im + odd_re * sine + odd_im * cosine;
  return sqrtf(re * re + im * im);
}

void log_mel_next(log_mel *self, const float pcm[LOG_MEL_HOP], float frame[LOG_MEL_BINS]) {
  const int kept = LOG_MEL_WINDOW - LOG_MEL_HOP;
  memmove(self->pcm, self->pcm + LOG_MEL_HOP, kept * sizeof *self->pcm);
  memcpy(self->pcm + kept, pcm, LOG_MEL_HOP * sizeof *pcm);

  for (int n = 0; n < LOG_MEL_HALF; n++) {
    const int even = 2 * n, odd = even + 1;
    self->real[n] = even < LOG_MEL_WINDOW ? self->pcm[even] * self->hann[even] : 0.0f;
    self->imag[n] = odd < LOG_MEL_WINDOW ? self->pcm[odd] * self->hann[odd] : 0.0f;
  }
  transform(self);

  for (int m = 0; m < LOG_MEL_BINS; m++) frame[m] = 0.0f;
  for (int k = 0; k < LOG_MEL_HALF; k++) {
    const int rising = self->filter[k], falling = rising - 1;
    if (rising == NO_FILTER) continue;
    const float x = magnitude(self, k);
    if (rising < LOG_MEL_BINS) frame[rising] += self->rise[k] * x;
    if (falling >= 0) frame[falling] += (1.0f - self->rise[k]) * x;
  }
  for (int m = 0; m < LOG_MEL_BINS; m++) frame[m] = logf(frame[m] + kLogOffset);
}
