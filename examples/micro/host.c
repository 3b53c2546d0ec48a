/* Print the log-mel frames of raw PCM: mono, 16 kHz, signed 16-bit, on standard input.
 *
 *   gcc -std=c99 -O2 host.c log_mel.c -lm -o log_mel
 *   arecord -q -t raw -f S16_LE -r 16000 | ./log_mel */
#include <stdio.h>

#include "log_mel.h"

int main(void) {
  static log_mel front_end;
  int16_t samples[LOG_MEL_HOP];
  float pcm[LOG_MEL_HOP], frame[LOG_MEL_BINS];
  log_mel_init(&front_end);
  while (fread(samples, sizeof *samples, LOG_MEL_HOP, stdin) == LOG_MEL_HOP) {
    for (int i = 0; i < LOG_MEL_HOP; i++) pcm[i] = samples[i] / 32768.0f;
    log_mel_next(&front_end, pcm, frame);
    for (int m = 0; m < LOG_MEL_BINS; m++)
      printf("%.9g%c", frame[m], m + 1 < LOG_MEL_BINS ? ' ' : '\n');
  }
  return 0;
}
