// The CPU kernels as torch ops, on the LibTorch stable ABI: unpack tensors, split the work, call forward.h / backward.h.
// Arguments are checked in Python (pocketrec/ops); here they are trusted.
#include <Python.h>

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/Dispatch.h>

#include <optional>
#include <vector>

#include "backward.h"
#include "forward.h"

namespace pocketrec {

using torch::stable::Tensor;

constexpr int64_t kSamplesPerTask = 64;
constexpr int64_t kSlotsPerTask = 1024;

#define POCKETREC_DISPATCH(TENSOR, NAME, ...) \
  THO_DISPATCH_SWITCH((TENSOR).scalar_type(), NAME, \
    THO_DISPATCH_CASE(torch::headeronly::ScalarType::Float, __VA_ARGS__) \
    THO_DISPATCH_CASE(torch::headeronly::ScalarType::Double, __VA_ARGS__))

template <class T>
const T* data(const Tensor& t) { return static_cast<const T*>(t.const_data_ptr()); }
template <class T>
T* mutable_data(const Tensor& t) { return static_cast<T*>(t.mutable_data_ptr()); }

template <class T>
Bags<T> unpack(const Tensor& indices, const std::optional<Tensor>& offsets, const std::optional<Tensor>& weights,
               const Tensor& layout, int64_t width) {
  const int64_t num_features = layout.size(0);
  const int64_t num_bags = offsets ? offsets->numel() - 1 : indices.numel();
  return Bags<T>{data<int64_t>(indices), offsets ? data<int64_t>(*offsets) : nullptr,
                 weights ? data<T>(*weights) : nullptr, reinterpret_cast<const Feature*>(data<int64_t>(layout)),
                 num_features ? num_bags / num_features : 0, num_features, width};
}

Tensor lookup(Tensor memory, Tensor indices, std::optional<Tensor> offsets, std::optional<Tensor> weights, Tensor layout, int64_t width) {
  const int64_t samples = unpack<float>(indices, offsets, std::nullopt, layout, width).num_samples;
  Tensor out = torch::stable::new_empty(memory, {samples, width});
  POCKETREC_DISPATCH(memory, "lookup", [&] {
    const auto bags = unpack<scalar_t>(indices, offsets, weights, layout, width);
    const scalar_t* from = data<scalar_t>(memory);
    scalar_t* to = mutable_data<scalar_t>(out);
    torch::stable::parallel_for(0, samples, kSamplesPerTask, [&](int64_t lo, int64_t hi) { forward(bags, from, lo, hi, to); });
  });
  return out;
}

Tensor lookup_backward(Tensor grad, Tensor memory, Tensor indices, std::optional<Tensor> offsets, std::optional<Tensor> weights, Tensor layout) {
  Tensor grad_memory = torch::stable::new_zeros(memory, memory.sizes());
  POCKETREC_DISPATCH(memory, "lookup_backward", [&] {
    const auto bags = unpack<scalar_t>(indices, offsets, weights, layout, grad.size(1));
    const scalar_t* values = data<scalar_t>(memory);
    const scalar_t* from = data<scalar_t>(grad);
    scalar_t* to = mutable_data<scalar_t>(grad_memory);
    torch::stable::parallel_for(0, memory.numel(), kSlotsPerTask, [&](int64_t lo, int64_t hi) {
      backward(bags, values, from, SlotRange<scalar_t>{to, lo, hi});
    });
  });
  return grad_memory;
}

Tensor lookup_backward_rows(Tensor grad, Tensor memory, Tensor indices, std::optional<Tensor> offsets, std::optional<Tensor> weights, Tensor layout, int64_t dim) {
  Tensor grad_rows = torch::stable::new_empty(memory, {indices.numel(), dim});
  POCKETREC_DISPATCH(memory, "lookup_backward_rows", [&] {
    const auto bags = unpack<scalar_t>(indices, offsets, weights, layout, grad.size(1));
    const scalar_t* values = data<scalar_t>(memory);
    const scalar_t* from = data<scalar_t>(grad);
    scalar_t* to = mutable_data<scalar_t>(grad_rows);
    torch::stable::parallel_for(0, bags.num_samples, kSamplesPerTask, [&](int64_t lo, int64_t hi) { backward_rows(bags, values, from, lo, hi, to); });
  });
  return grad_rows;
}

Tensor lookup_backward_weights(Tensor grad, Tensor memory, Tensor indices, std::optional<Tensor> offsets, Tensor layout) {
  Tensor grad_weights = torch::stable::new_empty(memory, {indices.numel()});
  POCKETREC_DISPATCH(memory, "lookup_backward_weights", [&] {
    const auto bags = unpack<scalar_t>(indices, offsets, std::nullopt, layout, grad.size(1));
    const scalar_t* values = data<scalar_t>(memory);
    const scalar_t* from = data<scalar_t>(grad);
    scalar_t* to = mutable_data<scalar_t>(grad_weights);
    torch::stable::parallel_for(0, bags.num_samples, kSamplesPerTask, [&](int64_t lo, int64_t hi) { backward_weights(bags, values, from, lo, hi, to); });
  });
  return grad_weights;
}

// The position in `indices` of the first id (by feature, then sample) outside its table, or -1.
int64_t first_bad_id(Tensor indices, std::optional<Tensor> offsets, Tensor layout) {
  const auto bags = unpack<float>(indices, offsets, std::nullopt, layout, 0);
  for (int64_t j = 0; j < bags.num_features; ++j) {
    const uint64_t limit = bags.features[j].num_embeddings;
    for (int64_t b = 0; b < bags.num_samples; ++b)
      for (int64_t i = bags.begin(b, j); i < bags.end(b, j); ++i)
        if (static_cast<uint64_t>(bags.indices[i]) >= limit) return i;
  }
  return -1;
}

}  // namespace pocketrec

STABLE_TORCH_LIBRARY(pocketrec_cpu, m) {
  m.def("lookup(Tensor memory, Tensor indices, Tensor? offsets, Tensor? weights, Tensor layout, int width) -> Tensor");
  m.def("lookup_backward(Tensor grad, Tensor memory, Tensor indices, Tensor? offsets, Tensor? weights, Tensor layout) -> Tensor");
  m.def("lookup_backward_rows(Tensor grad, Tensor memory, Tensor indices, Tensor? offsets, Tensor? weights, Tensor layout, int dim) -> Tensor");
  m.def("lookup_backward_weights(Tensor grad, Tensor memory, Tensor indices, Tensor? offsets, Tensor layout) -> Tensor");
  m.def("first_bad_id(Tensor indices, Tensor? offsets, Tensor layout) -> int");
}

STABLE_TORCH_LIBRARY_IMPL(pocketrec_cpu, CPU, m) {
  m.impl("lookup", TORCH_BOX(&pocketrec::lookup));
  m.impl("lookup_backward", TORCH_BOX(&pocketrec::lookup_backward));
  m.impl("lookup_backward_rows", TORCH_BOX(&pocketrec::lookup_backward_rows));
  m.impl("lookup_backward_weights", TORCH_BOX(&pocketrec::lookup_backward_weights));
  m.impl("first_bad_id", TORCH_BOX(&pocketrec::first_bad_id));
}

// Importing pocketrec._C loads the library, which registers the ops; the module itself is empty.
extern "C" PyMODINIT_FUNC PyInit__C() {
  static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_C", nullptr, -1, nullptr, nullptr, nullptr, nullptr, nullptr};
  return PyModule_Create(&module);
}
