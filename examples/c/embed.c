/* Embed a stream with TFLite's C API: raw PCM on standard input, embeddings on standard output.
 *
 *   gcc -O2 embed.c -o embed -L LIBRARIES -l:libtensorflowlite_c.so -Wl,-rpath,LIBRARIES
 *   arecord -q -t raw -f S16_LE -r 16000 | ./embed streaming.tflite
 *
 * PCM is mono, 16 kHz, signed 16-bit in the machine's byte order. One line is one embedding; its
 * numbers keep every bit of float32. The file is one of `export_tflite`: streaming, internal state,
 * PCM input. LIBRARIES is any folder with TFLite's C library, 2.16 or later.
 *
 * If you have TFLite's headers, include them instead of the following declarations, which are the
 * part of tensorflow/lite/c/c_api.h and of the XNNPACK delegate's header that is used here. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct TfLiteModel TfLiteModel;
typedef struct TfLiteInterpreter TfLiteInterpreter;
typedef struct TfLiteInterpreterOptions TfLiteInterpreterOptions;
typedef struct TfLiteSignatureRunner TfLiteSignatureRunner;
typedef struct TfLiteTensor TfLiteTensor;
typedef struct TfLiteDelegate TfLiteDelegate;
TfLiteModel *TfLiteModelCreateFromFile(const char *path);
TfLiteInterpreterOptions *TfLiteInterpreterOptionsCreate(void);
void TfLiteInterpreterOptionsSetNumThreads(TfLiteInterpreterOptions *, int32_t threads);
void TfLiteInterpreterOptionsAddDelegate(TfLiteInterpreterOptions *, TfLiteDelegate *);
TfLiteDelegate *TfLiteXNNPackDelegateCreate(const void *options);
TfLiteInterpreter *TfLiteInterpreterCreate(const TfLiteModel *, const TfLiteInterpreterOptions *);
TfLiteSignatureRunner *TfLiteInterpreterGetSignatureRunner(const TfLiteInterpreter *,
                                                           const char *key);
int TfLiteSignatureRunnerAllocateTensors(TfLiteSignatureRunner *);
TfLiteTensor *TfLiteSignatureRunnerGetInputTensor(TfLiteSignatureRunner *, const char *name);
const TfLiteTensor *TfLiteSignatureRunnerGetOutputTensor(const TfLiteSignatureRunner *,
                                                         const char *name);
int TfLiteSignatureRunnerInvoke(TfLiteSignatureRunner *);
void *TfLiteTensorData(const TfLiteTensor *);
size_t TfLiteTensorByteSize(const TfLiteTensor *);

static void stop(const char *reason) {
  fprintf(stderr, "error: %s\n", reason);
  exit(1);
}

/* Fill `pcm` with the next `count` samples in [-1, 1]; return 0 at the end of the stream. */
static int read_hop(float *pcm, size_t count) {
  static int16_t samples[16000];
  if (count > sizeof samples / sizeof *samples) stop("a hop of more than a second");
  if (fread(samples, sizeof *samples, count, stdin) < count) return 0;
  for (size_t i = 0; i < count; i++) pcm[i] = samples[i] / 32768.0f;
  return 1;
}

static void print(const float *embedding, size_t count) {
  for (size_t i = 0; i < count; i++)
    printf("%.9g%c", embedding[i], i + 1 < count ? ' ' : '\n');
  fflush(stdout);
}

int main(int count, char **arguments) {
  if (count != 2) stop("expected one argument, a streaming .tflite file of export_tflite");
  TfLiteModel *model = TfLiteModelCreateFromFile(arguments[1]);
  if (!model) stop("not a TFLite file");

  /* XNNPACK, as in a2v_stream; the builtin kernels are slower and round otherwise. */
  TfLiteInterpreterOptions *options = TfLiteInterpreterOptionsCreate();
  TfLiteInterpreterOptionsSetNumThreads(options, 1);
  TfLiteInterpreterOptionsAddDelegate(options, TfLiteXNNPackDelegateCreate(NULL));
  TfLiteInterpreter *interpreter = TfLiteInterpreterCreate(model, options);
  if (!interpreter) stop("this TFLite library cannot run the file");

  TfLiteSignatureRunner *embed = TfLiteInterpreterGetSignatureRunner(interpreter, "embed");
  if (!embed || TfLiteSignatureRunnerAllocateTensors(embed)) stop("no signature 'embed'");
  TfLiteTensor *pcm = TfLiteSignatureRunnerGetInputTensor(embed, "pcm");
  const TfLiteTensor *embedding = TfLiteSignatureRunnerGetOutputTensor(embed, "embedding");
  if (!pcm || !embedding) stop("'embed' has no input 'pcm' or no output 'embedding'");
  if (TfLiteInterpreterGetSignatureRunner(interpreter, "reset") == NULL)
    stop("no signature 'reset': expected a streaming file with internal state");

  /* The state is in the interpreter and starts empty. For another recording, invoke `reset`. */
  size_t hop = TfLiteTensorByteSize(pcm) / sizeof(float);
  while (read_hop(TfLiteTensorData(pcm), hop)) {
    if (TfLiteSignatureRunnerInvoke(embed)) stop("the model cannot be run");
    print(TfLiteTensorData(embedding), TfLiteTensorByteSize(embedding) / sizeof(float));
  }
  return 0;
}
