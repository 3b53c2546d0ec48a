// Embeddings on a microcontroller with ESP-IDF and TFLite Micro, of silence instead of a microphone.
//
// Neither compiled nor run by this project's tests: they have no ESP-IDF and no board. What they do
// run is the front end, and the model in TFLite Micro on a computer.
#include <cstdio>
#include <cstring>

extern "C" {
#include "log_mel.h"
}
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

extern const uint8_t model_start[] asm("_binary_model_tflite_start");

namespace {

// For `small` at --hop_ms=80; export_tflite prints what a file needs.
constexpr int kFrames = 8;
constexpr size_t kArenaBytes = 48 * 1024;
constexpr size_t kStateBytes = 16 * 1024;
alignas(16) uint8_t arena[kArenaBytes];
uint8_t kept[kStateBytes];
log_mel front_end;

using Ops = tflite::MicroMutableOpResolver<19>;

void AddOps(Ops* ops) {
  ops->AddAdd();
  ops->AddConcatenation();
  ops->AddConv2D();
  ops->AddDepthwiseConv2D();
  ops->AddDequantize();
  ops->AddFullyConnected();
  ops->AddMaxPool2D();
  ops->AddMean();
  ops->AddMul();
  ops->AddPad();
  ops->AddQuantize();
  ops->AddReduceMax();
  ops->AddRelu();
  ops->AddReshape();
  ops->AddSlice();
  ops->AddSqrt();
  ops->AddSquaredDifference();
  ops->AddSub();
}

// The states follow log_mel and embedding, in the same order. A new stream starts with their zero
// points.
void ResetStates(tflite::MicroInterpreter* interpreter) {
  for (size_t i = 1; i < interpreter->inputs_size(); i++) {
    TfLiteTensor* state = interpreter->input(i);
    std::memset(state->data.raw, state->params.zero_point, state->bytes);
  }
  log_mel_reset(&front_end);
}

// All states leave the arena before the first one returns to it: inputs and outputs may overlap.
bool KeepStates(tflite::MicroInterpreter* interpreter) {
  size_t place = 0;
  for (size_t i = 1; i < interpreter->outputs_size(); i++) {
    const TfLiteTensor* state = interpreter->output(i);
    if (place + state->bytes > kStateBytes) return false;
    std::memcpy(kept + place, state->data.raw, state->bytes);
    place += state->bytes;
  }
  place = 0;
  for (size_t i = 1; i < interpreter->inputs_size(); i++) {
    TfLiteTensor* state = interpreter->input(i);
    std::memcpy(state->data.raw, kept + place, state->bytes);
    place += state->bytes;
  }
  return true;
}

}  // namespace

extern "C" void app_main() {
  Ops ops;
  AddOps(&ops);
  tflite::MicroInterpreter interpreter(tflite::GetModel(model_start), ops, arena, kArenaBytes);
  if (interpreter.AllocateTensors() != kTfLiteOk) {
    std::printf("the arena is too small\n");
    return;
  }
  log_mel_init(&front_end);
  ResetStates(&interpreter);

  float pcm[LOG_MEL_HOP] = {};  // fill it from a microphone, 160 samples in [-1, 1] at 16 kHz
  for (;;) {
    float* frames = interpreter.input(0)->data.f;
    for (int i = 0; i < kFrames; i++) log_mel_next(&front_end, pcm, frames + i * LOG_MEL_BINS);
    if (interpreter.Invoke() != kTfLiteOk) return;
    std::printf("%f\n", interpreter.output(0)->data.f[0]);
    if (!KeepStates(&interpreter)) return;  // kStateBytes is too small
  }
}
