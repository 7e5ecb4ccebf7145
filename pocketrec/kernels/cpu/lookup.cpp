// The lookup as a torch op, and the schemas of all ops of this extension.
#include <Python.h>

#include <atomic>

#include "forward.h"
#include "sound.h"
#include "tensors.h"

namespace pocketrec {

constexpr int64_t kSamplesPerTask = 16;
constexpr int64_t kIdsPerTask = 1 << 15;
constexpr int64_t kStreamedBytes = 8 << 20;  // outputs above this would push the memory out of the caches

Tensor lookup(Tensor memory, Tensor indices, std::optional<Tensor> offsets, std::optional<Tensor> weights, Tensor layout, int64_t width, std::optional<Tensor> scales) {
  const int64_t samples = num_samples(indices, offsets, layout);
  Tensor out = torch::stable::new_empty(scales ? *scales : memory, {samples, width});
  POCKETREC_DISPATCH_QUANTIZED(memory, "lookup", [&] {
    const auto bags = unpack<scalar_t>(indices, offsets, weights, layout, width);
    const Memory<scalar_t> from{data<scalar_t>(memory), data<float>(scales)};
    auto* to = mutable_data<OutOf<scalar_t>>(out);
    const bool stream = samples * width * static_cast<int64_t>(sizeof(*to)) > kStreamedBytes;
    parallel_for(0, samples, kSamplesPerTask, [&](int64_t first, int64_t last) { Forward<scalar_t>(bags, from, to, stream).samples(first, last); });
  });
  return out;
}

bool lookup_uses_avx2(Tensor) { return kAvx2; }

bool is_sound(Tensor memory, Tensor indices, std::optional<Tensor> offsets, bool weighted, Tensor layout, int64_t width) {
  const auto bags = unpack<float>(indices, offsets, std::nullopt, layout, width);
  if (!layout_is_sound(bags, memory.numel(), weighted)) return false;
  std::atomic<bool> sound{true};
  if (offsets) {
    const int64_t end = offsets->numel();
    if (bags.offsets[0] != 0 || bags.offsets[end - 1] != bags.num_ids) return false;
    parallel_for(1, end, kIdsPerTask, [&](int64_t first, int64_t last) { if (!offsets_rise(bags, first, last)) sound = false; });
    if (!sound) return false;
  }
  const int64_t samples_per_task = std::max<int64_t>(1, kIdsPerTask / std::max<int64_t>(bags.num_features, 1));
  parallel_for(0, bags.num_samples, samples_per_task, [&](int64_t first, int64_t last) { if (!ids_are_inside(bags, first, last)) sound = false; });
  return sound;
}

}  // namespace pocketrec

#define POCKETREC_BATCH "Tensor indices, Tensor? offsets, Tensor? weights, Tensor layout"

STABLE_TORCH_LIBRARY(POCKETREC_OPS, m) {
  m.def("lookup_uses_avx2(Tensor memory) -> bool");
  m.def("backward_uses_avx2(Tensor memory) -> bool");
  m.def("is_sound(Tensor memory, Tensor indices, Tensor? offsets, bool weighted, Tensor layout, int width) -> bool");
  m.def("lookup(Tensor memory, " POCKETREC_BATCH ", int width, Tensor? scales=None) -> Tensor");
  m.def("lookup_backward(Tensor grad, Tensor memory, " POCKETREC_BATCH ") -> Tensor");
  m.def("lookup_backward_rows(Tensor grad, Tensor memory, " POCKETREC_BATCH ", int dim) -> Tensor");
  m.def("lookup_backward_weights(Tensor grad, Tensor memory, Tensor indices, Tensor? offsets, Tensor layout) -> Tensor");
  m.def("lookup_update_(Tensor grad, Tensor(a!) memory, Tensor(b!)? scratch, Tensor(c!)? first, Tensor(d!)? second, " POCKETREC_BATCH ", int rule, float[] constants) -> ()");
}

STABLE_TORCH_LIBRARY_IMPL(POCKETREC_OPS, CPU, m) {
  m.impl("lookup_uses_avx2", TORCH_BOX(&pocketrec::lookup_uses_avx2));
  m.impl("is_sound", TORCH_BOX(&pocketrec::is_sound));
  m.impl("lookup", TORCH_BOX(&pocketrec::lookup));
}

// Importing the extension loads the library, which registers the ops; the module itself is empty.
#define POCKETREC_JOIN(A, B) A##B
#define POCKETREC_INIT(NAME) POCKETREC_JOIN(PyInit_, NAME)
extern "C" PyMODINIT_FUNC POCKETREC_INIT(TORCH_EXTENSION_NAME)() {
  static PyModuleDef module = {PyModuleDef_HEAD_INIT, "kernel", nullptr, -1, nullptr, nullptr, nullptr, nullptr, nullptr};
  return PyModule_Create(&module);
}
